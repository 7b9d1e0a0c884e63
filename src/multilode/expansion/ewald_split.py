"""Ewald split: neighbors for the short-ranged part of a potential, waves for its smooth rest."""

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.errors import about
from multilode.expansion.expansion import FieldExpansion
from multilode.expansion.lattice.box import free_directions
from multilode.expansion.lattice.reciprocal_sum import ReciprocalSum
from multilode.expansion.mesh.method import Mesh
from multilode.expansion.pairs.pair_sum import PAIR_BYTES, PairSum
from multilode.fields import AbstractField, between
from multilode.fields.cutoffs import StepCutoff
from multilode.fields.field import SMEARING_RANGE, mean_over_periods
from multilode.numerics.memory import require_bytes
from multilode.numerics.special import Parameter, number
from multilode.radial.tables import (
    DEFAULT_TOLERANCE,
    check_tolerance,
    real_reach,
    real_table,
    reciprocal_table,
)
from multilode.structures.batch import Structures

_DEFAULT_RATIO = 2.0  # of screening to smearing


@final
@dataclass(frozen=True)
class EwaldSplit:
    """v_s = (v_s - v_s') + v_s': the first part over neighbors, the second over waves.

    For small smearings in large or dilute cells: the rest needs a coarse mesh, or few waves. The
    result does not depend on s'. Source: theory, section 2, range separation.

    Args:
        tolerance: relative accuracy of both parts.
        screening: s' in Å, larger than the smearing and at most 100; twice the smearing by default.
        long_range: how the smooth part is done.

    Raises:
        ValueError: if the tolerance or the screening is out of range.
        TypeError: if the screening is no number, or the smooth part has no such method.
    """

    tolerance: float = DEFAULT_TOLERANCE
    screening: float | None = None
    long_range: type[Mesh] | type[ReciprocalSum] = Mesh

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance)
        screening = self.screening
        if isinstance(screening, bool) or not isinstance(screening, Real | None):
            raise TypeError(f"screening is {screening!r}; give a length in Å, or None")
        lowest, highest = SMEARING_RANGE.lowest, SMEARING_RANGE.highest
        if screening is not None and not lowest < screening <= highest:
            raise ValueError(
                f"screening is {screening} Å; it must exceed the smearing and be at most "
                f"{highest:g} Å"
            )
        if self.long_range not in (Mesh, ReciprocalSum):
            raise TypeError(
                f"long_range is {self.long_range!r}; give one of the classes Mesh, ReciprocalSum"
            )

    def coefficients(
        self,
        expansion: FieldExpansion,
        structures: Structures,
        neighbor_species: Int[Tensor, " species"],
        centers: Int[Tensor, " center"],
    ) -> list[Float[Tensor, "center m species n"]]:
        """Coefficients of everything around each center, itself included, one per l.

        Raises:
            ValueError: if the screening does not divide the Gaussians of the field in two.
            StructureError: if the memory does not hold the neighbors, or not what the smooth part
                needs.
        """
        field = expansion.field
        screening = self._dividing(field)
        sharp = between(field, 0.0, screening)
        smooth = replace(expansion, field=between(field, screening, math.inf))
        reach = real_reach(sharp, expansion.radial, expansion.max_angular, self.tolerance)
        _foresee(structures, reach, screening)
        result = self.long_range(self.tolerance).coefficients(
            smooth, structures, neighbor_species, centers
        )
        near = self._short_ranged(
            replace(expansion, field=sharp, neighbor_cutoff=reach, cutoff_function=StepCutoff()),
            structures,
            neighbor_species,
            centers,
        )
        result = [a + b for a, b in zip(result, near, strict=True)]
        result[0] = result[0] + self._finite_parts(
            smooth, sharp, field.decay, structures, neighbor_species, centers
        )
        return result

    def _dividing(self, field: AbstractField) -> float:
        """The width that divides the Gaussians of a field."""
        smearing, screening = number(field.smearing), self.screening
        highest = SMEARING_RANGE.highest
        if not smearing < field.widest:
            raise ValueError(
                f"an Ewald split divides fields with long tails, not {type(field).__name__}; "
                "use PairSum"
            )
        if screening is None:
            screening = _DEFAULT_RATIO * smearing
            if screening > highest:
                raise ValueError(
                    f"a smearing of {smearing:g} Å is too wide for an Ewald split by default; use "
                    f"method mesh, or give a screening of at most {highest:g} Å"
                )
        if not smearing < screening < field.widest:
            raise ValueError(
                f"screening is {screening} Å; it must exceed the smearing of {smearing} Å and be "
                f"at most {highest:g} Å"
            )
        return screening

    def _short_ranged(
        self,
        expansion: FieldExpansion,
        structures: Structures,
        neighbor_species: Int[Tensor, " species"],
        centers: Int[Tensor, " center"],
    ) -> list[Float[Tensor, "center m species n"]]:
        """Neighbors, and the center's own part of the screened field."""
        blocks = PairSum(self.tolerance).coefficients(
            expansion, structures, neighbor_species, centers
        )
        table = real_table(
            expansion.field,
            expansion.radial,
            expansion.max_angular,
            expansion.neighbor_cutoff,
            self.tolerance,
        )
        own = table.origin.to(structures.positions)
        kind = torch.searchsorted(neighbor_species, structures.species[centers])
        chosen = torch.nn.functional.one_hot(kind, len(neighbor_species)).to(own.dtype)
        blocks[0] = blocks[0] + chosen[:, None, :, None] * own / math.sqrt(4 * math.pi)
        return blocks

    def _finite_parts(
        self,
        smooth: FieldExpansion,
        sharp: AbstractField,
        decay: float,
        structures: Structures,
        neighbor_species: Int[Tensor, " species"],
        centers: Int[Tensor, " center"],
    ) -> Float[Tensor, "center 1 species n"]:
        """What conventions for divergent sums see differently in v_s and in its two parts.

        Along three periods and p <= 3 the mean of v_s is left out, while neighbors bring the mean
        of v_s - v_s'. Along d < 3 periods only p = d knows the smearing: its finite part is zero
        at the plane or the axis for v_s as for v_s', and neighbors bring their difference. Without
        an algebraic tail all sums converge, and nothing is missing.
        """
        table = reciprocal_table(smooth.field, smooth.radial, smooth.max_angular, self.tolerance)
        counts = torch.nn.functional.one_hot(
            torch.searchsorted(neighbor_species, structures.species), len(neighbor_species)
        ).to(structures.positions.dtype)
        counts = counts.new_zeros((structures.n_structures, counts.shape[1])).index_add(
            0, structures.structure_index, counts
        )
        fronts = []
        for cell, pbc in zip(structures.cell, structures.pbc, strict=True):
            periods = cell[pbc]
            mean = _mean_difference(sharp, decay, len(periods))
            # volume of a cell, area of a layer or length of a wire
            extent = torch.linalg.det(periods @ periods.T).sqrt() if len(periods) else 1.0
            fronts.append(torch.as_tensor(mean / extent).to(structures.positions))
        constant = -math.sqrt(4 * math.pi) * torch.stack(fronts)[:, None] * counts
        constant = constant[structures.structure_index[centers]]
        return constant[:, None, :, None] * table.origin.to(constant)


