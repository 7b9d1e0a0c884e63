"""Sums over waves of phase correlations times weights, block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.expansion.lattice.columns import Columns
from multilode.expansion.lattice.wave_products import WaveProducts, connected_gradients
from multilode.numerics.limits import current_limits

# Correlations [center channel, k] of a block for each thread: a MB, of which several arrays stay in
# the outer cache; smaller blocks lose more on calls and on waiting threads than they gain
_BLOCK_ELEMENTS = 131072
_KEPT_ELEMENTS = 2_000_000  # correlations that are kept for the backward pass: 50 MB
_NARROW = 64  # columns up to which products of matrices take less time: half of it at 36


def wave_sums(
    angles: Float[Tensor, "atom 3"],
    steps: Float[Tensor, "k 3"],
    columns: Columns,
    sources: Float[Tensor, "channel atom"],
    centers: Int[Tensor, " center"],
    kinds: Int[Tensor, " atom"] | None = None,
) -> tuple[Float[Tensor, "center_channel _"], Float[Tensor, "center_channel _"]]:
    """Sums over k and over atoms j of strength q_aj, with d = (angles_i - angles_j) . steps_k,

        q_aj cos(d) even_k    and    -q_aj sin(d) odd_k.

    Rows run over centers i, then channels a. Differentiable to any order in angles, columns and
    sources.
    Unless they are few, cosines and sines are computed again in the backward pass, which takes
    little time, and neither pass then holds anything of the size [atom, k].

    Args:
        angles: fractional coordinates times 2 pi.
        steps: wave vectors in units of the reciprocal ones.
        columns: weights, those of the cosines and those of the sines.
        sources: the strengths q.
        centers: the atoms i, ascending.
        kinds: for strengths of species, 1 in one channel of each atom and else 0, that channel;
            they are then constants.
    """
    if columns[0].shape[1] + columns[1].shape[1] <= _NARROW:
        return WaveProducts.apply(angles, *columns, sources, steps, centers)
    return _WaveSums.apply(angles, *columns, sources, steps, centers, kinds)


class _WaveSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        angles: Tensor,
        even: Tensor,
        odd: Tensor,
        sources: Tensor,
        steps: Tensor,
        centers: Tensor,
        kinds: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(angles, even, odd, sources, steps, centers, kinds)
        rows = len(centers) * len(sources)
        sums = [even.new_zeros((rows, c.shape[1])) for c in (even, odd)]
        blocks = _blocks(angles, steps, sources, centers)
        ctx.kept = None
        kept = current_limits().kept_size(_KEPT_ELEMENTS, 3 * even.itemsize)
        if any(ctx.needs_input_grad) and rows * len(steps) <= kept:
            blocks = ctx.kept = list(blocks)
        for here, waves in blocks:
            sums[0].addmm_(waves.symmetric, even[here])
            sums[1].addmm_(waves.antisymmetric, odd[here])
        return sums[0], sums[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        angles, even, odd, sources, steps, centers, kinds = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:4]
        if torch.is_grad_enabled():  # a second derivative is wanted
            inputs = (angles, even, odd, sources)
            return *connected_gradients(inputs, steps, centers, wanted, grads), None, None, None
        to_angles = torch.zeros_like(angles) if wanted[0] else None
        to_even = torch.empty_like(even) if wanted[1] else None
        to_odd = torch.empty_like(odd) if wanted[2] else None
        to_sources = torch.zeros_like(sources) if wanted[3] else None
        grad_even, grad_odd = (g.contiguous() for g in grads)
        for here, waves in ctx.kept or _blocks(angles, steps, sources, centers):
            if to_even is not None:
                torch.mm(waves.symmetric.T, grad_even, out=to_even[here])
            if to_odd is not None:
                torch.mm(waves.antisymmetric.T, grad_odd, out=to_odd[here])
            if to_angles is None and to_sources is None:
                continue
            both = waves.shaped(grad_even @ even[here].T, grad_odd @ odd[here].T)
            to_sums = waves.to_sums(*both)
            if to_angles is not None:
                of_atoms = [
                    sources.T @ x if kinds is None else x.index_select(0, kinds) for x in to_sums
                ]
                to_angles.addmm_(waves.to_phases(*both, *of_atoms), steps[here])
            if to_sources is not None:
                to_sources.addmm_(to_sums[0], waves.cosine.T).addmm_(to_sums[1], waves.sine.T)
        return to_angles, to_even, to_odd, to_sources, None, None, None


@final
@dataclass(frozen=True)
class _Waves:
    """Phases of some waves, at atoms and between centers and the sources of each channel.

    With c = sum_j q_j cos(phase_j) and s = sum_j q_j sin(phase_j) over the sources,

        symmetric = cos(phase) c + sin(phase) s,    antisymmetric = cos(phase) s - sin(phase) c:

    up to a sign each is the slope of the other in the phase of the center.
    """

    cosine: Float[Tensor, "atom k"]
    sine: Float[Tensor, "atom k"]
    symmetric: Float[Tensor, "center_channel k"]
    antisymmetric: Float[Tensor, "center_channel k"]
    centers: Int[Tensor, " center"] | None  # None: all atoms
    n_channels: int

    def shaped(self, *values: Float[Tensor, "center_channel k"]) -> list[Tensor]:
        """The same values [center, channel, k]."""
        n_centers = len(self.cosine) if self.centers is None else len(self.centers)
        return [x.view(n_centers, self.n_channels, x.shape[1]) for x in values]

    def to_sums(
        self, g: Float[Tensor, "center channel k"], h: Float[Tensor, "center channel k"]
    ) -> tuple[Float[Tensor, "channel k"], Float[Tensor, "channel k"]]:
        """Gradients in c and s from those in the correlations."""
        cosine, sine = (_of(x, self.centers)[:, None] for x in (self.cosine, self.sine))
        part = torch.mul(g, cosine).addcmul_(h, sine, value=-1)
        to_cosine = part.sum(dim=0)
        return to_cosine, torch.mul(g, sine, out=part).addcmul_(h, cosine).sum(dim=0)

    def to_phases(
        self,
        g: Float[Tensor, "center channel k"],
        h: Float[Tensor, "center channel k"],
        to_cosine: Float[Tensor, "atom k"],
        to_sine: Float[Tensor, "atom k"],
    ) -> Float[Tensor, "atom k"]:
        """Gradient in the phases, from those in the correlations, and in c and s of each atom."""
        of_sources = torch.mul(self.cosine, to_sine).addcmul_(self.sine, to_cosine, value=-1)
        symmetric, antisymmetric = self.shaped(self.symmetric, self.antisymmetric)
        of_centers = torch.mul(g, antisymmetric).addcmul_(h, symmetric, value=-1).sum(dim=1)
        if self.centers is None:
            return of_sources.add_(of_centers)
        return of_sources.index_add_(0, self.centers, of_centers)


def _blocks(
    angles: Float[Tensor, "atom 3"],
    steps: Float[Tensor, "k 3"],
    sources: Float[Tensor, "channel atom"],
    centers: Int[Tensor, " center"],
) -> Iterator[tuple[slice, _Waves]]:
    """A few waves at a time, in buffers that are used again."""
    rows = max(1, len(centers) * len(sources), len(angles))
    elements = _BLOCK_ELEMENTS * torch.get_num_threads()
    if angles.device.type != "cpu":
        elements = 2**26
    elements = current_limits().block_size(elements, angles.itemsize)
    width = min(len(steps), max(64, elements // rows))
    chosen = None if len(centers) == len(angles) else centers
    for first in range(0, len(steps), max(1, width)):
        here = slice(first, first + width)
        phase = angles @ steps[here].T
        cosine, sine = torch.cos(phase), torch.sin(phase)
        correlations = _correlations(cosine, sine, sources, chosen)
        yield here, _Waves(cosine, sine, *correlations, chosen, len(sources))


def _correlations(
    cosine: Float[Tensor, "atom k"],
    sine: Float[Tensor, "atom k"],
    sources: Float[Tensor, "channel atom"],
    centers: Int[Tensor, " center"] | None,
) -> tuple[Float[Tensor, "center_channel k"], Float[Tensor, "center_channel k"]]:
    """Sums over atoms j of q_j cos(phase_i - phase_j) and -q_j sin(phase_i - phase_j)."""
    c, s = sources @ cosine, sources @ sine
    cosine, sine = _of(cosine, centers)[:, None], _of(sine, centers)[:, None]
    symmetric = torch.addcmul(cosine * c, sine, s)
    antisymmetric = torch.addcmul(cosine * s, sine, c, value=-1)
    return symmetric.flatten(end_dim=1), antisymmetric.flatten(end_dim=1)


def _of(values: Float[Tensor, "atom k"], centers: Tensor | None) -> Float[Tensor, "center k"]:
    return values if centers is None else values[centers]
