"""Expansion of periodic structures on a mesh, at a cost that is linear in the number of atoms.

Densities of the species are spread on a mesh and convolved with a few radial kernels each; the
expansion coefficients are solid harmonics of derivatives of these smooth functions at the centers,

    <a n l m | f_i> = sum_q maps[l][q, n] Y_lm(grad) phi_aq(r_i),
    phi_aq(x) = (4 pi / Omega) sum_k v^(k) H_q(k) conj(S_a(k)) e^(i k.x),

which is the reciprocal sum of theory, section 2, with I_nl(k) = k^l sum_q H_q(k) maps[l][q, n].
A mesh thus holds one channel for each q, and not for each (n, l, m).
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.expand.compression import RadialCompression
from multilode.expand.convolution import convolve
from multilode.expand.expansion import FieldExpansion
from multilode.expand.interpolation import Stencil, interpolate, monomials, spread
from multilode.expand.mesh_plan import MeshPlan, plan_for
from multilode.expand.solid import solid_harmonics_of_derivatives
from multilode.expand.window import Window
from multilode.radial_integrals import check_tolerance
from multilode.structures import Structures

_BATCH_BYTES = 200_000_000  # of the meshes of small structures that are done together
_SERIES_POINTS = 100_000  # wave numbers at which kernels are evaluated at once


@final
@dataclass(frozen=True)
class Mesh:
    """Particle-mesh expansion. Source: theory, section 2, many atoms.

    Args:
        tolerance: relative to the largest coefficient of each l; it sets the mesh and its window.

    Raises:
        ValueError: if the tolerance is outside of [1e-12, 1e-2].
    """

    tolerance: float = 1e-6

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
            ValueError: if no mesh reaches the tolerance.
        """
        cells = structures.cell.detach().cpu().numpy()
        volume = float(np.abs(np.linalg.det(cells)).sum()) / max(1, structures.n_atoms)
        plan = plan_for(expansion, self.tolerance, volume)
        shapes = [plan.shape(cell) for cell in cells]
        results, places = [], []
        for shape in dict.fromkeys(shapes):
            same = [i for i, other in enumerate(shapes) if other == shape]
            for chosen in _batches(same, shape, plan, len(neighbor_species), structures):
                batch = _Batch.of(structures, chosen, centers, neighbor_species)
                results.append(_expand_batch(batch, shape, plan, expansion))
                places.append(batch.center_places)
        if len(results) == 1:
            return results[0]
        back = torch.argsort(torch.cat(places))
        return [torch.cat(blocks)[back] for blocks in zip(*results, strict=True)]


