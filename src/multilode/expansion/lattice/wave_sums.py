"""Sums over waves of phase correlations times weights, block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.expansion.lattice.columns import Columns
from multilode.numerics.limits import current_limits

# Correlations [center species, k] of a block for each thread: a MB, of which several arrays stay in
# the outer cache; smaller blocks lose more on calls and on waiting threads than they gain
_BLOCK_ELEMENTS = 131072
_KEPT_ELEMENTS = 2_000_000  # correlations that are kept for the backward pass: 50 MB


def wave_sums(
    angles: Float[Tensor, "atom 3"],
    steps: Float[Tensor, "k 3"],
    columns: Columns,
    members: Float[Tensor, "species atom"],
    centers: Int[Tensor, " center"],
) -> tuple[Float[Tensor, "center_species _"], Float[Tensor, "center_species _"]]:
    """Sums over k and over the atoms j of a species, with d = (angles_i - angles_j) . steps_k,

        cos(d) even_k    and    -sin(d) odd_k.

    Rows run over centers i, then species. Differentiable to any order in angles and columns.
    Unless they are few, cosines and sines are computed again in the backward pass, which takes
    little time, and neither pass then holds anything of the size [atom, k].

    Args:
        angles: fractional coordinates times 2 pi.
        steps: wave vectors in units of the reciprocal ones.
        columns: weights, those of the cosines and those of the sines.
        members: 1 where an atom is of a species, else 0.
        centers: the atoms i, ascending.
    """
    return _WaveSums.apply(angles, *columns, steps, members, centers)


class _WaveSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        angles: Tensor,
        even: Tensor,
        odd: Tensor,
        steps: Tensor,
        members: Tensor,
        centers: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(angles, even, odd, steps, members, centers)
        rows = len(centers) * len(members)
        sums = [even.new_zeros((rows, c.shape[1])) for c in (even, odd)]
        blocks = _blocks(angles, steps, members, centers)
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
        angles, even, odd, steps, members, centers = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            inputs = (angles, even, odd)
            wanted = [x for x, w in zip(inputs, ctx.needs_input_grad, strict=False) if w]
            sums = _connected(angles, even, odd, steps, members, centers)
            found = iter(torch.autograd.grad(sums, wanted, grads, create_graph=True))
            return *(next(found) if w else None for w in ctx.needs_input_grad[:3]), None, None, None
        to_angles = torch.zeros_like(angles) if ctx.needs_input_grad[0] else None
        to_even = torch.empty_like(even) if ctx.needs_input_grad[1] else None
        to_odd = torch.empty_like(odd) if ctx.needs_input_grad[2] else None
        grad_even, grad_odd = (g.contiguous() for g in grads)
        kind = members.argmax(dim=0)
        for here, waves in ctx.kept or _blocks(angles, steps, members, centers):
            if to_even is not None:
                torch.mm(waves.symmetric.T, grad_even, out=to_even[here])
            if to_odd is not None:
                torch.mm(waves.antisymmetric.T, grad_odd, out=to_odd[here])
            if to_angles is not None:
                slopes = waves.adjoint(grad_even @ even[here].T, grad_odd @ odd[here].T, kind)
                to_angles.addmm_(slopes, steps[here])
        return to_angles, to_even, to_odd, None, None, None


@final
@dataclass(frozen=True)
class _Waves:
    """Phases of some waves, at atoms and between centers and the atoms of each species.

    With c = sum_j cos(phase_j) and s = sum_j sin(phase_j) over the atoms of a species,

        symmetric = cos(phase) c + sin(phase) s,    antisymmetric = cos(phase) s - sin(phase) c:

    up to a sign each is the slope of the other in the phase of the center.
    """

    cosine: Float[Tensor, "atom k"]
    sine: Float[Tensor, "atom k"]
    symmetric: Float[Tensor, "center_species k"]
    antisymmetric: Float[Tensor, "center_species k"]
    centers: Int[Tensor, " center"] | None  # None: all atoms
    n_species: int

    def adjoint(
        self,
        g: Float[Tensor, "center_species k"],
        h: Float[Tensor, "center_species k"],
        kind: Int[Tensor, " atom"],
    ) -> Float[Tensor, "atom k"]:
        """Gradient in the phases from those in the correlations."""
        n_centers = len(self.cosine) if self.centers is None else len(self.centers)
        shape = (n_centers, self.n_species, g.shape[1])
        g, h = g.view(shape), h.view(shape)
        cosine, sine = (_of(x, self.centers)[:, None] for x in (self.cosine, self.sine))
        part = torch.mul(g, cosine).addcmul_(h, sine, value=-1)
        to_cosine = part.sum(dim=0)
        to_sine = torch.mul(g, sine, out=part).addcmul_(h, cosine).sum(dim=0)
        of_atoms = torch.mul(self.cosine, to_sine.index_select(0, kind))
        of_atoms.addcmul_(self.sine, to_cosine.index_select(0, kind), value=-1)
        torch.mul(g, self.antisymmetric.view(shape), out=part)
        of_centers = part.addcmul_(h, self.symmetric.view(shape), value=-1).sum(dim=1)
        if self.centers is None:
            return of_atoms.add_(of_centers)
        return of_atoms.index_add_(0, self.centers, of_centers)


def _blocks(
    angles: Float[Tensor, "atom 3"],
    steps: Float[Tensor, "k 3"],
    members: Float[Tensor, "species atom"],
    centers: Int[Tensor, " center"],
) -> Iterator[tuple[slice, _Waves]]:
    """A few waves at a time, in buffers that are used again."""
    rows = max(1, len(centers) * len(members), len(angles))
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
        correlations = _correlations(cosine, sine, members, chosen)
        yield here, _Waves(cosine, sine, *correlations, chosen, len(members))


def _correlations(
    cosine: Float[Tensor, "atom k"],
    sine: Float[Tensor, "atom k"],
    members: Float[Tensor, "species atom"],
    centers: Int[Tensor, " center"] | None,
) -> tuple[Float[Tensor, "center_species k"], Float[Tensor, "center_species k"]]:
    """Sums over the atoms j of a species of cos(phase_i - phase_j) and -sin(phase_i - phase_j)."""
    c, s = members @ cosine, members @ sine
    cosine, sine = _of(cosine, centers)[:, None], _of(sine, centers)[:, None]
    symmetric = torch.addcmul(cosine * c, sine, s)
    antisymmetric = torch.addcmul(cosine * s, sine, c, value=-1)
    return symmetric.flatten(end_dim=1), antisymmetric.flatten(end_dim=1)


def _of(values: Float[Tensor, "atom k"], centers: Tensor | None) -> Float[Tensor, "center k"]:
    return values if centers is None else values[centers]


def _connected(
    angles: Tensor, even: Tensor, odd: Tensor, steps: Tensor, members: Tensor, centers: Tensor
) -> tuple[Tensor, Tensor]:
    """The sums once more, of operations that can be differentiated again."""
    phase = angles @ steps.T
    chosen = None if len(centers) == len(angles) else centers
    symmetric, antisymmetric = _correlations(torch.cos(phase), torch.sin(phase), members, chosen)
    return symmetric @ even, antisymmetric @ odd
