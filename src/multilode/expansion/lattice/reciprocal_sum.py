"""Expansion as a sum over reciprocal lattice vectors, written as matrix products."""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from multilode.errors import about
from multilode.expansion.accuracy import wave_tolerance
from multilode.expansion.expansion import FieldExpansion
from multilode.expansion.lattice.box import Box, basis_reach, enclosing_box
from multilode.expansion.lattice.cell_cache import CELL_CACHE, tensor_key
from multilode.expansion.lattice.columns import Columns, weight_columns
from multilode.expansion.lattice.kernel import lattice_kernel
from multilode.expansion.lattice.wave_sums import wave_sums
from multilode.fields import AbstractField
from multilode.numerics.heap import keep_freed_memory
from multilode.radial.tables import (
    DEFAULT_TOLERANCE,
    ReciprocalTable,
    check_tolerance,
    reciprocal_table,
)
from multilode.structures.batch import Structures
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
class ReciprocalSum:
    """Sum over half of the reciprocal lattice. Source: 2019 Eq. 9; theory, section 2.

    Exact for structures that are periodic along three, two, one or no axes: free axes are given a
    box in which images do not see each other (`box`, `box_kernel`), whose size follows from the
    atoms alone. It knows the field of the whole structure: a cutoff of the expansion and its
    function have no effect here.

    Args:
        tolerance: relative accuracy; it sets the largest |k| and the tables.

    Raises:
        ValueError: if the tolerance is outside of [1e-12, 1e-2].
    """

    tolerance: float = DEFAULT_TOLERANCE

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance)

    def coefficients(
        self,
        expansion: FieldExpansion,
        structures: Structures,
        neighbor_species: Int[Tensor, " species"],
        centers: Int[Tensor, " center"],
    ) -> list[Float[Tensor, "center m species n"]]:
        """Coefficients of everything around each center, itself included, one per l.

        Raises:
            StructureError: if a structure needs more plane waves than any memory holds.
        """
        keep_freed_memory()
        counts = structures.counts
        stops = counts.cumsum(0).tolist()
        center_structure = structures.structure_index[centers]
        per_structure = torch.bincount(center_structure, minlength=structures.n_structures)
        pieces = []
        for number, (chosen, stop, count) in enumerate(
            zip(torch.split(centers, per_structure.tolist()), stops, counts.tolist(), strict=True)
        ):
            atoms = slice(stop - count, stop)
            given = (structures.positions[atoms], structures.cell[number], structures.pbc[number])
            kinds = torch.searchsorted(neighbor_species, structures.species[atoms])
            with about(number):
                pieces.append(
                    self._one_structure(
                        expansion, *given, kinds, len(neighbor_species), chosen - (stop - count)
                    )
                )
        return [torch.cat(blocks) for blocks in zip(*pieces, strict=True)]

    def _one_structure(
        self,
        expansion: FieldExpansion,
        positions: Float[Tensor, "atom 3"],
        cell: Float[Tensor, "3 3"],
        pbc: Bool[Tensor, " 3"],
        kinds: Int[Tensor, " atom"],
        n_species: int,
        centers: Int[Tensor, " center"],
    ) -> list[Float[Tensor, "center m species n"]]:
        size = (expansion.radial, expansion.max_angular)
        tolerance = wave_tolerance(self.tolerance, expansion.field, pbc)
        table = reciprocal_table(expansion.field, *size, tolerance)
        reach = 0.0 if bool(pbc.all()) else basis_reach(*size, tolerance)
        box = enclosing_box(
            positions,
            cell,
            tuple(pbc.tolist()),
            reach=reach,
            band=table.k_max,
            tolerance=tolerance,
        )
        return _sum_waves(expansion, table, box, positions, kinds, n_species, centers)


@final
@dataclass(frozen=True)
class _Waves:
    """Wave vectors of one cell, with what depends on the cell and the expansion alone."""

    steps: Int[Tensor, "k 3"]
    kernel: Float[Tensor, " k"]
    origin: Float[Tensor, ""]  # of the kernel: k = 0
    columns: Columns | None  # None: compute them block by block


