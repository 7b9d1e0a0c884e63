"""Fourier coefficients of field times radial functions on the waves of a mesh."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multilode.expansion.lattice.box import Box
from multilode.expansion.lattice.cell_cache import CELL_CACHE, tensor_key
from multilode.expansion.lattice.kernel import lattice_kernel
from multilode.expansion.mesh.plan import MeshPlan
from multilode.fields import AbstractField
from multilode.fields.field import parameters

_SERIES_POINTS = 100_000  # wave numbers at which radial functions are evaluated at once


def mesh_kernels(
    field: AbstractField, plan: MeshPlan, boxes: list[Box], shape: tuple[int, int, int]
) -> Float[Tensor, "mesh q x y half"]:
    """4 pi v^(k) H_q(k) / (Omega b(k)^2), b the window's transform, for spreading and gathering.

    They come from the cache if nothing here is differentiated; boxes that are all the same then
    share one kernel.

    Args:
        field: whose transform v^ enters; its parameters may require gradients.
        plan: radial functions and window.
        boxes: periodic boxes, all with meshes of this shape.
        shape: number of nodes.
    """
    moving = torch.is_grad_enabled() and any(box.cell.requires_grad for box in boxes)
    if moving or any(isinstance(value, Tensor) for value in parameters(field).values()):
        return _build(field, plan, boxes, shape)
    windows = {(box.pbc, box.exact, box.taper) for box in boxes}
    cells = torch.stack([box.cell for box in boxes])
    if len(windows) == 1 and bool((cells == cells[0]).all()):
        boxes, cells = boxes[:1], cells[:1]
    rest = tuple((box.pbc, box.exact, box.taper) for box in boxes)
    return CELL_CACHE.get(
        ("mesh", field, plan, shape, tensor_key(cells), rest),
        lambda: _build(field, plan, boxes, shape),
    )


def _build(
    field: AbstractField, plan: MeshPlan, boxes: list[Box], shape: tuple[int, int, int]
) -> Float[Tensor, "mesh q x y half"]:
    cells = torch.stack([box.cell for box in boxes])
    dtype = cells.dtype
    cells = cells.double()  # kernels span many orders of magnitude
    compression = plan.compression
    h = [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64, device=cells.device) for n in shape[:2]]
    h.append(torch.arange(shape[2] // 2 + 1, dtype=torch.float64, device=cells.device))
    correction = _correction(plan, h, shape)
    steps = torch.cartesian_prod(*h)
    inverse = torch.linalg.inv(cells)
    wave = 2 * torch.pi * torch.einsum("hi,gxi->ghx", steps, inverse)
    square = wave.square().sum(dim=2)
    inside = square.detach() <= compression.k_max**2
    origin = (square.detach() == 0) & inside
    k = torch.where(origin, 1.0, square)[inside].sqrt()  # the slope of a norm at 0 is not a number
    k = torch.where(origin[inside], 0.0, k)
    volume = torch.linalg.det(cells).abs()
    mesh, place = inside.nonzero(as_tuple=True)
    front = 4 * torch.pi * _transforms(field, boxes, h, k, inside) / volume[mesh]
    series = [compression.functions(part) for part in torch.split(k, _SERIES_POINTS)]
    values = torch.cat(series) * (front * correction[place])[:, None]
    grid = values.new_zeros((len(boxes) * len(steps), compression.n_functions))
    grid = grid.index_copy(0, mesh * len(steps) + place, values).to(dtype)
    grid = grid.view(len(boxes), len(steps), -1).transpose(1, 2).contiguous()
    return grid.unflatten(2, (shape[0], shape[1], -1))


def _correction(
    plan: MeshPlan, h: list[Tensor], shape: tuple[int, int, int]
) -> Float[Tensor, " wave"]:
    """Inverse of the factor by which spreading and gathering scale a wave."""
    x, y, z = (
        torch.from_numpy(plan.window.fourier(2 * math.pi / n * steps.cpu().numpy())).to(steps)
        for steps, n in zip(h, shape, strict=True)
    )
    return ((x[:, None, None] * y[None, :, None] * z[None, None, :]) ** -2).flatten()


def _transforms(
    field: AbstractField,
    boxes: list[Box],
    h: list[Tensor],
    k: Float[Tensor, " wave"],
    inside: Bool[Tensor, "mesh node"],
) -> Float[Tensor, " wave"]:
    """v^ at the waves of all meshes, one after the other."""
    if not any(box.free for box in boxes):
        origin = k == 0
        values = field.fourier(torch.where(origin, 1.0, k))
        at_origin = torch.as_tensor(field.fourier_origin(), dtype=k.dtype, device=k.device)
        return torch.where(origin, at_origin, values)
    x, y, z = (axis.to(torch.int64) for axis in h)
    grids = [lattice_kernel(field, box, (x, y, z)).flatten() for box in boxes]
    return torch.stack(grids).to(k)[inside]
