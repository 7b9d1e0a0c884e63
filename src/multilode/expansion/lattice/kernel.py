"""Fourier coefficients of fields on a lattice with three, two, one or no periods.

Every field is a mixture of Gaussians in space, v(r) = int dt w(t) exp(-t r^2). Along d periods the
Fourier transform of a Gaussian is a Gaussian again, and along each free axis it is multiplied
by a window and transformed numerically. So the coefficients are one sum of products,

    kernel(k) = sum_t w(t) (pi / t)^(d/2) exp(-|k_periodic|^2 / 4 t) prod_free G(t, k_free),
    G(t, k) = int dz W(z) exp(-t z^2) cos(k z),

a matrix product of what depends on the periodic and on the free axes.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import roots_legendre
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from multilode.expansion.lattice.box import Box
from multilode.fields import AbstractField
from multilode.numerics.memory import require_bytes

_LARGEST_ELEMENTS = 2**28  # of the kernel: 2 GiB
_BLOCK_ELEMENTS = 2**22  # of a temporary: 32 MiB
_GAUSSIAN_BAND = 9.0  # over the width: beyond, the spectrum of a Gaussian is below 1e-17
_NEGLIGIBLE = 40.0  # exp(-40) is below rounding
_EDGE_NODES = 48


def lattice_kernel(
    field: AbstractField,
    box: Box,
    h: tuple[Int[Tensor, " h1"], Int[Tensor, " h2"], Int[Tensor, " h3"]],
) -> Float[Tensor, "h1 h2 h3"]:
    """The integral of field times window with exp(-i k.r) over space, at k = 2 pi h cell^-T.

    At k = 0 it is `fourier_origin` of a crystal. Along fewer periods (d) the field is averaged over
    the periodic axes; where that diverges (exponent p <= d) the finite part is taken:

    * p < d: Hadamard's. For d = 2, p = 1 this is -2 pi (z erf(z / sqrt2 s) + s sqrt(2 / pi)
      exp(-z^2 / 2 s^2)) in the plane of a layer (theory, section 2);
    * p = d: the function that is zero on the plane or axis itself,
      -(E1(x) + log x + gamma) pi^(d/2) / Gamma(p/2), x = rho^2 / 2 s^2.

    The neglected part is one constant for all atoms, so neutral combinations do not depend on it.

    Source: theory#free-axes; theory#background; Parry1975.

    Args:
        field: field of each atom.
        box: periodic vectors and lengths along the free axes. Differentiable (to any order) in
            its periodic vectors.
        h: the integers along each axis, in any order.

    Raises:
        ValueError: if the coefficients would take more than 2 GiB, or more memory than there is.
    """
    count = math.prod(len(axis) for axis in h)
    if count > _LARGEST_ELEMENTS:
        raise ValueError(
            f"the kernel of {' x '.join(str(len(axis)) for axis in h)} wave vectors needs "
            f"{8 * count / 2**30:.1f} GiB, more than {_LARGEST_ELEMENTS // 2**27} GiB; use a "
            "smaller structure along the axes without periodicity, or a larger smearing"
        )
    reciprocal = 2 * torch.pi * torch.linalg.inv(box.cell)
    steps = [axis.to(box.cell.dtype) for axis in h]
    if not box.free:
        return _crystal_kernel(field, reciprocal, steps)
    return _mixture_kernel(field, box, reciprocal.double(), steps).to(box.cell.dtype)


def _crystal_kernel(
    field: AbstractField, reciprocal: Float[Tensor, "3 3"], steps: list[Tensor]
) -> Float[Tensor, "h1 h2 h3"]:
    square = _squared_norm(reciprocal, steps)
    origin = square == 0
    k = torch.sqrt(torch.where(origin, 1.0, square))  # the slope of a norm at 0 is not a number
    return torch.where(origin, field.fourier_origin(), field.fourier(k))


def _squared_norm(
    reciprocal: Float[Tensor, "3 3"], steps: list[Tensor]
) -> Float[Tensor, "h1 h2 h3"]:
    x, y, z = (step[:, None] * column for step, column in zip(steps, reciprocal.T, strict=True))
    return (x[:, None, None] + y[None, :, None] + z[None, None, :]).square().sum(dim=-1)


def _mixture_kernel(
    field: AbstractField,
    box: Box,
    reciprocal: Float[Tensor, "3 3"],
    steps: list[Tensor],
) -> Float[Tensor, "h1 h2 h3"]:
    steps = [step.to(torch.float64) for step in steps]
    along_periods = [s if p else s.new_zeros(1) for s, p in zip(steps, box.pbc, strict=True)]
    square = _squared_norm(reciprocal, along_periods).flatten()
    d = sum(box.pbc)
    widest = math.hypot(*(box.exact[axis] + box.taper for axis in box.free))
    smallest = float(square.detach()[square.detach() > 0].amin()) if bool((square > 0).any()) else 1
    # below it, waves along the periods feel nothing and those across the free axes are flat
    lowest = min(1 / widest**2, smallest / (4 * _NEGLIGIBLE)) if d else 1 / widest**2
    t, weight = field.mixture(lowest, d)
    t, weight = t.to(square), weight.to(square)
    waves = [(2 * math.pi / (2 * box.exact[a] + box.taper)) * steps[a] for a in box.free]
    _require_memory(t, square, waves, box)
    factors = [_windowed_transform(t, k, box, a) for k, a in zip(waves, box.free, strict=True)]
    result = _product(t, weight, square, factors, d)
    sizes = [len(steps[a]) for a in range(3) if box.pbc[a]] + [len(steps[a]) for a in box.free]
    order = [a for a in range(3) if box.pbc[a]] + list(box.free)
    return result.reshape(sizes).permute(*(order.index(a) for a in range(3)))


def _product(
    t: Float[Tensor, " node"],
    weight: Float[Tensor, " node"],
    square: Float[Tensor, " periodic"],
    factors: list[Float[Tensor, "node _"]],
    d: int,
) -> Float[Tensor, "periodic free"]:
    """The sum over nodes, in blocks: one factor of it may be a hundred times as large as it is."""
    others = math.prod(factor.shape[1] for factor in factors[1:])
    rows = square.split(max(1, _BLOCK_ELEMENTS // len(t)))
    columns = factors[0].split(max(1, _BLOCK_ELEMENTS // (len(t) * others)), dim=1)
    moving = torch.is_grad_enabled() and (t.requires_grad or square.requires_grad)
    again = moving and len(rows) * len(columns) > 1

    def block(part: Tensor, first: Tensor) -> Tensor:
        given = (t, weight, part, [first, *factors[1:]], d)
        return checkpoint(_block, *given, use_reentrant=False) if again else _block(*given)

    found = [_joined([block(part, first) for first in columns], 1) for part in rows]
    return _joined(found, 0)


def _joined(blocks: list[Tensor], dim: int) -> Tensor:
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=dim)


def _block(
    t: Float[Tensor, " node"],
    weight: Float[Tensor, " node"],
    square: Float[Tensor, " periodic"],
    factors: list[Float[Tensor, "node _"]],
    d: int,
) -> Float[Tensor, "periodic free"]:
    flat = t == 0
    safe = torch.where(flat, 1.0, t)
    damping = torch.exp(-square[:, None] / (4 * safe))
    periodic = torch.where(flat, (square == 0).to(square.dtype)[:, None], damping)
    left = periodic * (weight * (math.pi / safe) ** (0.5 * d))
    across = factors[0]
    for factor in factors[1:]:
        across = (across[:, :, None] * factor[:, None, :]).flatten(start_dim=1)
    return left @ across


def _require_memory(
    t: Float[Tensor, " node"],
    square: Float[Tensor, " periodic"],
    waves: list[Float[Tensor, " _"]],
    box: Box,
) -> None:
    """Refuse what the memory cannot hold: the kernel, transforms along free axes, and blocks."""
    across = math.prod(len(k) for k in waves)
    transforms = 0
    for k, axis in zip(waves, box.free, strict=True):
        transforms = max(transforms, _points(t, k, box, axis) * 2 * (len(k) + len(t)))
    smallest = len(t) * math.prod(len(k) for k in waves[1:])  # of the blocks
    blocks = min(len(t) * (len(square) + across), max(2 * _BLOCK_ELEMENTS, smallest))
    lengths = ", ".join(f"{box.exact[axis]:.4g}" for axis in box.free)
    require_bytes(
        8 * (2 * len(square) * across + max(transforms, 4 * blocks)),
        t.device,
        what=f"the field of a structure that extends over {lengths} Å along its free axes",
        remedy="use a smaller structure along the axes without periodicity, or a larger smearing",
    )


def _windowed_transform(
    t: Float[Tensor, " node"], k: Float[Tensor, " k"], box: Box, axis: int
) -> Float[Tensor, "node k"]:
    """G(t, k) by the trapezoidal rule, which is exact for a band limit and a compact support."""
    end, count = box.exact[axis] + box.taper, _points(t, k, box, axis)
    z = torch.arange(count + 1, dtype=t.dtype, device=t.device) * (end / count)
    weight = torch.full_like(z, 2 * end / count)
    weight[0] = end / count
    edge = _edge((2 * (z - box.exact[axis]) / box.taper - 1).cpu().numpy(), box.sharpness)
    waves = torch.cos(z[:, None] * k) * (weight * torch.from_numpy(edge).to(z))[:, None]
    return torch.exp(-t[:, None] * z.square()) @ waves


def _points(t: Float[Tensor, " node"], k: Float[Tensor, " k"], box: Box, axis: int) -> int:
    """Intervals in which all products of Gaussian, window and wave are resolved."""
    top = float(k.abs().amax()) if len(k) else 0.0
    gaussian = _GAUSSIAN_BAND * math.sqrt(2 * float(t.detach().amax()))  # 9 / smearing
    band = max(gaussian, 2 * box.sharpness / box.taper)
    return math.ceil((box.exact[axis] + box.taper) * (top + band) / (2 * math.pi)) + 1


def _edge(u: Float[np.ndarray, " z"], sharpness: float) -> Float[np.ndarray, " z"]:
    """From 1 at u <= -1 to 0 at u >= 1: the integral of exp(b (sqrt(1 - u^2) - 1)).

    No function of this support has a spectrum that falls much faster.
    """
    nodes, weights = roots_legendre(_EDGE_NODES)
    start = np.arcsin(u.clip(-1, 1))[:, None]
    half = 0.5 * (0.5 * np.pi - start)
    angle = start + half * (nodes + 1)
    integral = (np.exp(sharpness * (np.cos(angle) - 1)) * np.cos(angle) * half) @ weights
    angle = 0.5 * np.pi * nodes
    whole = (np.exp(sharpness * (np.cos(angle) - 1)) * np.cos(angle) * 0.5 * np.pi) @ weights
    return np.where(u <= -1, 1.0, integral / whole)
