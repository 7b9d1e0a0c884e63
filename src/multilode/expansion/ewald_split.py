"""Ewald split: neighbors for the short-ranged part of a potential, waves for its smooth rest."""

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.errors import blame_structure
from multilode.expansion.accuracy import check_own_tolerance
from multilode.expansion.center import add_center
from multilode.expansion.lattice.box import basis_reach, free_directions
from multilode.expansion.mesh.method import Mesh
from multilode.expansion.method import AbstractMethod, Estimate, Workload
from multilode.expansion.pairs.pair_sum import (
    PAIR_BYTES,
    PairSum,
    pair_nanoseconds,
    pairs_of_box,
)
from multilode.expansion.problem import Problem
from multilode.fields import AbstractField, between
from multilode.fields.cutoffs import StepCutoff
from multilode.fields.field import SMEARING_RANGE, mean_over_periods
from multilode.numerics.memory import require_bytes
from multilode.numerics.special import Parameter, number
from multilode.radial.tables import real_reach, reciprocal_table
from multilode.structures.batch import Structures

_WIDEST = SMEARING_RANGE.highest
_DEFAULT_RATIO = 2.0  # of screening to smearing
# that `auto` tries; the last are for few atoms in a large box
SCREENING_RATIOS = (1.5, 2.0, 3.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_CALLS = 200  # over which the making of a table counts


@final
@dataclass(frozen=True)
class EwaldSplit(AbstractMethod):
    """v_s = (v_s - v_s') + v_s': the first part over neighbors, the second over waves.

    For small smearings in large or dilute cells: the rest needs a coarse mesh, or few waves. The
    result does not depend on s'.

    Source: theory#ewald-split; Ewald1921.

    Args:
        tolerance: relative accuracy of both parts; None: that of the problem.
        screening: s' in Å, larger than the smearing and at most 100; twice the smearing by default.
        long_range: class of the method that sums the smooth part.

    Raises:
        ValueError: if the tolerance or the screening is out of range.
        TypeError: if the screening is no number, or the smooth part has no such method.
    """

    includes_center: ClassVar[bool] = True
    honors_cutoff: ClassVar[bool] = False
    takes_strengths: ClassVar[bool] = True
    tolerance: float | None = None
    screening: float | None = None
    long_range: type[AbstractMethod] = Mesh

    def __post_init__(self) -> None:
        check_own_tolerance(self.tolerance)
        screening = self.screening
        if isinstance(screening, bool) or not isinstance(screening, Real | None):
            raise TypeError(f"screening is {screening!r}; give a length in Å, or None")
        if screening is not None and not SMEARING_RANGE.lowest < screening <= _WIDEST:
            raise ValueError(
                f"screening is {screening} Å; it must exceed the smearing and be at most "
                f"{_WIDEST:g} Å"
            )
        if not _sums_everything(self.long_range):
            raise TypeError(
                f"long_range is {self.long_range!r}; give the class of a method that sums all "
                "atoms, as one of the classes Mesh, ReciprocalSum"
            )

    def coefficients(self, problem: Problem) -> list[Float[Tensor, "center m channel n"]]:
        """Coefficients of everything around each center, itself included, one per l.

        Raises:
            ValueError: if the screening does not divide the Gaussians of the field in two.
            StructureError: if the memory does not hold the neighbors, or not what the smooth part
                needs.
        """
        expansion = problem.expansion
        field = expansion.field
        screening = self._screening(field)
        sharp = between(field, 0.0, screening)
        smooth = replace(expansion, field=between(field, screening, math.inf))
        reach = real_reach(sharp, expansion.basis, expansion.max_angular, problem.tolerance)
        _check_memory(problem.structures, reach, screening)
        short = replace(expansion, field=sharp, neighbor_cutoff=reach, cutoff_function=StepCutoff())
        rest = replace(problem, expansion=smooth)
        near = _short_ranged(replace(problem, expansion=short))
        result = [a + b for a, b in zip(self.long_range().coefficients(rest), near, strict=True)]
        result[0] = result[0] + _finite_parts(rest, sharp, field.decay)
        return result

    def estimate(self, workload: Workload) -> Estimate | None:
        """A wider smearing has fewer nodes, in proportion to its cube, and more neighbors."""
        expansion = workload.expansion
        whole = self.long_range().estimate(workload)
        if whole is None:
            return None
        smearing = number(expansion.field.smearing)
        reach = basis_reach(expansion.basis, expansion.max_angular, workload.tolerance)
        # the part that no smearing changes
        atoms = workload.n_channels * workload.costs.touched * 1000 * workload.n_atoms
        options = []
        for screening in self._candidates(expansion.field):
            decay = screening * math.sqrt(2 * math.log(1 / workload.tolerance))
            pairs = pairs_of_box(workload, reach + decay)
            rest = max(atoms, whole.nanoseconds * (smearing / screening) ** 3)
            method = replace(self, screening=screening)
            cost = pair_nanoseconds(workload, pairs) + rest
            options.append(Estimate(cost + _table_nanoseconds(smearing, screening), method))
        return min(options, key=lambda option: option.nanoseconds, default=None)

    def _candidates(self, field: AbstractField) -> list[float]:
        """Widths that divide the Gaussians of a field, if it has more than one."""
        tried = [self.screening]
        if self.screening is None:
            tried = [ratio * number(field.smearing) for ratio in SCREENING_RATIOS]
        return [s for s in tried if s is not None and s <= _WIDEST and s < field.widest]

    def _screening(self, field: AbstractField) -> float:
        smearing, screening = number(field.smearing), self.screening
        if not smearing < field.widest:
            raise ValueError(
                f"an Ewald split divides fields with long tails, not {type(field).__name__}; "
                "use PairSum"
            )
        if screening is None:
            screening = _DEFAULT_RATIO * smearing
            if screening > _WIDEST:
                raise ValueError(
                    f"a smearing of {smearing:g} Å is too wide for an Ewald split by default; use "
                    f"method mesh, or give a screening of at most {_WIDEST:g} Å"
                )
        if not smearing < screening < field.widest:
            raise ValueError(
                f"screening is {screening} Å; it must exceed the smearing of {smearing} Å and be "
                f"at most {min(_WIDEST, field.widest):g} Å"
            )
        return screening


def _table_nanoseconds(smearing: float, screening: float) -> float:
    """The share of one call in the making of a table, by measurements of tables of all widths."""
    seconds = 0.9 / smearing + 0.06 * screening / smearing**1.5
    return 1e9 * seconds / _CALLS


def _sums_everything(given: object) -> bool:
    """Whether this is the class of a method for the smooth part."""
    if not (isinstance(given, type) and issubclass(given, AbstractMethod)):
        return False
    return given.includes_center and not given.honors_cutoff


def _short_ranged(problem: Problem) -> list[Float[Tensor, "center m channel n"]]:
    """Neighbors, and the center's own part of the screened field."""
    return add_center(PairSum().coefficients(problem), problem, 1.0)


def _finite_parts(
    problem: Problem, sharp: AbstractField, decay: float
) -> Float[Tensor, "center 1 channel n"]:
    """Terms by which conventions for divergent sums treat v_s and its two parts differently.

    Along three periods and p <= 3 the mean of v_s is left out, while neighbors bring the mean
    of v_s - v_s'. Along d < 3 periods only p = d knows the smearing: its finite part is zero
    at the plane or the axis for v_s as for v_s', and neighbors bring their difference. Without
    an algebraic tail all sums converge, and nothing is missing.

    Args:
        problem: of the smooth part.
        sharp: the short-ranged part of the field.
        decay: exponent p of the tail of the field, infinite if there is none.
    """
    smooth, structures = problem.expansion, problem.structures
    table = reciprocal_table(smooth.field, smooth.basis, smooth.max_angular, problem.tolerance)
    sources = problem.sources
    totals = sources.new_zeros((structures.n_structures, problem.n_channels))
    totals = totals.index_add(0, structures.structure_index, sources)
    fronts = []
    for cell, pbc in zip(structures.cell, structures.pbc, strict=True):
        periods = cell[pbc]
        mean = _mean_difference(sharp, decay, len(periods))
        # volume of a cell, area of a layer or length of a wire
        extent = torch.linalg.det(periods @ periods.T).sqrt() if len(periods) else 1.0
        fronts.append(torch.as_tensor(mean / extent).to(structures.positions))
    constant = -math.sqrt(4 * math.pi) * torch.stack(fronts)[:, None] * totals
    constant = constant[structures.structure_index[problem.centers]]
    return constant[:, None, :, None] * table.origin.to(constant)


def _check_memory(structures: Structures, reach: float, screening: float) -> None:
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
        with blame_structure(i):
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