def _sum_waves(
    expansion: FieldExpansion,
    table: ReciprocalTable,
    box: Box,
    positions: Float[Tensor, "atom 3"],
    kinds: Int[Tensor, " atom"],
    n_species: int,
    centers: Int[Tensor, " center"],
) -> list[Float[Tensor, "center m species n"]]:
    members = torch.nn.functional.one_hot(kinds, n_species).to(positions.dtype).T
    reciprocal = 2 * torch.pi * torch.linalg.inv(box.cell)  # columns are reciprocal vectors
    volume = box.volume
    waves = _waves(expansion, table, box, reciprocal, volume)
    angles = positions @ reciprocal
    # a lattice translation changes nothing but the rounding of large phases
    angles = angles - 2 * torch.pi * torch.round(angles.detach() / (2 * torch.pi))
    width = (expansion.max_angular + 1) ** 2 * table.n_radial
    recompute = torch.is_grad_enabled() and len(waves.steps) * width > _RECOMPUTED_ELEMENTS
    step = max(256, _BLOCK_ELEMENTS // width)
    even = odd = None
    for first in range(0, len(waves.steps), step):
        part = slice(first, first + step)
        columns = waves.columns and (waves.columns[0][part], waves.columns[1][part])
        given = (waves.steps[part], waves.kernel[part], columns, angles, reciprocal, volume,
                 members, centers, expansion, table)  # fmt: skip
        products = checkpoint(_block, *given, use_reentrant=False) if recompute else _block(*given)
        even = products[0] if even is None else even + products[0]
        odd = products[1] if odd is None else odd + products[1]
    result = _unpack(even, odd, expansion, table, members, len(centers))
    front = math.sqrt(4 * math.pi) * waves.origin / volume  # k = 0, which only l = 0 has
    result[0] = result[0] + front * members.sum(dim=1)[:, None] * table.origin.to(members)
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
        if len(steps) * width <= _CACHED_ELEMENTS:
            columns = _weights(expansion, table, k_vectors, kernel, volume)
        return _Waves(steps, kernel, origin, columns)

    moving = box.cell.requires_grad and torch.is_grad_enabled()
    if not moving and not any(isinstance(v, Tensor) for v in vars(expansion.field).values()):
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
    steps: Int[Tensor, "k 3"],
    kernel: Float[Tensor, " k"],
    columns: Columns | None,
    angles: Float[Tensor, "atom 3"],
    reciprocal: Float[Tensor, "3 3"],
    volume: Float[Tensor, ""],
    members: Float[Tensor, "species atom"],
    centers: Int[Tensor, " center"],
    expansion: FieldExpansion,
    table: ReciprocalTable,
) -> tuple[Float[Tensor, "center_species even"], Float[Tensor, "center_species odd"]]:
    """Contribution of some wave vectors, columns (l, m, n) of even and of odd l."""
    h = steps.to(angles.dtype)
    even, odd = columns or _weights(expansion, table, h @ reciprocal.T, kernel, volume)
    return wave_sums(angles, h, (even, odd), members, centers)


def half_space(
    cell: Float[Tensor, "3 3"], reciprocal: Float[Tensor, "3 3"], k_max: float, box: Box
) -> Int[Tensor, "k 3"]:
    """Integers h of one of each pair k, -k with 0 < |k| <= k_max, k = 2 pi h cell^-T.

    Valid for skewed and left-handed cells: h_i = k . a_i / 2 pi is at most k_max |a_i| / 2 pi.

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
    even: Tensor | None,
    odd: Tensor | None,
    expansion: FieldExpansion,
    table: ReciprocalTable,
    members: Float[Tensor, "species atom"],
    n_centers: int,
) -> list[Float[Tensor, "center m species n"]]:
    """Split the columns by l."""
    n_species, n_radial = len(members), table.n_radial
    result = []
    start = [0, 0]
    for l in range(expansion.max_angular + 1):
        source = (even, odd)[l % 2]
        width = (2 * l + 1) * n_radial
        if source is None:
            block = members.new_zeros((n_centers, n_species, 2 * l + 1, n_radial))
        else:
            block = source[:, start[l % 2] : start[l % 2] + width]
            block = block.reshape(n_centers, n_species, 2 * l + 1, n_radial)
        start[l % 2] += width
        result.append(block.transpose(1, 2))
    return result
