"""Periodic convolutions of a few densities with many kernels, on a mesh.

The trilinear form sum over nodes of g_aq (K_q * f_a) has three gradients: the convolution of f
(in g), that of g summed over q (in f, as kernels are even), and a correlation (in K). Each is the
adjoint of the others, so that all derivatives are transforms of the same cost.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.numerics.limits import current_limits

# Nodes times channels of one transform: temporaries that the allocator keeps, or that fill a GPU
_BLOCK_NODES = {"cpu": 1_000_000}
_BLOCK_NODES_DEVICE = 60_000_000


def convolve(
    densities: Float[Tensor, "mesh channel x y z"],
    kernels: Float[Tensor, "kernel_mesh q x y half"],
) -> Float[Tensor, "mesh x y z channel_q"]:
    """Convolution of every density with every kernel.

    Args:
        densities: values at the nodes of some meshes of one shape.
        kernels: Fourier coefficients, real and even, of each mesh or of one for all of them.
    """
    return _Convolve.apply(densities, kernels)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, densities: Tensor, kernels: Tensor) -> Tensor:
        ctx.save_for_backward(densities, kernels)
        waves = torch.fft.rfftn(densities, dim=(2, 3, 4))
        n_meshes, n_channels, *shape = densities.shape
        result = densities.new_empty((n_meshes, *shape, n_channels, kernels.shape[1]))
        for a in range(n_channels):
            for part in _parts(densities, n_channels, kernels.shape[1]):
                product = waves[:, a, None] * kernels[:, part]
                real = torch.fft.irfftn(product, s=shape, dim=(2, 3, 4), norm="forward")
                result[:, :, :, :, a, part] = real.movedim(1, 4)
        return result.flatten(start_dim=4)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return _backward(ctx, grad, *ctx.saved_tensors)


class _Collect(torch.autograd.Function):
    """Sum over q of the convolution of g_aq with K_q."""

    @staticmethod
    def forward(ctx: Any, fields: Tensor, kernels: Tensor) -> Tensor | None:
        ctx.save_for_backward(fields, kernels)
        return _adjoints(None, fields, kernels, collect=True)[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        fields, kernels = ctx.saved_tensors
        to_fields = _Convolve.apply(grad, kernels) if ctx.needs_input_grad[0] else None
        to_kernels = None
        if ctx.needs_input_grad[1]:
            to_kernels = _Correlate.apply(grad, fields, kernels)
        return to_fields, to_kernels


class _Correlate(torch.autograd.Function):
    """Gradient of the form in the kernels, on their half of the wave vectors."""

    @staticmethod
    def forward(ctx: Any, densities: Tensor, fields: Tensor, kernels: Tensor) -> Tensor | None:
        ctx.save_for_backward(densities, fields)
        return _adjoints(densities, fields, kernels, collect=False)[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        densities, fields = ctx.saved_tensors
        # linear in f and g: the form itself, with the gradient in place of the kernels
        to_densities = _Collect.apply(fields, grad) if ctx.needs_input_grad[0] else None
        to_fields = _Convolve.apply(densities, grad) if ctx.needs_input_grad[1] else None
        return to_densities, to_fields, None


def _backward(
    ctx: Any, grad: Tensor, densities: Tensor, kernels: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Both gradients of a convolution; transforms are shared unless they are differentiated."""
    wanted = ctx.needs_input_grad
    if torch.is_grad_enabled():
        return (
            _Collect.apply(grad, kernels) if wanted[0] else None,
            _Correlate.apply(densities, grad, kernels) if wanted[1] else None,
        )
    return _adjoints(densities if wanted[1] else None, grad, kernels, collect=wanted[0])


def _adjoints(
    densities: Float[Tensor, "mesh channel x y z"] | None,
    fields: Float[Tensor, "mesh x y z channel_q"],
    kernels: Float[Tensor, "kernel_mesh q x y half"],
    *,
    collect: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients in the densities (if `collect`) and in the kernels (if densities are given)."""
    shape, count = fields.shape, kernels.shape[1]
    split = fields.unflatten(4, (-1, count))
    waves = None if densities is None else torch.fft.rfftn(densities, dim=(2, 3, 4))
    to_kernels = None if densities is None else torch.zeros_like(kernels)
    collected = []
    for a in range(split.shape[4]):
        total = None
        for part in _parts(fields, split.shape[4] * count, count):
            other = _waves(split[..., a, part])
            if collect:
                product = (other * kernels[:, part]).sum(dim=1)
                total = product if total is None else total + product
            if waves is not None and to_kernels is not None:
                both = other.real * waves.real[:, a, None]
                both = both.addcmul_(other.imag, waves.imag[:, a, None])
                both = both.sum(dim=0, keepdim=True) if len(kernels) == 1 else both
                to_kernels[:, part] += both
        if collect:
            collected.append(torch.fft.irfftn(total, s=shape[1:4], dim=(1, 2, 3), norm="forward"))
    if to_kernels is not None:
        to_kernels *= _multiplicity(fields)
    return torch.stack(collected, dim=1) if collect else None, to_kernels


def _waves(values: Float[Tensor, "mesh x y z channel"]) -> Tensor:
    """Transforms [mesh, channel, x, y, half]."""
    return torch.fft.rfftn(values.movedim(4, 1).contiguous(), dim=(2, 3, 4))


def _parts(values: Tensor, channels: int, count: int) -> Iterator[slice]:
    """Blocks of kernels, for arrays of some channels on the meshes."""
    fastest = _BLOCK_NODES.get(values.device.type, _BLOCK_NODES_DEVICE)
    room = current_limits().block_size(fastest, values.itemsize)
    size = max(1, room * channels // values.numel())
    return (slice(q, min(q + size, count)) for q in range(0, count, size))


def _multiplicity(fields: Float[Tensor, "mesh x y z channel"]) -> Float[Tensor, " half"]:
    """Number of waves, k and perhaps -k, of the full mesh that one of the half mesh represents."""
    nodes = fields.shape[3]
    weight = fields.new_full((nodes // 2 + 1,), 2.0)
    weight[0] = 1
    if nodes % 2 == 0:
        weight[-1] = 1
    return weight
