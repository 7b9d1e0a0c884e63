"""Expansion of periodic structures on a mesh, at a cost that is linear in the number of atoms.

Densities of the species are spread on a mesh and convolved with a few radial kernels each; the
expansion coefficients are solid harmonics of derivatives of these smooth functions at the centers,

    <a n l m | f_i> = sum_q maps[l][q, n] Y_lm(grad) phi_aq(r_i),
    phi_aq(x) = (4 pi / Omega) sum_k v^(k) H_q(k) conj(S_a(k)) e^(i k.x),

which is the reciprocal sum of theory, section 2, with I_nl(k) = k^l sum_q H_q(k) maps[l][q, n].
A mesh thus holds one channel for each q, and not for each (n, l, m).
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.errors import blame_structure
from multilode.expansion.accuracy import check_own_tolerance, wave_tolerance
from multilode.expansion.expansion import FieldExpansion
from multilode.expansion.lattice.box import Box, basis_reach, enclosing_box
from multilode.expansion.lattice.reduced_cell import reduction
from multilode.expansion.mesh.compression import largest_wave
from multilode.expansion.mesh.convolution import convolve
from multilode.expansion.mesh.interpolation import Stencil, interpolate, monomials, spread
from multilode.expansion.mesh.kernels import mesh_kernels
from multilode.expansion.mesh.plan import MeshPlan, plan_for
from multilode.expansion.mesh.solid import solid_harmonics_of_derivatives
from multilode.expansion.mesh.window import Window
from multilode.expansion.method import AbstractMethod, Estimate, Workload
from multilode.expansion.problem import Problem
from multilode.numerics.heap import keep_freed_memory
from multilode.numerics.limits import current_limits, recomputed
from multilode.numerics.memory import require_bytes
from multilode.radial.tables import sharpest
from multilode.structures.batch import Structures

_BATCH_BYTES = 200_000_000  # of the meshes of small structures that are done together
_MESH_BYTES = 1_000_000_000  # of the functions on a mesh that are there at once


@final
@dataclass(frozen=True)
class Mesh(AbstractMethod):
    """Particle-mesh expansion.

    Source: theory#mesh; Essmann1995.

    Args:
        tolerance: relative to the largest coefficient of each l; it sets the mesh and its window.
            None: that of the problem.

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
            StructureError: if no mesh reaches the tolerance, or the memory does not suffice.
        """
        keep_freed_memory()
        expansion, structures = problem.expansion, problem.structures
        tolerance = wave_tolerance(problem.tolerance, expansion.field, structures.pbc)
        boxes = _boxes(expansion, structures, tolerance)
        cells = torch.stack([box.cell for box in boxes]).detach().double().cpu().numpy()
        largest = int(np.abs(np.linalg.det(cells)).argmax())
        with blame_structure(largest):  # the structure that asks most of memory and window
            plan = plan_for(expansion, tolerance, cells, structures.n_atoms)
            shapes = [plan.shape(cell) for cell in cells]
            _check_memory(shapes, plan, problem)
        results, places = [], []
        for shape in dict.fromkeys(shapes):
            same = [i for i, other in enumerate(shapes) if other == shape]
            for chosen in _batches(same, shape, plan, problem):
                batch = _Batch.of(problem, boxes, chosen)
                results.append(_expand_batch(batch, shape, plan, expansion))
                places.append(batch.center_places)
        if len(results) == 1:
            return results[0]
        back = torch.argsort(torch.cat(places))
        return [torch.cat(blocks)[back] for blocks in zip(*results, strict=True)]

    def estimate(self, workload: Workload) -> Estimate | None:
        """Transforms of the channels, and the nodes around atoms; None where no mesh suffices."""
        costs, expansion = workload.costs, workload.expansion
        cell = workload.box.cell.detach().double().cpu().numpy()
        cell = reduction(cell, workload.box.pbc) @ cell
        try:
            plan = plan_for(expansion, workload.tolerance, cell[None], workload.n_atoms)
        except ValueError:
            return None
        nodes = math.prod(plan.shape(cell))
        channels = workload.n_channels * plan.compression.n_functions
        touched = costs.touched * plan.window.width**3
        atom = touched + costs.derivative * workload.n_coefficients
        work = channels * (costs.node * nodes + workload.n_atoms * atom)
        return Estimate(2 * costs.start + work, self)


def _boxes(expansion: FieldExpansion, structures: Structures, tolerance: float) -> list[Box]:
    field, basis = sharpest(expansion.field), expansion.basis
    band = largest_wave(field, basis, expansion.max_angular, tolerance)
    reach = 0.0
    if not bool(structures.pbc.all()):
        reach = basis_reach(basis, expansion.max_angular, tolerance)
    counts = structures.counts.tolist()
    flags = [tuple(row) for row in structures.pbc.tolist()]
    cells = structures.cell.detach().double().cpu().numpy()
    short = np.stack([reduction(c, pbc) for c, pbc in zip(cells, flags, strict=True)])
    reduced = torch.from_numpy(short).to(structures.cell) @ structures.cell
    return [
        enclosing_box(positions, cell, pbc, reach=reach, band=band, tolerance=tolerance)
        for positions, cell, pbc in zip(
            structures.positions.detach().split(counts), reduced, flags, strict=True
        )
    ]


def _check_memory(shapes: list[tuple[int, int, int]], plan: MeshPlan, problem: Problem) -> None:
    """Refuse what the memory cannot hold: kernels, waves and functions, and the coefficients."""
    n_channels, n_centers = problem.n_channels, len(problem.centers)
    positions = problem.structures.positions
    nodes = max((math.prod(shape) for shape in shapes), default=0)
    functions = plan.compression.n_functions
    channels = functions * n_channels
    mesh = nodes * (1.5 * functions + 4 * n_channels) + min(
        2 * nodes * channels,
        3 * current_limits().block_size(_MESH_BYTES, 1) / positions.itemsize,
    )
    angular = len(plan.compression.maps) ** 2
    n_radial = plan.compression.maps[0].shape[1]
    outputs = n_centers * n_channels * angular * n_radial
    copies = 2.2 if problem.differentiated else 1.1  # measured, see tests/peak_memory.py
    require_bytes(
        copies * (mesh + outputs) * positions.itemsize,
        positions.device,
        what=f"a mesh of {' x '.join(str(n) for n in max(shapes, key=math.prod, default=()))} "
        f"nodes for {n_centers} centers",
        remedy="check for a very large cell (a molecule takes pbc=False), or use a larger "
        "tolerance or smearing, float32, or fewer centers at a time",
    )


def _batches(
    same: list[int], shape: tuple[int, int, int], plan: MeshPlan, problem: Problem
) -> list[list[int]]:
    """Structures with meshes of one shape, as many at once as the memory budget allows."""
    itemsize = problem.structures.positions.itemsize
    size = math.prod(shape) * problem.n_channels * plan.compression.n_functions * itemsize
    step = max(1, current_limits().block_size(_BATCH_BYTES, 1) // size)
    return [same[a : a + step] for a in range(0, len(same), step)]


@final
@dataclass(frozen=True)
class _Batch:
    """Some structures, with the places of their centers among all centers."""

    boxes: list[Box]
    positions: Float[Tensor, "atom 3"]
    sources: Float[Tensor, "atom channel"]
    channels: Int[Tensor, " atom"] | None  # the only one of each atom, of species
    index: Int[Tensor, " atom"]
    centers: Int[Tensor, " center"]
    center_places: Int[Tensor, " center"]
    n_channels: int

    @staticmethod
    def of(problem: Problem, boxes: list[Box], chosen: list[int]) -> "_Batch":
        structures, centers = problem.structures, problem.centers
        device = centers.device
        number = torch.full((structures.n_structures,), -1, device=device)
        number[chosen] = torch.arange(len(chosen), device=device)
        index = number[structures.structure_index]
        atoms = (index >= 0).nonzero().flatten()
        places = (index[centers] >= 0).nonzero().flatten()
        channels = problem.channels
        return _Batch(
            boxes=[boxes[i] for i in chosen],
            positions=structures.positions[atoms],
            sources=problem.sources[atoms],
            channels=None if channels is None else channels[atoms],
            index=index[atoms],
            centers=torch.searchsorted(atoms, centers[places]),
            center_places=places,
            n_channels=problem.n_channels,
        )


def _expand_batch(
    batch: _Batch, shape: tuple[int, int, int], plan: MeshPlan, expansion: FieldExpansion
) -> list[Float[Tensor, "center m channel n"]]:
    nodes = torch.tensor(shape, dtype=batch.positions.dtype, device=batch.positions.device)
    inverse = torch.linalg.inv(torch.stack([box.cell for box in batch.boxes]))
    if len(inverse) == 1:
        fractions = batch.positions @ inverse[0]
    else:
        fractions = torch.einsum("ax,axb->ab", batch.positions, inverse[batch.index])
    fractions = fractions - torch.floor(fractions.detach())
    places = fractions * nodes
    stencil = _stencil(plan.window, places, shape, batch.index, len(batch.boxes))
    densities = _densities(batch, places, stencil, shape)
    kernels = mesh_kernels(expansion.field, plan, batch.boxes, shape)
    if len(batch.centers) < len(places):
        places = places[batch.centers]
        stencil = stencil.select(batch.centers)
    harmonics = solid_harmonics_of_derivatives(inverse * nodes, expansion.max_angular)
    index = batch.index[batch.centers]
    functions = kernels.shape[1]
    size = densities.numel() * densities.itemsize
    step = max(1, min(functions, current_limits().block_size(_MESH_BYTES, 1) // size))
    result: list[Tensor] = []
    for first in range(0, functions, step):
        part = slice(first, first + step)
        maps = [m[part].to(densities) for m in plan.compression.maps]
        given = (densities, kernels[:, part], places, stencil, harmonics, index, maps)
        blocks = (
            recomputed(_coefficients, *given)
            if step < functions and torch.is_grad_enabled()
            else _coefficients(*given)
        )
        result = [a + b for a, b in zip(result, blocks, strict=True)] if result else blocks
    return result


def _coefficients(
    densities: Float[Tensor, "mesh channel x y z"],
    kernels: Float[Tensor, "kernel_mesh q x y half"],
    places: Float[Tensor, "center 3"],
    stencil: Stencil,
    harmonics: list[Tensor],
    index: Int[Tensor, " center"],
    maps: list[Tensor],
) -> list[Float[Tensor, "center m channel n"]]:
    """Contribution of some of the radial functions."""
    potentials = convolve(densities, kernels).flatten(end_dim=2)  # [line, node, channel]
    derivatives = interpolate(potentials, places, stencil, len(maps) - 1)
    result = []
    for l, (harmonic, radial) in enumerate(zip(harmonics, maps, strict=True)):
        first, stop = len(monomials(l - 1)) if l else 0, len(monomials(l))
        matrix = harmonic[0] if len(harmonic) == 1 else harmonic[index]
        solid = torch.matmul(matrix, derivatives[:, first:stop])  # [center, m, channel]
        result.append(solid.unflatten(2, (-1, len(radial))) @ radial)
    return result


def _stencil(
    window: Window,
    places: Float[Tensor, "atom 3"],
    shape: tuple[int, int, int],
    index: Int[Tensor, " atom"],
    n_meshes: int,
) -> Stencil:
    reach = torch.arange(window.width, device=places.device)
    first = window.first_node(places).to(torch.int64)
    x = (first[:, :1] + reach) % shape[0] + index[:, None] * shape[0]
    y = (first[:, 1:2] + reach) % shape[1]
    z = first[:, 2] % shape[2]
    lines = n_meshes * shape[0] * shape[1]
    return Stencil(window, places.detach(), x * shape[1], y, z, lines, shape[2])


def _densities(
    batch: _Batch, places: Float[Tensor, "atom 3"], stencil: Stencil, shape: tuple[int, int, int]
) -> Float[Tensor, "mesh channel x y z"]:
    """One unit of each atom on the mesh of its species, or its strength on that of each channel."""
    n, lines, n_meshes = batch.n_channels, shape[0] * shape[1], len(batch.boxes)
    if batch.channels is None:
        nodes = spread(batch.sources[:, None], places, stencil, 0)
        return nodes.view(n_meshes, *shape, n).movedim(4, 1).contiguous()
    by_species = replace(
        stencil,
        x=stencil.x + (batch.index * (n - 1) + batch.channels)[:, None] * lines,
        n_lines=stencil.n_lines * n,
    )
    units = places.new_ones((len(places), 1, 1))
    return spread(units, places, by_species, 0).view(n_meshes, n, *shape)
