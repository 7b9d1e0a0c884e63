"""Derivatives of the features of sparse kernels, from those of environments.

    d k_Aj / du = sum_i sum_c (dk(x_i, x_j) / dx_ic) (dx_ic / du)

along a displacement u of the atoms of a structure A, for the active environments j. Environments
are differentiated once for each direction, whatever the number of active ones; the change of the
kernel then takes about as long as the kernel itself.
"""

from collections.abc import Iterator, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.kernel_ridge.sparse_kernel import NystroemMap
from multilode.models.kernels import AbstractKernel, Points
from multilode.models.kernels.active import ActiveEnvironments
from multilode.models.kernels.environments import Environments
from multilode.models.rows import Terms
from multilode.models.slopes import AbstractDirections


def sparse_slopes(
    own: NystroemMap,
    features: Features,
    positions: Float[Tensor, "atom 3"],
    directions: AbstractDirections,
) -> Terms:
    """d phi_A / du of every term, for every structure and each of its directions.

    Source: theory#sparse-force-rows.

    Args:
        own: the map, of an energy.
        features: of a batch, computed from `positions`.
        positions: that require a gradient.
        directions: of the displacements, without their scale.
    """
    terms = own.environments(features).terms
    n_rows, present = len(directions.structure), directions.present
    triples = zip(own.kernels, own.active, terms, strict=True)
    linear = [_Linearized(*triple) for triple in triples]
    found = [torch.zeros(n_rows, part.width, dtype=torch.float64) for part in linear]
    row = present.flatten().cumsum(0).view(present.shape) - 1
    for k, moved in enumerate(_moved(terms, positions, directions)):
        here = present[:, k]
        for columns, part, change in zip(found, linear, moved, strict=True):
            columns[row[here, k]] = part.columns(change)[here]
    return tuple(
        columns if active is None else active.features(columns)
        for columns, active in zip(found, own.active, strict=True)
    )


def _moved(
    terms: Sequence[Environments],
    positions: Float[Tensor, "atom 3"],
    directions: AbstractDirections,
) -> Iterator[list[Points]]:
    """Change of the environments of all terms along one direction after the other."""
    tensors = [x for term in terms for x in term.points.tensors]
    moving = [x for x in tensors if x.requires_grad]
    if not moving:  # no center anywhere
        still = [term.points.changed(torch.zeros_like) for term in terms]
        yield from (still for _ in range(directions.present.shape[1]))
        return
    duals = [torch.zeros_like(x).requires_grad_() for x in moving]
    (adjoint,) = torch.autograd.grad(moving, positions, duals, create_graph=True)
    for k in range(directions.present.shape[1]):  # all structures move at once
        vector = directions.vector(k).to(positions)
        changes = torch.autograd.grad(adjoint, duals, vector, retain_graph=True)
        ordered = iter(changes)
        yield [
            term.points.changed(lambda x, o=ordered: next(o) if x.requires_grad else 0 * x)
            for term in terms
        ]


@final
class _Linearized:
    """Kernels of rows with the active environments, linear in changes of the environments.

    The adjoint of a kernel is linear in what it is applied to; it is differentiated in that once
    for each change, and everything else is computed here, once.
    """

    def __init__(
        self, kernel: AbstractKernel, active: ActiveEnvironments | None, rows: Environments
    ) -> None:
        self._rows, self._active, self._parts = rows, active, []
        if active is None:
            return
        for slot in rows.slots.unique().tolist():
            mine = (rows.slots == slot).nonzero()[:, 0]
            theirs = (active.rows.slots == slot).nonzero()[:, 0]
            if len(theirs) == 0:
                continue
            points = rows.points[mine].changed(lambda x: x.detach().requires_grad_())
            others = active.rows.points[theirs].changed(torch.detach)
            values = kernel.between(points, others)
            dual = torch.zeros_like(values).requires_grad_()
            adjoint = torch.autograd.grad(
                values, points.tensors, dual, create_graph=True, allow_unused=True
            )
            self._parts.append((mine, theirs, dual, adjoint))

    @property
    def width(self) -> int:
        """Number of columns."""
        rows, active = self._rows, self._active
        return rows.points.values.numel() // rows.n_rows if active is None else active.rows.n_rows

    def columns(self, change: Points) -> Float[Tensor, "row column"]:
        """Change of the kernels, or of the features of a linear term."""
        rows, active = self._rows, self._active
        if active is None:
            return change.values.reshape(rows.n_rows, -1)
        total = rows.scale.new_zeros(rows.n_rows, self.width)
        for mine, theirs, dual, adjoint in self._parts:
            steps = change[mine].tensors
            used = [
                (own, step) for own, step in zip(adjoint, steps, strict=True) if own is not None
            ]
            (moved,) = torch.autograd.grad(
                [own for own, _ in used], dual, [step for _, step in used], retain_graph=True
            )
            summed = moved.new_zeros(rows.n_rows, len(theirs))
            total[:, theirs] = summed.index_add(0, rows.row_index[mine], moved)
        return total * rows.scale[:, None]