def _batches(
    same: list[int],
    shape: tuple[int, int, int],
    plan: MeshPlan,
    n_species: int,
    structures: Structures,
) -> list[list[int]]:
    """Structures with meshes of one shape, as many at once as the memory budget allows."""
    itemsize = structures.positions.itemsize
    size = math.prod(shape) * n_species * plan.compression.n_functions * itemsize
    step = max(1, _BATCH_BYTES // size)
    return [same[a : a + step] for a in range(0, len(same), step)]


@final
@dataclass(frozen=True)
class _Batch:
    """Some structures, with the places of their centers among all centers."""

    cell: Float[Tensor, "mesh 3 3"]
    positions: Float[Tensor, "atom 3"]
    kinds: Int[Tensor, " atom"]
    index: Int[Tensor, " atom"]
    centers: Int[Tensor, " center"]
    center_places: Int[Tensor, " center"]
    n_species: int

    @staticmethod
    def of(
        structures: Structures,
        chosen: list[int],
        centers: Int[Tensor, " center"],
        neighbor_species: Int[Tensor, " species"],
    ) -> "_Batch":
        if len(chosen) == structures.n_structures:
            atoms = torch.arange(structures.n_atoms, device=centers.device)
            index, places = structures.structure_index, torch.arange(
                len(centers), device=centers.device
            )
            mine = centers
        else:
            number = torch.full((structures.n_structures,), -1, device=centers.device)
            number[chosen] = torch.arange(len(chosen), device=centers.device)
            index = number[structures.structure_index]
            atoms = (index >= 0).nonzero().flatten()
            index = index[atoms]
            places = (number[structures.structure_index[centers]] >= 0).nonzero().flatten()
            mine = torch.searchsorted(atoms, centers[places])
        return _Batch(
            cell=structures.cell[chosen],
            positions=structures.positions[atoms],
            kinds=torch.searchsorted(neighbor_species, structures.species[atoms]),
            index=index,
            centers=mine,
            center_places=places,
            n_species=len(neighbor_species),
        )


def _expand_batch(
    batch: _Batch, shape: tuple[int, int, int], plan: MeshPlan, expansion: FieldExpansion
) -> list[Float[Tensor, "center m species n"]]:
    nodes = torch.tensor(shape, dtype=batch.positions.dtype, device=batch.positions.device)
    inverse = torch.linalg.inv(batch.cell)  # rows of positions times this are fractions
    if len(inverse) == 1:
        fractions = batch.positions @ inverse[0]
    else:
        fractions = torch.einsum("ax,axb->ab", batch.positions, inverse[batch.index])
    fractions = fractions - torch.floor(fractions.detach())
    places = fractions * nodes
    stencil = _stencil(plan.window, places, shape, batch.index, len(batch.cell))
    densities = _densities(batch, places, stencil, shape)
    kernels = _kernels(batch.cell, shape, plan, expansion)
    potentials = convolve(densities, kernels).flatten(end_dim=3)

    compression, order = plan.compression, expansion.max_angular
    if len(batch.centers) < len(places):
        places = places[batch.centers]
        stencil = stencil.select(batch.centers)
    derivatives = interpolate(potentials, places, stencil, order)
    to_cartesian = inverse * nodes
    return _project(
        derivatives, to_cartesian, batch.index[batch.centers], compression, batch.n_species
    )


def _stencil(
    window: Window,
    places: Float[Tensor, "atom 3"],
    shape: tuple[int, int, int],
    index: Int[Tensor, " atom"],
    n_meshes: int,
) -> Stencil:
    reach = torch.arange(window.width, device=places.device)
    touched = window.first_node(places).to(torch.int64)[:, :, None] + reach
    x, y, z = (touched[:, axis] % shape[axis] for axis in range(3))
    x = (index[:, None] * shape[0] + x) * (shape[1] * shape[2])
    return Stencil(window, places.detach(), x, y * shape[2], z, n_meshes * math.prod(shape))


def _densities(
    batch: _Batch, places: Float[Tensor, "atom 3"], stencil: Stencil, shape: tuple[int, int, int]
) -> Float[Tensor, "mesh x y z species"]:
    """One unit of each atom on the mesh of its species."""
    n = batch.n_species
    by_species = Stencil(
        stencil.window,
        stencil.places,
        stencil.x * n,
        stencil.y * n,
        stencil.z * n + batch.kinds[:, None],
        stencil.n_rows * n,
    )
    units = places.new_ones((len(places), 1, 1))
    return spread(units, places, by_species, 0).view(len(batch.cell), *shape, n)


def _kernels(
    cell: Float[Tensor, "mesh 3 3"],
    shape: tuple[int, int, int],
    plan: MeshPlan,
    expansion: FieldExpansion,
) -> Float[Tensor, "mesh q x y half"]:
    """4 pi v^(k) H_q(k) / (Omega b(k)^2), b the window's transform, once in and once out."""
    compression = plan.compression
    device, dtype = cell.device, cell.dtype
    h = [torch.fft.fftfreq(n, 1 / n, dtype=dtype, device=device) for n in shape[:2]]
    h.append(torch.arange(shape[2] // 2 + 1, dtype=dtype, device=device))
    window = [
        torch.from_numpy(plan.window.fourier(2 * np.pi / n * g.cpu().double().numpy())).to(cell)
        for n, g in zip(shape, h, strict=True)
    ]
    correction = (
        window[0][:, None, None] * window[1][None, :, None] * window[2][None, None, :]
    ) ** -2
    steps = torch.cartesian_prod(*h)
    wave = 2 * torch.pi * torch.einsum("hi,gxi->ghx", steps, torch.linalg.inv(cell))
    square = wave.square().sum(dim=2)
    inside = (square.detach() <= compression.k_max**2) & (square.detach() > 0)
    mesh, place = inside.nonzero(as_tuple=True)
    k = square[mesh, place].sqrt()
    volume = torch.linalg.det(cell).abs()
    front = 4 * torch.pi * expansion.field.fourier(k) / volume[mesh] * correction.flatten()[place]
    series = [compression.functions(part) for part in torch.split(k, _SERIES_POINTS)]
    values = torch.cat([k.new_zeros((0, compression.n_functions)), *series]) * front[:, None]
    grid = values.new_zeros((len(cell), compression.n_functions, len(steps)))
    grid = _place(grid, mesh, place, values)
    origin = compression.functions(k.new_zeros(1))[0]
    at_origin = 4 * torch.pi * expansion.field.fourier_origin() * correction[0, 0, 0]
    first = (at_origin / volume)[:, None] * origin
    grid = torch.cat([first[:, :, None], grid[:, :, 1:]], dim=2)
    return grid.unflatten(2, (shape[0], shape[1], -1))


def _place(
    grid: Float[Tensor, "mesh q node"],
    mesh: Int[Tensor, " k"],
    place: Int[Tensor, " k"],
    values: Float[Tensor, "k q"],
) -> Float[Tensor, "mesh q node"]:
    flat = grid.transpose(1, 2).reshape(-1, grid.shape[1])
    flat = flat.index_copy(0, mesh * grid.shape[2] + place, values)
    return flat.view(grid.shape[0], grid.shape[2], -1).transpose(1, 2).contiguous()


def _project(
    derivatives: Float[Tensor, "center monomial channel"],
    to_cartesian: Float[Tensor, "mesh 3 3"],
    index: Int[Tensor, " center"],
    compression: RadialCompression,
    n_species: int,
) -> list[Float[Tensor, "center m species n"]]:
    """From derivatives along the mesh to solid harmonics, and from H_q to the radial functions."""
    max_angular = len(compression.maps) - 1
    harmonics = solid_harmonics_of_derivatives(to_cartesian, max_angular)
    result = []
    for l, (harmonic, radial) in enumerate(zip(harmonics, compression.maps, strict=True)):
        first, stop = len(monomials(l - 1)) if l else 0, len(monomials(l))
        matrix = harmonic[0] if len(harmonic) == 1 else harmonic[index]
        solid = torch.matmul(matrix, derivatives[:, first:stop]).unflatten(2, (n_species, -1))
        result.append(solid @ radial.to(derivatives))
    return result
