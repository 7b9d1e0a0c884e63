"""Sums over waves as products of matrices, for few columns; nothing is [center channel, k]."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.expansion.lattice.columns import Columns
from multilode.numerics.limits import current_limits

# Of the matrices of a block, for each thread: they stay in the outer cache
_BLOCK_ELEMENTS = 262144
_KEPT_ELEMENTS = 4_000_000  # cosines and sines that are kept for the backward pass: 32 MB

Block = tuple[slice, Float[Tensor, "atom two_k"], Float[Tensor, "channel two_k"]]


class WaveProducts(torch.autograd.Function):
    """Sums over k of cosines and sines of centers times sums over sources times columns.

    With c_ak = sum_j q_aj cos(phase_jk), s_ak likewise, and x = (cos, sin) at centers,

        even = x . (c even_k, s even_k),    odd = x . (s odd_k, -c odd_k).

    The caller gives a second derivative by other operations.
    """

    @staticmethod
    def forward(
        ctx: Any,
        angles: Tensor,
        even: Tensor,
        odd: Tensor,
        sources: Tensor,
        steps: Tensor,
        centers: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Sums, rows over centers, then channels."""
        ctx.save_for_backward(angles, even, odd, sources, steps, centers)
        n, channels = len(centers), len(sources)
        chosen = None if n == len(angles) else centers
        sums = [even.new_zeros((n, channels * c.shape[1])) for c in (even, odd)]
        blocks = _blocks(angles, steps, sources, even.shape[1] + odd.shape[1])
        kept, ctx.kept = current_limits().kept_size(_KEPT_ELEMENTS, 2 * even.itemsize), None
        if any(ctx.needs_input_grad) and len(angles) * len(steps) <= kept:
            blocks = ctx.kept = list(blocks)
        for here, waves, strengths in blocks:
            rows = waves if chosen is None else waves[chosen]
            matrices = _matrices(strengths, even[here], odd[here])
            for total, matrix in zip(sums, matrices, strict=True):
                total.addmm_(rows, matrix)
        return _rows(sums[0], n * channels, even), _rows(sums[1], n * channels, odd)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients in angles, columns and sources."""
        angles, even, odd, sources, steps, centers = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:4]
        if torch.is_grad_enabled():  # a second derivative is wanted
            inputs = (angles, even, odd, sources)
            return *connected_gradients(inputs, steps, centers, wanted, grads), None, None
        to_angles, to_sources = torch.zeros_like(angles), torch.zeros_like(sources)
        to_even, to_odd = torch.empty_like(even), torch.empty_like(odd)
        n = len(centers)
        chosen = None if n == len(angles) else centers
        gradients = [g.reshape(n, len(sources) * g.shape[1]) for g in grads]
        width = even.shape[1] + odd.shape[1]
        for here, waves, strengths in ctx.kept or _blocks(angles, steps, sources, width):
            rows, columns = waves if chosen is None else waves[chosen], (even[here], odd[here])
            products = [_split(rows.T @ g, len(sources)) for g in gradients]
            if wanted[1] or wanted[2]:
                to_even[here], to_odd[here] = _to_columns(products, strengths)
            if not wanted[0] and not wanted[3]:
                continue
            to_strengths = _to_strengths(products, columns)
            if wanted[3]:
                to_sources.addmm_(to_strengths, waves.T)
            if wanted[0]:
                to_waves = sources.T @ to_strengths
                matrices = _matrices(strengths, *columns)
                if chosen is None:
                    for gradient, matrix in zip(gradients, matrices, strict=True):
                        to_waves.addmm_(gradient, matrix.T)
                else:
                    own = (gradients[0] @ matrices[0].T).addmm_(gradients[1], matrices[1].T)
                    to_waves.index_add_(0, chosen, own)
                to_angles.addmm_(_to_phases(to_waves, waves), steps[here])
        given = zip((to_angles, to_even, to_odd, to_sources), wanted, strict=True)
        return *(x if w else None for x, w in given), None, None


def connected_gradients(
    inputs: tuple[Tensor, Tensor, Tensor, Tensor],
    steps: Float[Tensor, "k 3"],
    centers: Int[Tensor, " center"],
    wanted: Sequence[bool],
    grads: tuple[Tensor, ...],
) -> tuple[Tensor | None, ...]:
    """Gradients of the sums that can be differentiated again, in both forms of the sums.

    Args:
        inputs: angles, columns of even and of odd l, and sources.
        steps: wave vectors in units of the reciprocal ones.
        centers: ascending.
        wanted: which of the inputs have a gradient; the others get None.
        grads: in both sums.
    """
    chosen = [x for x, w in zip(inputs, wanted, strict=True) if w]
    sums = _connected(*inputs, steps, centers)
    found = iter(torch.autograd.grad(sums, chosen, grads, create_graph=True))
    return tuple(next(found) if w else None for w in wanted)


def _connected(
    angles: Tensor, even: Tensor, odd: Tensor, sources: Tensor, steps: Tensor, centers: Tensor
) -> tuple[Tensor, Tensor]:
    """The sums of operations that can be differentiated again."""
    phase = angles @ steps.T
    waves = torch.cat([torch.cos(phase), torch.sin(phase)], dim=1)
    rows = waves if len(centers) == len(angles) else waves[centers]
    matrices = _matrices(sources @ waves, even, odd)
    count = len(rows) * len(sources)
    return _rows(rows @ matrices[0], count, even), _rows(rows @ matrices[1], count, odd)


def _rows(
    sums: Float[Tensor, "center channel_column"], count: int, columns: Float[Tensor, "k column"]
) -> Float[Tensor, "center_channel column"]:
    return sums.view(count, columns.shape[1])


def _blocks(
    angles: Float[Tensor, "atom 3"],
    steps: Float[Tensor, "k 3"],
    sources: Float[Tensor, "channel atom"],
    width: int,
) -> Iterator[Block]:
    """Cosines and sines of some waves side by side, at atoms and summed over sources."""
    elements = _BLOCK_ELEMENTS * torch.get_num_threads()
    if angles.device.type != "cpu":
        elements = 2**26
    elements = current_limits().block_size(elements, angles.itemsize)
    size = max(32, elements // max(1, len(sources) * width, 2 * len(angles)))
    for first in range(0, len(steps), size):
        here = slice(first, first + size)
        phase = angles @ steps[here].T
        waves = phase.new_empty((len(phase), 2 * phase.shape[1]))
        cosine, sine = waves.chunk(2, dim=1)
        cosine.copy_(torch.cos(phase))
        sine.copy_(phase.sin_())
        yield here, waves, sources @ waves


def _matrices(
    strengths: Float[Tensor, "channel two_k"],
    even: Float[Tensor, "k even"],
    odd: Float[Tensor, "k odd"],
) -> tuple[Float[Tensor, "two_k channel_even"], Float[Tensor, "two_k channel_odd"]]:
    """What the cosines and sines of centers are multiplied by."""
    cosine, sine = (x.T[:, :, None] for x in strengths.chunk(2, dim=1))
    of_even = torch.cat([cosine * even[:, None], sine * even[:, None]])
    of_odd = torch.cat([sine * odd[:, None], cosine * -odd[:, None]])
    return of_even.flatten(start_dim=1), of_odd.flatten(start_dim=1)


def _split(
    products: Float[Tensor, "two_k channel_column"], n_channels: int
) -> Float[Tensor, "2 k channel column"]:
    """Those with cosines, and those with sines."""
    return products.view(2, len(products) // 2, n_channels, products.shape[1] // n_channels)


def _to_columns(
    products: Sequence[Float[Tensor, "2 k channel _"]], strengths: Float[Tensor, "channel two_k"]
) -> tuple[Float[Tensor, "k even"], Float[Tensor, "k odd"]]:
    """Gradients in the columns."""
    cosine, sine = (x.T[:, None] for x in strengths.chunk(2, dim=1))
    of_even, of_odd = products
    to_even = cosine @ of_even[0] + sine @ of_even[1]
    return to_even[:, 0], (sine @ of_odd[0] - cosine @ of_odd[1])[:, 0]


def _to_strengths(
    products: Sequence[Float[Tensor, "2 k channel _"]], columns: Columns
) -> Float[Tensor, "channel two_k"]:
    """Gradient in the sums over sources."""
    by_even, by_odd = (p @ c[:, :, None] for p, c in zip(products, columns, strict=True))
    parts = (by_even[0] - by_odd[1], by_even[1] + by_odd[0])
    return torch.cat([part[:, :, 0].T for part in parts], dim=1)


def _to_phases(
    to_waves: Float[Tensor, "atom two_k"], waves: Float[Tensor, "atom two_k"]
) -> Float[Tensor, "atom k"]:
    """Gradient in the phases."""
    (to_cosine, to_sine), (cosine, sine) = to_waves.chunk(2, dim=1), waves.chunk(2, dim=1)
    return torch.mul(to_sine, cosine).addcmul_(to_cosine, sine, value=-1)
