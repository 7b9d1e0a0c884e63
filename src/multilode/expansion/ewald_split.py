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
from multilode.expansion.pairs.pair_sum import PAIR_BYTES, PairSum, pair_nanoseconds
from multilode.expansion.problem import Problem
from multilode.fields.cutoffs import StepCutoff
from multilode.fields.field import (
    LARGEST_SMEARING,
    SMALLEST_SMEARING,
    ScreenedPotential,
    SmearedPotential,
)
from multilode.numerics.memory import require_bytes
from multilode.numerics.special import Parameter, gamma, number
from multilode.radial.tables import real_reach, reciprocal_table
from multilode.structures.batch import Structures

_DEFAULT_RATIO = 2.0  # of screening to smearing
SCREENING_RATIOS = (1.5, 2.0, 3.0, 4.0)  # that `auto` tries


@final
@dataclass(frozen=True)
class EwaldSplit(AbstractMethod):
    """v_s = (v_s - v_s') + v_s': the first part over neighbors, the second over waves.

    For small smearings in large or dilute cells: the rest needs a coarse mesh, or few waves. The
    result does not depend on s'. Source: theory, section 2, range separation.

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
    tolerance: float | None = None
    screening: float | None = None
    long_range: type[AbstractMethod] = Mesh

    def __post_init__(self) -> None:
        check_own_tolerance(self.tolerance)
        screening = self.screening
        if isinstance(screening, bool) or not isinstance(screening, Real | None):
            raise TypeError(f"screening is {screening!r}; give a length in Å, or None")
        if screening is not None and not SMALLEST_SMEARING < screening <= LARGEST_SMEARING:
            raise ValueError(
                f"screening is {screening} Å; it must exceed the smearing and be at most "
                f"{LARGEST_SMEARING:g} Å"
            )
        if not _sums_everything(self.long_range):
            raise TypeError(
                f"long_range is {self.long_range!r}; give the class of a method that sums all "
                "atoms, as one of the classes Mesh, ReciprocalSum"
            )

    def coefficients(self, problem: Problem) -> list[Float[Tensor, "center m species n"]]:
        """Coefficients of everything around each center, itself included, one per l.

        Raises:
            ValueError: if the field is not a potential, or the screening is not wider than it.
            StructureError: if the memory does not hold the neighbors, or not what the smooth part
                needs.
        """
        expansion = problem.expansion
        field = expansion.field
        if not isinstance(field, SmearedPotential):
            raise ValueError(
                f"an Ewald split is for potentials, not for {type(field).__name__}; use PairSum"
            )
        screening = self._screening(number(field.smearing))
        sharp = ScreenedPotential(field.smearing, field.exponent, screening)
        smooth = replace(expansion, field=SmearedPotential(screening, field.exponent))
        reach = real_reach(sharp, expansion.radial, expansion.max_angular, problem.tolerance)
        _check_memory(problem.structures, reach, screening)
        short = replace(expansion, field=sharp, neighbor_cutoff=reach, cutoff_function=StepCutoff())
        rest = replace(problem, expansion=smooth)
        near = _short_ranged(replace(problem, expansion=short))
        result = [a + b for a, b in zip(self.long_range().coefficients(rest), near, strict=True)]
        result[0] = result[0] + _finite_parts(rest, sharp)
        return result

    def estimate(self, workload: Workload) -> Estimate | None:
        """A wider smearing has fewer nodes, in proportion to its cube, and more neighbors."""
        expansion, box = workload.expansion, workload.box
        whole = self.long_range().estimate(workload)
        if whole is None or not isinstance(expansion.field, SmearedPotential):
            return None
        smearing = number(expansion.field.smearing)
        reach = basis_reach(expansion.radial, expansion.max_angular, workload.tolerance)
        filled = float(box.volume.detach())  # by atoms
        for axis in box.free:
            filled *= max(1.0, box.exact[axis] - reach) / (2 * box.exact[axis] + box.taper)
        # the part that no smearing changes
        atoms = workload.n_species * workload.costs.touched * 1000 * workload.n_atoms
        options = []
        for screening in self._candidates(smearing):
            decay = screening * math.sqrt(2 * math.log(1 / workload.tolerance))
            share = 4.19 * (reach + decay) ** 3 / filled  # above one: images are neighbors too
            pairs = workload.n_atoms**2 * (share if any(box.pbc) else min(1.0, share))
            rest = max(atoms, whole.nanoseconds * (smearing / screening) ** 3)
            method = replace(self, screening=screening)
            options.append(Estimate(pair_nanoseconds(workload, pairs) + rest, method))
        return min(options, key=lambda option: option.nanoseconds, default=None)

    def _candidates(self, smearing: float) -> list[float]:
        if self.screening is not None:
            return [self.screening]
        tried = [ratio * smearing for ratio in SCREENING_RATIOS]
        return [screening for screening in tried if screening <= LARGEST_SMEARING]

    def _screening(self, smearing: float) -> float:
        if self.screening is not None:
            return self.screening
        if _DEFAULT_RATIO * smearing > LARGEST_SMEARING:
            raise ValueError(
                f"a smearing of {smearing:g} Å is too wide for an Ewald split by default; use "
                f"method mesh, or give a screening of at most {LARGEST_SMEARING:g} Å"
            )
        return _DEFAULT_RATIO * smearing


def _sums_everything(given: object) -> bool:
    """Whether this is the class of a method for the smooth part."""
    if not (isinstance(given, type) and issubclass(given, AbstractMethod)):
        return False
    return given.includes_center and not given.honors_cutoff


def _short_ranged(problem: Problem) -> list[Float[Tensor, "center m species n"]]:
    """Neighbors, and the center's own part of the screened field."""
    return add_center(PairSum().coefficients(problem), problem, 1.0)


