"""Convolutions on a mesh against sums that are written out, and their adjoints."""

import math

import numpy as np
import pytest
import torch

from multilode.expansion.mesh.convolution import convolve
from multilode.numerics.limits import limits


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def shells(shape):
    """Number of the set of waves of equal length that a wave of the half mesh is in."""
    h = [np.abs(np.fft.fftfreq(n, 1 / n)) for n in shape[:2]] + [np.arange(shape[2] // 2 + 1)]
    square = sum(
        a.reshape([-1 if i == axis else 1 for i in range(3)]) ** 2 for axis, a in enumerate(h)
    )
    return torch.from_numpy(np.unique(square.ravel(), return_inverse=True)[1].reshape(square.shape))


def even_kernels(meshes, count, shape, seed=3):
    number = shells(shape)
    return random(meshes, count, int(number.max()) + 1, seed=seed)[:, :, number]


def by_sums(densities, kernels, shape):
    """sum_k K(k) f^(k) exp(i k.x), all sums of exponentials written out."""
    waves = [np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) for n in shape]
    full = np.zeros((*kernels.shape[:2], *shape))
    for x, y, z in np.ndindex(*shape):
        if z > shape[2] // 2:
            x_, y_, z_ = (-x) % shape[0], (-y) % shape[1], shape[2] - z
        else:
            x_, y_, z_ = x, y, z
        full[:, :, x, y, z] = kernels[:, :, x_, y_, z_]
    transform = np.einsum("gaxyz,xh,yi,zj->gahij", densities, *waves)
    back = [w.conj() for w in waves]
    full = np.broadcast_to(full, (len(densities), *full.shape[1:]))
    result = np.einsum("gahij,gqhij,hx,iy,jz->gxyzaq", transform, full, *back, optimize=True)
    assert np.abs(result.imag).max() < 1e-9 * np.abs(result.real).max()
    return result.real.reshape(*result.shape[:4], -1)


@pytest.mark.parametrize("shape", [(4, 5, 6), (5, 4, 3), (2, 2, 7)])
@pytest.mark.parametrize("shared", [True, False])
def test_convolution_by_written_out_sums(shape, shared):
    densities = random(2, 2, *shape)
    kernels = even_kernels(1 if shared else 2, 3, shape)
    found = convolve(densities, kernels).numpy()
    expected = by_sums(densities.numpy(), kernels.numpy(), shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("shape", [(3, 2, 4), (2, 3, 3)])
@pytest.mark.parametrize("meshes", [1, 2])
def test_derivatives_to_second_order(shape, meshes):
    """In densities and in kernels, which are even: numbers for the lengths of waves."""
    number = shells(shape)
    weights = random(2, 2 * math.prod(shape) * 4, seed=9)

    def function(densities, radial):
        values = convolve(densities, radial[:, :, number]).flatten()
        return weights @ (values + 0.1 * values**2)

    radial = random(meshes, 2, int(number.max()) + 1, seed=4)
    arguments = (random(2, 2, *shape).requires_grad_(), radial.requires_grad_())
    assert torch.autograd.gradcheck(function, arguments, eps=1e-5, atol=1e-6, rtol=1e-6)
    assert torch.autograd.gradgradcheck(function, arguments, eps=1e-5, atol=1e-5, rtol=1e-5)


def test_the_convolution_with_an_even_kernel_is_its_own_transpose():
    shape = (4, 5, 6)
    f, g = random(1, 1, *shape, seed=1), random(1, 1, *shape, seed=2)
    kernel = even_kernels(1, 1, shape)
    torch.testing.assert_close(
        (g[:, 0] * convolve(f, kernel)[..., 0]).sum(),
        (f[:, 0] * convolve(g, kernel)[..., 0]).sum(),
        rtol=1e-12,
        atol=0,
    )


def test_blocks_of_kernels_change_nothing():
    shape = (4, 5, 6)
    results = []
    for room in (None, 1):
        densities = random(2, 2, *shape).requires_grad_()
        kernels = even_kernels(2, 5, shape).requires_grad_()
        inputs = (densities, kernels)
        with limits(block_bytes=room):
            values = convolve(*inputs)
            gradients = torch.autograd.grad(values.cos().sum(), inputs, create_graph=True)
            squares = gradients[0].square().sum() + gradients[1].square().sum()
            second = torch.autograd.grad(squares, inputs)
        results.append((values, *gradients, *second))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-9)
