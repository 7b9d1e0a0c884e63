"""The choice of a method for each structure, by a model of what each would cost."""

import itertools
import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from multilode.expansion.ewald_split import EwaldSplit
from multilode.expansion.expansion import FieldExpansion
from multilode.expansion.lattice.box import Box, basis_reach, enclosing_box
from multilode.expansion.lattice.cell_cache import CELL_CACHE, tensor_key
from multilode.expansion.lattice.reciprocal_sum import ReciprocalSum
from multilode.expansion.lattice.reduced_cell import reduction
from multilode.expansion.mesh.method import Mesh
from multilode.expansion.mesh.plan import plan_for
from multilode.expansion.pairs.pair_sum import PairSum
from multilode.fields.field import SMEARING_RANGE
from multilode.numerics.special import number
from multilode.radial.tables import most_demanding, real_reach, reciprocal_table
from multilode.structures.batch import Structures

Method = PairSum | ReciprocalSum | EwaldSplit | Mesh

_SMALL_MOLECULE = 300  # atoms; fewer are always summed over pairs
_SCREENINGS = (1.5, 2.0, 3.0, 4.0)  # ratios of s' to s that a split tries


@final
@dataclass(frozen=True)
class Costs:
    """Nanoseconds of one unit of work of each method, measured by `benchmarks/calibrate.py`.

    Only ratios matter for the choice; they were measured on one machine with two cores.
    """

    start: float  # of a structure, whatever its size
    phase: float  # cosine and sine of an atom and a wave, and their products
    product: float  # multiplication in a large matrix product
    wave: float  # column of a weight
    touched: float  # node around an atom, and channel
    derivative: float  # atom, channel and coefficient
    node: float  # mesh node and channel: transforms
    pair: float  # pair, apart from its channels
    pair_channel: float  # pair and radial channel


COSTS = Costs(
    start=2.5e6,
    phase=8.4,
    product=0.0078,
    wave=10.2,
    touched=0.34,
    derivative=6.6,
    node=32.0,
    pair=304.0,
    pair_channel=0.97,
)


def choose(
    expansion: FieldExpansion, tolerance: float, box: Box, n_atoms: int, n_species: int
) -> Method:
    """The cheapest method for one structure.

    An expansion with a cutoff has neighbors only. Without one, every method is an option that can
    reach the tolerance; the direct sum over waves always can, and one over pairs wherever the field
    or the structure ends.

    Args:
        expansion: field and basis.
        tolerance: relative accuracy.
        box: the periodic box that stands for the structure, see `enclosing_box`.
        n_atoms: atoms of the structure.
        n_species: species that are told apart.
    """
    if expansion.neighbor_cutoff is not None:
        return PairSum(tolerance)
    options: list[tuple[float, Method]] = [
        (_reciprocal_cost(expansion, tolerance, box, n_atoms, n_species), ReciprocalSum(tolerance))
    ]
    if math.isinf(expansion.field.decay):
        radius = real_reach(expansion.field, expansion.radial, expansion.max_angular, tolerance)
        pairs = _pairs_within(expansion, tolerance, box, n_atoms, radius)
        options.append((_pair_cost(expansion, pairs), PairSum(tolerance)))
    elif not any(box.pbc):
        options.append((_pair_cost(expansion, n_atoms**2), PairSum(tolerance)))
    mesh = _mesh_cost(expansion, tolerance, box, n_atoms, n_species)
    if mesh is not None:
        options.append((mesh, Mesh(tolerance)))
        options.extend(_splits(expansion, tolerance, box, n_atoms, n_species, mesh))
    return min(options, key=lambda option: option[0])[1]


def choose_all(
    expansion: FieldExpansion, tolerance: float, structures: Structures, n_species: int
) -> list[Method]:
    """A method for each structure of a batch; structures that are alike are looked at once."""
    if expansion.neighbor_cutoff is not None:
        return [PairSum(tolerance)] * structures.n_structures
    counts = structures.counts.tolist()
    flags = [tuple(row) for row in structures.pbc.tolist()]
    # lengths that tell a needle from a cube of its volume, however the cell is turned
    sizes = torch.linalg.svdvals(structures.cell.detach()).tolist()
    starts = [0, *itertools.accumulate(counts)]
    known: dict[tuple[object, ...], Method] = {}
    methods = []
    for i, (count, pbc, lengths) in enumerate(zip(counts, flags, sizes, strict=True)):
        if not any(pbc) and count <= _SMALL_MOLECULE:
            methods.append(PairSum(tolerance))
            continue
        key: tuple[object, ...] = (i,)  # vacuum has to be looked at
        if all(pbc):  # an eighth of an octave of each length changes no choice by much
            key = (
                pbc,
                round(4 * math.log2(count + 1)),
                *(round(8 * math.log2(x)) for x in lengths),
            )
        if key not in known:
            box = _box(expansion, tolerance, structures, slice(starts[i], starts[i + 1]), i)
            known[key] = _remembered(expansion, tolerance, box, count, n_species)
        methods.append(known[key])
    return methods