def _finite_parts(
    problem: Problem, sharp: ScreenedPotential
) -> Float[Tensor, "center 1 species n"]:
    """What conventions for divergent sums see differently in v_s and in its two parts.

    Along three periods and p <= 3 the mean of v_s is left out, while neighbors bring the mean
    of v_s - v_s'. Along d < 3 periods only p = d knows the smearing: its finite part is zero
    at the plane or the axis for v_s as for v_s', and neighbors bring their difference.

    Args:
        problem: of the smooth part.
        sharp: the short-ranged part of the field.
    """
    smooth, structures = problem.expansion, problem.structures
    exponent = number(sharp.exponent)
    table = reciprocal_table(smooth.field, smooth.radial, smooth.max_angular, problem.tolerance)
    ones = torch.nn.functional.one_hot(problem.channels, problem.n_species)
    ones = ones.to(structures.positions.dtype)
    counts = ones.new_zeros((structures.n_structures, problem.n_species))
    counts = counts.index_add(0, structures.structure_index, ones)
    fronts = []
    for cell, pbc in zip(structures.cell, structures.pbc, strict=True):
        periods = cell[pbc]
        mean = _mean_difference(sharp, exponent, len(periods))
        # volume of a cell, area of a layer or length of a wire
        extent = torch.linalg.det(periods @ periods.T).sqrt() if len(periods) else 1.0
        fronts.append(torch.as_tensor(mean / extent).to(structures.positions))
    constant = -math.sqrt(4 * math.pi) * torch.stack(fronts)[:, None] * counts
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


def _mean_difference(sharp: ScreenedPotential, exponent: float, periods: int) -> Parameter:
    """Integral of v_s - v_s' over the periodic axes that conventions leave out of v_s."""
    if periods == 3 and exponent <= 3:
        return sharp.fourier_origin()
    if periods and exponent == periods:
        ratio = torch.log(torch.as_tensor(sharp.screening / sharp.smearing, dtype=torch.float64))
        return 2 * math.pi ** (0.5 * periods) / gamma(0.5 * sharp.exponent) * ratio
    return 0.0
