"""Expansion as a sum over reciprocal lattice vectors, written as matrix products."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.errors import blame_structure
from multilode.expansion.accuracy import check_own_tolerance, wave_tolerance
from multilode.expansion.expansion import FieldExpansion
from multilode.expansion.lattice.box import Box, basis_reach, enclosing_box
from multilode.expansion.lattice.cell_cache import CELL_CACHE, tensor_key
from multilode.expansion.lattice.columns import Columns, weight_columns
from multilode.expansion.lattice.kernel import lattice_kernel
from multilode.expansion.lattice.wave_sums import wave_sums
from multilode.expansion.method import AbstractMethod, Estimate, Workload
from multilode.expansion.problem import Problem
from multilode.fields import AbstractField
from multilode.fields.field import parameters
from multilode.numerics.heap import keep_freed_memory
from multilode.numerics.limits import current_limits, recomputed
from multilode.radial.tables import ReciprocalTable, reciprocal_table
from multilode.symmetry.harmonics import spherical_harmonics

# Weights [k, l m n] of a block
_BLOCK_ELEMENTS = 4_000_000
# Weights above which blocks are computed again in the backward pass
_RECOMPUTED_ELEMENTS = 50_000_000
# Weights [k, l m n] above which they are computed block by block even if the cell is fixed
_CACHED_ELEMENTS = 8_000_000
_MOST_PLANE_WAVES = 10**8


@final
@dataclass(frozen=True)
class ReciprocalSum(AbstractMethod):
    """Sum over half of the reciprocal lattice.

    Exact for structures that are periodic along three, two, one or no axes: free axes are given a
    box in which images do not see each other (`box`, `box_kernel`), whose size follows from the
    atoms alone. It knows the field of the whole structure, and no cutoff.

    Source: theory#reciprocal-space; Grisafi2019 Eq. 9.

    Args:
        tolerance: relative accuracy; it sets the largest |k| and the tables. None: that of the
            problem.

    Raises:
        ValueError: if the tolerance is outside of [1e-12, 1e-2].
    """

    includes_center: ClassVar[bool] = True
    honors_cutoff: ClassVar[bool] = False
    takes_strengths: ClassVar[bool] = True
    tolerance: float | None = None

    def __post_init__(self) -> None:
        check_own_tolerance(self.tolerance)

    def coefficients(self, problem: Problem) -> list[Float[Tensor, "center m channel n"]]:
        """Coefficients of everything around each center, itself included, one per l.

        Raises:
            StructureError: if a structure needs more plane waves than any memory holds.
        """
        keep_freed_memory()
        structures = problem.structures
        counts = structures.counts
        stops = counts.cumsum(0).tolist()
        center_structure = structures.structure_index[problem.centers]
        per_structure = torch.bincount(center_structure, minlength=structures.n_structures)
        chosen = torch.split(problem.centers, per_structure.tolist())
        pieces = []
        for index, (stop, count) in enumerate(zip(stops, counts.tolist(), strict=True)):
            with blame_structure(index):
                atoms = slice(stop - count, stop)
                pieces.append(_one_structure(problem, index, atoms, chosen[index] - atoms.start))
        return [torch.cat(blocks) for blocks in zip(*pieces, strict=True)]

    def estimate(self, workload: Workload) -> Estimate:
        """Waves of half a sphere, times the atoms, and times the coefficients."""
        costs, expansion = workload.costs, workload.expansion
        k_max = reciprocal_table(
            expansion.field, expansion.basis, expansion.max_angular, workload.tolerance
        ).k_max
        waves = float(workload.box.volume.detach()) * k_max**3 / (12 * math.pi**2)
        columns = workload.n_coefficients
        rows = workload.n_atoms * workload.n_channels
        wave = costs.phase * rows + costs.product * rows * columns + costs.wave * columns
        return Estimate(costs.start + waves * wave, self)


@final
@dataclass(frozen=True)
class _Waves:
    """Wave vectors of one cell, with quantities of the cell and the expansion alone."""

    steps: Int[Tensor, "k 3"]
    kernel: Float[Tensor, " k"]
    origin: Float[Tensor, ""]  # of the kernel: k = 0
    columns: Columns | None  # None: compute them block by block

    def part(self, chosen: slice) -> "_Waves":
        """Some of the wave vectors."""
        columns = self.columns and (self.columns[0][chosen], self.columns[1][chosen])
        return _Waves(self.steps[chosen], self.kernel[chosen], self.origin, columns)


@final
@dataclass(frozen=True)
class _Crystal:
    """One structure in its periodic box, as a sum over waves sees it."""

    expansion: FieldExpansion
    table: ReciprocalTable
    angles: Float[Tensor, "atom 3"]  # fractional coordinates times 2 pi
    reciprocal: Float[Tensor, "3 3"]  # columns are reciprocal vectors
    volume: Float[Tensor, ""]
    sources: Float[Tensor, "channel atom"]
    kinds: Int[Tensor, " atom"] | None  # the channel of each atom, if it has one
    centers: Int[Tensor, " center"]

    @property
    def width(self) -> int:
        """Coefficients (l, m, n)."""
        return (self.expansion.max_angular + 1) ** 2 * self.table.n_radial


def _one_structure(
    problem: Problem, index: int, atoms: slice, centers: Int[Tensor, " center"]
) -> list[Float[Tensor, "center m channel n"]]:
    expansion, structures = problem.expansion, problem.structures
    size = (expansion.basis, expansion.max_angular)
    positions, pbc = structures.positions[atoms], structures.pbc[index]
    tolerance = wave_tolerance(problem.tolerance, expansion.field, pbc)
    table = reciprocal_table(expansion.field, *size, tolerance)
    reach = 0.0 if bool(pbc.all()) else basis_reach(*size, tolerance)
    box = enclosing_box(
        positions,
        structures.cell[index],
        tuple(pbc.tolist()),
        reach=reach,
        band=table.k_max,
        tolerance=tolerance,
    )
    sources, kinds = problem.sources[atoms].T, problem.channels
    kinds = None if kinds is None else kinds[atoms]
    reciprocal = 2 * torch.pi * torch.linalg.inv(box.cell)
    angles = positions @ reciprocal
    # a lattice translation changes nothing but the rounding of large phases
    angles = angles - 2 * torch.pi * torch.round(angles.detach() / (2 * torch.pi))
    crystal = _Crystal(expansion, table, angles, reciprocal, box.volume, sources, kinds, centers)
    return _sum_waves(crystal, _waves(expansion, table, box, reciprocal, box.volume))


def _sum_waves(crystal: _Crystal, waves: _Waves) -> list[Float[Tensor, "center m channel n"]]:
    width, sources = crystal.width, crystal.sources
    limits, itemsize = current_limits(), sources.itemsize
    kept = limits.kept_size(_RECOMPUTED_ELEMENTS, itemsize)
    recompute = torch.is_grad_enabled() and len(waves.steps) * width > kept
    step = max(256, limits.block_size(_BLOCK_ELEMENTS, itemsize) // width)
    even = odd = None
    for first in range(0, len(waves.steps), step):
        given = (waves.part(slice(first, first + step)), crystal)
        products = recomputed(_block, *given) if recompute else _block(*given)
        even = products[0] if even is None else even + products[0]
        odd = products[1] if odd is None else odd + products[1]
    result = _unpack(even, odd, crystal)
    front = math.sqrt(4 * math.pi) * waves.origin / crystal.volume  # k = 0, which only l = 0 has
    origin = crystal.table.origin.to(sources)
    result[0] = result[0] + front * sources.sum(dim=1)[:, None] * origin
    return result


def _waves(
    expansion: FieldExpansion,
    table: ReciprocalTable,
    box: Box,
    reciprocal: Float[Tensor, "3 3"],
    volume: Float[Tensor, ""],
) -> _Waves:
    """From the cache if nothing here is differentiated: not the cell and not the field."""
    own = (tensor_key(box.cell), box.pbc, box.exact, box.taper)
    fixed = reciprocal.detach()

    def lattice() -> Int[Tensor, "k 3"]:
        return half_space(box.cell.detach(), fixed, table.k_max, box)

    def build(steps: Int[Tensor, "k 3"]) -> _Waves:
        k_vectors = steps.to(fixed.dtype) @ fixed.T
        kernel, origin = _kernel(expansion.field, box, steps, k_vectors)
        width = (expansion.max_angular + 1) ** 2 * table.n_radial
        columns = None
        if len(steps) * width <= current_limits().kept_size(_CACHED_ELEMENTS, fixed.itemsize):
            columns = _weights(expansion, table, k_vectors, kernel, volume)
        return _Waves(steps, kernel, origin, columns)

    moving = box.cell.requires_grad and torch.is_grad_enabled()
    if not moving and not any(isinstance(v, Tensor) for v in parameters(expansion.field).values()):
        # a table belongs to one field, basis, max_angular and tolerance
        return CELL_CACHE.get(("waves", *own, table, expansion.field), lambda: build(lattice()))
    steps = CELL_CACHE.get(("half space", *own, table.k_max), lattice)
    k_vectors = steps.to(reciprocal.dtype) @ reciprocal.T
    return _Waves(steps, *_kernel(expansion.field, box, steps, k_vectors), None)


def _kernel(
    field: AbstractField,
    box: Box,
    steps: Int[Tensor, "k 3"],
    k_vectors: Float[Tensor, "k 3"],
) -> tuple[Float[Tensor, " k"], Float[Tensor, ""]]:
    """Kernel at the wave vectors and at k = 0."""
    if not box.free:
        origin = field.fourier_origin()
        return (
            field.fourier(torch.linalg.vector_norm(k_vectors, dim=1)),
            torch.as_tensor(origin, dtype=k_vectors.dtype, device=k_vectors.device),
        )
    top = steps.abs().amax(dim=0).tolist() if len(steps) else [0, 0, 0]
    # the kernel is even along each free axis, and the first axis has its upper half only
    lows = [-top[axis] if axis and box.pbc[axis] else 0 for axis in range(3)]
    axes = [torch.arange(lows[a], top[a] + 1, device=steps.device) for a in range(3)]
    grid = lattice_kernel(field, box, (axes[0], axes[1], axes[2]))
    x, y, z = (
        steps[:, axis] - lows[axis] if box.pbc[axis] else steps[:, axis].abs() for axis in range(3)
    )
    return grid[x, y, z], grid[-lows[0], -lows[1], -lows[2]]


def _block(
    waves: _Waves, crystal: _Crystal
) -> tuple[Float[Tensor, "center_channel even"], Float[Tensor, "center_channel odd"]]:
    """Contribution of some wave vectors, columns (l, m, n) of even and of odd l."""
    h = waves.steps.to(crystal.angles.dtype)
    even, odd = waves.columns or _weights(
        crystal.expansion, crystal.table, h @ crystal.reciprocal.T, waves.kernel, crystal.volume
    )
    sources, kinds = crystal.sources, crystal.kinds
    return wave_sums(crystal.angles, h, (even, odd), sources, crystal.centers, kinds)


def half_space(
    cell: Float[Tensor, "3 3"], reciprocal: Float[Tensor, "3 3"], k_max: float, box: Box
) -> Int[Tensor, "k 3"]:
    """Integers h of one of each pair k, -k with 0 < |k| <= k_max, k = 2 pi h cell^-T.

    Valid for skewed and left-handed cells: h_i = k . a_i / 2 pi is at most k_max |a_i| / 2 pi.

    Source: theory#reciprocal-space.

    Raises:
        ValueError: if there are so many that no memory would suffice.
    """
    lengths = torch.linalg.vector_norm(cell, dim=1)
    limits = torch.floor(k_max * lengths / (2 * math.pi)).to(torch.int64).tolist()
    count = math.prod(2 * n + 1 for n in limits) / 2
    if count > _MOST_PLANE_WAVES:
        raise ValueError(_too_many(lengths.tolist(), count, box))
    axes = [torch.arange(-n, n + 1, device=cell.device) for n in limits]
    axes[0] = axes[0][limits[0] :]
    h = torch.cartesian_prod(*axes)
    upper = (h[:, 0] > 0) | (h[:, 1] > 0) & (h[:, 0] == 0)
    upper |= (h[:, 2] > 0) & (h[:, 0] == 0) & (h[:, 1] == 0)
    k = h.to(cell.dtype) @ reciprocal.T
    return h[upper & (k.square().sum(dim=1) <= k_max**2)]


def _too_many(lengths: list[float], count: float, box: Box) -> str:
    edges = ", ".join(f"{length:.4g}" for length in lengths)
    what, remedy = f"a cell of {edges} Å", "pbc=False for a molecule, a smaller cell"
    if box.free:
        what = f"a structure that needs a box of {edges} Å, vacuum included,"
        remedy = "a structure that extends less far along its axes without periodicity"
    return (
        f"{what} needs up to {count:.1e} plane waves, more than {_MOST_PLANE_WAVES:.0e}; use "
        f"{remedy}, or a larger smearing"
    )


def _weights(
    expansion: FieldExpansion,
    table: ReciprocalTable,
    k_vectors: Float[Tensor, "k 3"],
    kernel: Float[Tensor, " k"],
    volume: Float[Tensor, ""],
) -> Columns:
    """Kernel times projector; depends on the cell alone."""
    k = torch.linalg.vector_norm(k_vectors, dim=1)
    # both halves of the reciprocal lattice: a factor of two
    radial = table(k) * (kernel * (8 * torch.pi / volume))[:, None, None]
    angular = spherical_harmonics(k_vectors, expansion.max_angular)
    return weight_columns(radial, angular)


def _unpack(
    even: Tensor | None, odd: Tensor | None, crystal: _Crystal
) -> list[Float[Tensor, "center m channel n"]]:
    """Split the columns by l."""
    sources, n_radial = crystal.sources, crystal.table.n_radial
    n_centers, n_channels = len(crystal.centers), len(sources)
    result = []
    start = [0, 0]
    for l in range(crystal.expansion.max_angular + 1):
        source = (even, odd)[l % 2]
        width = (2 * l + 1) * n_radial
        if source is None:
            block = sources.new_zeros((n_centers, n_channels, 2 * l + 1, n_radial))
        else:
            block = source[:, start[l % 2] : start[l % 2] + width]
            block = block.reshape(n_centers, n_channels, 2 * l + 1, n_radial)
        start[l % 2] += width
        result.append(block.transpose(1, 2))
    return result