def _remembered(
    expansion: FieldExpansion, tolerance: float, box: Box, n_atoms: int, n_species: int
) -> Method:
    """The same choice, made once for each box: it would take as long as a small crystal."""
    if any(isinstance(value, Tensor) for value in vars(expansion.field).values()):
        return choose(expansion, tolerance, box, n_atoms, n_species)
    own = (tensor_key(box.cell), box.pbc, box.exact, box.taper)
    return CELL_CACHE.get(
        ("method", COSTS, expansion, tolerance, n_atoms, n_species, *own),
        lambda: choose(expansion, tolerance, box, n_atoms, n_species),
    )


def _box(
    expansion: FieldExpansion, tolerance: float, structures: Structures, atoms: slice, index: int
) -> Box:
    table = reciprocal_table(
        most_demanding(expansion.field), expansion.radial, expansion.max_angular, tolerance
    )
    return enclosing_box(
        structures.positions[atoms].detach(),
        structures.cell[index].detach(),
        tuple(structures.pbc[index].tolist()),
        reach=basis_reach(expansion.radial, expansion.max_angular, tolerance),
        band=table.k_max,
        tolerance=tolerance,
    )


def _channels(expansion: FieldExpansion) -> int:
    return (expansion.max_angular + 1) ** 2 * expansion.radial.n_radial


def _reciprocal_cost(
    expansion: FieldExpansion, tolerance: float, box: Box, n_atoms: int, n_species: int
) -> float:
    k_max = reciprocal_table(
        most_demanding(expansion.field), expansion.radial, expansion.max_angular, tolerance
    ).k_max
    waves = float(box.volume.detach()) * k_max**3 / (12 * math.pi**2)
    columns = _channels(expansion)
    pairs = n_atoms * n_species * columns
    return COSTS.start + waves * (
        COSTS.phase * n_atoms * n_species + COSTS.product * pairs + COSTS.wave * columns
    )


def _mesh_cost(
    expansion: FieldExpansion, tolerance: float, box: Box, n_atoms: int, n_species: int
) -> float | None:
    """None where no mesh reaches the tolerance."""
    cell = box.cell.detach().double().cpu().numpy()
    cell = reduction(cell, box.pbc) @ cell
    try:
        plan = plan_for(expansion, tolerance, cell[None], n_atoms)
    except ValueError:
        return None
    nodes = math.prod(plan.shape(cell))
    channels = n_species * plan.compression.n_functions
    atom = COSTS.touched * plan.window.width**3 + COSTS.derivative * _channels(expansion)
    return 2 * COSTS.start + channels * (COSTS.node * nodes + n_atoms * atom)


def _pair_cost(expansion: FieldExpansion, pairs: float) -> float:
    return COSTS.start + pairs * (COSTS.pair + COSTS.pair_channel * _channels(expansion))


def _pairs_within(
    expansion: FieldExpansion, tolerance: float, box: Box, n_atoms: int, radius: float
) -> float:
    reach = basis_reach(expansion.radial, expansion.max_angular, tolerance)
    filled = float(box.volume.detach())  # by atoms
    for axis in box.free:
        filled *= max(1.0, box.exact[axis] - reach) / (2 * box.exact[axis] + box.taper)
    share = 4.19 * radius**3 / filled  # above one where images are neighbors too
    return n_atoms**2 * (share if any(box.pbc) else min(1.0, share))


def _splits(
    expansion: FieldExpansion,
    tolerance: float,
    box: Box,
    n_atoms: int,
    n_species: int,
    mesh: float,
) -> list[tuple[float, Method]]:
    """A wider smearing has fewer nodes, in proportion to its cube, and more neighbors."""
    field = expansion.field
    smearing = number(field.smearing)
    reach = basis_reach(expansion.radial, expansion.max_angular, tolerance)
    atoms = n_species * COSTS.touched * 1000 * n_atoms  # the part that no smearing changes
    options: list[tuple[float, Method]] = []
    for ratio in _SCREENINGS:
        if not ratio * smearing < min(field.widest, SMEARING_RANGE.highest):
            continue  # nothing to divide
        radius = reach + ratio * smearing * math.sqrt(2 * math.log(1 / tolerance))
        pairs = _pairs_within(expansion, tolerance, box, n_atoms, radius)
        cost = _pair_cost(expansion, pairs) + max(atoms, mesh / ratio**3)
        options.append((cost, EwaldSplit(tolerance, ratio * smearing)))
    return options