def _foresee(structures: Structures, reach: float, screening: float) -> None:
    """Refuse more neighbors than the memory holds."""
    index, counts = structures.structure_index, structures.counts.tolist()
    for i, (count, cell, pbc) in enumerate(
        zip(counts, structures.cell.detach(), structures.pbc, strict=True)
    ):
        if count == 0:
            continue
        periods, flags = cell[pbc], tuple(pbc.tolist())
        filled = float(torch.linalg.det(periods @ periods.T).sqrt()) if len(periods) else 1.0
        # images within the reach, if the structure is thin along its free axes
        share = (1.0, 2 * reach, math.pi * reach**2, math.inf)[len(periods)] / filled
        if not all(flags):
            along = structures.positions[index == i].detach() @ free_directions(cell, flags).T
            filled *= float((along.amax(dim=0) - along.amin(dim=0)).clamp(min=1.0).prod())
        share = min(share, 4 / 3 * math.pi * reach**3 / filled)  # if it is thick
        with about(i):
            require_bytes(
                PAIR_BYTES[False] * share * count**2,
                structures.positions.device,
                what=f"a split at {screening:g} Å, with {share * count:.1e} neighbors of each atom "
                f"within {reach:.3g} Å,",
                remedy="use a smaller screening, or method mesh",
            )


def _mean_difference(sharp: AbstractField, decay: float, periods: int) -> Parameter:
    """Integral of v_s - v_s' over the periodic axes that conventions leave out of v_s."""
    if (periods == 3 and decay <= 3) or (periods and decay == periods):
        return mean_over_periods(sharp, periods)
    return 0.0
