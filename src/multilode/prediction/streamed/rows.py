"""Rows of a regression, some structures at a time: energies, forces and stresses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.errors import renumber_errors
from multilode.models import PooledMap
from multilode.models.kernel_ridge.product_slopes import product_slopes
from multilode.models.kernel_ridge.sparse_kernel import NystroemMap
from multilode.models.rows import Terms, balanced_weight
from multilode.models.slopes import SomeDirections, along_directions, random_directions
from multilode.models.solve.normal import RowGroup
from multilode.models.targets import Forces, Stress
from multilode.representation.pooled_slopes import pooled_slopes, pooled_strains
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures
from multilode.structures.periods import along_periods, projectors

_VOIGT = (0, 4, 8, 5, 2, 1)  # xx, yy, zz, yz, xz, xy of nine numbers
_TWICE = (1.0, 1.0, 1.0, 2**0.5, 2**0.5, 2**0.5)  # so that squares add up to those of all nine


@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class StreamedRows:
    """What is fitted, without an intercept: E = x . w, F = -dx/dr . w and s = dx/de . w / V.

    Args:
        map: sums over centers, or features of a sparse kernel, which `has_product_slopes`.
        representation: one that `has_pooled_slopes`.
        structures: of the training set.
        y: energies less the baseline.
        forces: along every coordinate, if they are learned from.
        stress: of periodic structures, likewise.
        weights: how much the squares of the errors of structures count, one on average; None for
            equal ones.
    """

    map: PooledMap | NystroemMap
    representation: Representation
    structures: Structures
    y: Float[Tensor, " structure"]
    forces: Forces | None = None
    stress: Stress | None = None
    weights: Float[Tensor, " structure"] | None = None

    @property
    def slots(self) -> list[tuple[int, ...]]:
        """Center species of each block of columns."""
        centers = self.map.centers
        return [self.representation.centers] if centers is None else [(c,) for c in centers]

    @property
    def force_weight(self) -> float:
        """Å."""
        if self.forces is None:
            return 1.0
        values = torch.as_tensor(self.forces.values).double().cpu()
        return self.forces.weight or balanced_weight(self.y[:, None], values.flatten())

    @property
    def stress_weight(self) -> float:
        """Å^3."""
        if self.stress is None:
            return 1.0
        values = along_periods(
            torch.as_tensor(self.stress.values), self.structures.to(device="cpu")
        )
        return self.stress.weight or balanced_weight(self.y[:, None], values.flatten(), "stresses")

    @property
    def roots(self) -> Float[Tensor, " structure"]:
        """By which all rows of a structure are multiplied."""
        return torch.ones_like(self.y) if self.weights is None else self.weights.sqrt()

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of columns of each term, from the features of one structure."""
        return tuple(term.shape[1] for term in self.energies(self.structures.select([0])))

    @property
    def rows_of_each(self) -> Int[Tensor, " structure"]:
        """Number of rows of each structure."""
        derived = 3 * self.structures.counts.cpu() * (self.forces is not None)
        return 1 + derived + 6 * (self.stress is not None)

    @property
    def n_rows(self) -> int:
        """Number of all rows."""
        return int(self.rows_of_each.sum())

    @torch.no_grad()
    def energies(self, batch: Structures) -> Terms:
        """Features of structures."""
        return self.map.design(self.representation.compute(batch)).stored().terms

    def groups(self, numbers: Int[Tensor, " chosen"]) -> list[RowGroup]:
        """All rows of the chosen structures, ascending: energies, forces, stresses."""
        with renumber_errors(numbers.tolist()):
            batch, roots = self.structures.select(numbers), self.roots[numbers]
            found = [RowGroup(self.energies(batch), self.y[numbers], roots)]
            if self.forces is not None:
                slopes = self.slopes(batch)
                values = self._atoms_of(numbers).flatten()
                factors = self.force_weight * roots.repeat_interleave(3 * batch.counts.cpu())
                # of the slopes the sign is with the forces
                found.append(RowGroup(slopes, -values, factors))
            if self.stress is not None:
                found.append(self.stresses(numbers, batch))
            return found

    def slopes(self, batch: Structures) -> Terms:
        """Slopes of the features of structures; rows are (atom, axis)."""
        if isinstance(self.map, NystroemMap):
            return product_slopes(self.map, self.representation, batch)
        return _cpu(pooled_slopes(self.representation, batch, self.slots))

    def slopes_along(self, batch: Structures, some: SomeDirections) -> Terms:
        """The same along some directions; rows are the directions that are present."""
        if isinstance(self.map, NystroemMap):
            whole = product_slopes(self.map, self.representation, batch)
            return tuple(along_directions(term, batch.counts, some) for term in whole)
        found = pooled_slopes(self.representation, batch, self.slots, along=some.vectors)
        present = some.present.flatten()
        return tuple(term[present] for term in _cpu(found))

    def stresses(self, numbers: Int[Tensor, " chosen"], batch: Structures) -> RowGroup:
        """Components along the periodic directions, those beside the diagonal times root 2.

        Source: theory#gradients.
        """
        if self.stress is None:
            raise ValueError("there are no stresses to learn from")
        strains = pooled_strains(self.representation, batch, self.slots)
        twice = torch.tensor(_TWICE, dtype=torch.float64)
        volumes = batch.volumes[:, None, None].cpu()

        def components(tensors: Float[Tensor, "structure 3 3"]) -> Float[Tensor, "structure 6"]:
            symmetric = (tensors + tensors.mT) / 2
            own = along_periods(symmetric.double().cpu(), batch)
            return own.flatten(1)[:, list(_VOIGT)] * twice

        terms = []
        for term in strains:
            columns = term.shape[1]
            each = term.unflatten(0, (-1, 9)).transpose(1, 2) / volumes.to(term)
            own = _projected(each.unflatten(2, (3, 3)), batch).flatten(2)[..., list(_VOIGT)]
            terms.append((own.cpu() * twice).transpose(1, 2).reshape(-1, columns))
        values = components(torch.as_tensor(self.stress.values)[numbers]).flatten()
        factors = self.stress_weight * self.roots[numbers].repeat_interleave(6)
        return RowGroup(tuple(terms), values, factors)

    def sample(self, numbers: Int[Tensor, " chosen"], directions: int, seed: int) -> Terms:
        """Rows of the chosen structures with forces along random directions, as in the fit."""
        with renumber_errors(numbers.tolist()):
            batch, roots = self.structures.select(numbers), self.roots[numbers]
            parts = [tuple(term * roots[:, None] for term in self.energies(batch))]
            if self.forces is not None:
                generator = torch.Generator().manual_seed(seed)
                some = random_directions(batch.counts.cpu(), directions, generator)
                heavy = (some.scale * roots * self.force_weight)[some.structure]
                slopes = self.slopes_along(batch, some)
                parts.append(tuple(term * heavy[:, None] for term in slopes))
            if self.stress is not None:
                found = self.stresses(numbers, batch)
                parts.append(tuple(term * found.factors[:, None] for term in found.terms))
            return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))

    def _atoms_of(self, numbers: Int[Tensor, " chosen"]) -> Float[Tensor, "atom 3"]:
        """Forces of the chosen structures."""
        if self.forces is None:
            raise ValueError("there are no forces to learn from")
        values = torch.as_tensor(self.forces.values)
        counts = self.structures.counts.cpu()
        starts = counts.cumsum(0) - counts
        own = counts[numbers]
        first = starts[numbers].repeat_interleave(own)
        within = torch.arange(len(first)) - (own.cumsum(0) - own).repeat_interleave(own)
        return values.double().cpu()[first + within]


def _projected(
    tensors: Float[Tensor, "structure column 3 3"], batch: Structures
) -> Float[Tensor, "structure column 3 3"]:
    """The symmetric part along the periodic directions of a structure."""
    symmetric = (tensors + tensors.mT) / 2
    if bool(batch.pbc.all()):
        return symmetric
    projector = projectors(batch).to(symmetric)[:, None]
    return projector @ symmetric @ projector


def _cpu(terms: Sequence[Tensor]) -> Terms:
    return tuple(term.cpu().double() for term in terms)
