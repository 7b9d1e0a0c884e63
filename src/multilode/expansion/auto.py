"""The choice of a method for each structure, by a model of their costs."""

import itertools
import math

import torch
from torch import Tensor

from multilode.expansion.costs import COSTS, DERIVATIVE_COSTS, Costs
from multilode.expansion.lattice.box import basis_reach, enclosing_box
from multilode.expansion.lattice.cell_cache import CELL_CACHE, tensor_key
from multilode.expansion.method import AbstractMethod, Workload
from multilode.expansion.pairs.pair_sum import PairSum
from multilode.expansion.problem import Problem
from multilode.expansion.table import METHODS
from multilode.fields.field import parameters
from multilode.radial.tables import reciprocal_table

_SMALL_MOLECULE = 300  # atoms; fewer are always summed over pairs


def choose(workload: Workload) -> AbstractMethod:
    """The cheapest method for one structure, among those of the table that can do it.

    The direct sum over waves always can.
    """
    able = [m for m in METHODS.values() if m.takes_strengths or not workload.strengths]
    estimates = [method().estimate(workload) for method in able]
    possible = [estimate for estimate in estimates if estimate is not None]
    return min(possible, key=lambda estimate: estimate.nanoseconds).method


def choose_all(problem: Problem, costs: Costs | None = None) -> list[AbstractMethod]:
    """A method for each structure of a batch; structures that are alike are looked at once.

    An expansion with a cutoff has neighbors only, and is summed over pairs.

    Args:
        problem: an expansion of the batch.
        costs: of the units of work; by default those with derivatives where these are wanted.
    """
    structures = problem.structures
    costs = costs or (DERIVATIVE_COSTS if problem.differentiated else COSTS)
    if problem.expansion.neighbor_cutoff is not None:
        return [PairSum()] * structures.n_structures
    counts = structures.counts.tolist()
    flags = [tuple(row) for row in structures.pbc.tolist()]
    # lengths that tell a needle from a cube of its volume, however the cell is turned
    sizes = torch.linalg.svdvals(structures.cell.detach()).tolist()
    starts = [0, *itertools.accumulate(counts)]
    known: dict[tuple[object, ...], AbstractMethod] = {}
    methods = []
    for i, (count, pbc, lengths) in enumerate(zip(counts, flags, sizes, strict=True)):
        if not any(pbc) and count <= _SMALL_MOLECULE:
            methods.append(PairSum())
            continue
        key: tuple[object, ...] = (i,)  # vacuum has to be looked at
        if all(pbc):  # an eighth of an octave of each length changes no choice by much
            octaves = (round(8 * math.log2(x)) for x in lengths)
            key = (pbc, round(4 * math.log2(count + 1)), *octaves)
        if key not in known:
            atoms = slice(starts[i], starts[i + 1])
            known[key] = _remembered(workload_of(problem, i, atoms, costs))
        methods.append(known[key])
    return methods


def workload_of(problem: Problem, index: int, atoms: slice, costs: Costs = COSTS) -> Workload:
    """One structure of a batch, as methods estimate its cost.

    Args:
        problem: an expansion of the batch.
        index: of the structure.
        atoms: its atoms.
        costs: of the units of work.
    """
    expansion, structures, tolerance = problem.expansion, problem.structures, problem.tolerance
    size = (expansion.basis, expansion.max_angular)
    box = enclosing_box(
        structures.positions[atoms].detach(),
        structures.cell[index].detach(),
        tuple(structures.pbc[index].tolist()),
        reach=basis_reach(*size, tolerance),
        band=reciprocal_table(expansion.field, *size, tolerance).k_max,
        tolerance=tolerance,
    )
    n_atoms = atoms.stop - atoms.start
    channels = (problem.n_channels, problem.strengths is not None)
    return Workload(expansion, tolerance, box, n_atoms, *channels, costs)


def _remembered(workload: Workload) -> AbstractMethod:
    """The same choice, made once for each box: it would take as long as a small crystal."""
    expansion, box = workload.expansion, workload.box
    if any(isinstance(value, Tensor) for value in parameters(expansion.field).values()):
        return choose(workload)
    own = (tensor_key(box.cell), box.pbc, box.exact, box.taper)
    channels = (workload.n_channels, workload.strengths)
    sizes = (workload.tolerance, workload.n_atoms, *channels)
    return CELL_CACHE.get(
        ("method", tuple(METHODS.values()), workload.costs, expansion, *sizes, *own),
        lambda: choose(workload),
    )
