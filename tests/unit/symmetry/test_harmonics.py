import numpy as np
import pytest
import torch
from sphericart.torch import SolidHarmonics, SphericalHarmonics

from multilode.symmetry.harmonics import _gradient_matrices, spherical_harmonics
from quadrature import real_harmonics, sphere

VECTORS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_against_scipy():
    ours = spherical_harmonics(VECTORS, 8).numpy()
    expected = np.concatenate([real_harmonics(VECTORS.numpy(), l) for l in range(9)], axis=1)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-13)


def test_order_and_sign_of_the_lowest():
    """1 / sqrt(4 pi), then y, z, x with positive signs."""
    unit = VECTORS / VECTORS.norm(dim=1, keepdim=True)
    ours = spherical_harmonics(VECTORS, 1)
    expected = (3 / (4 * torch.pi)) ** 0.5 * unit[:, [1, 2, 0]]
    torch.testing.assert_close(ours[:, 1:], expected)
    torch.testing.assert_close(ours[:, 0], torch.full((40,), (4 * torch.pi) ** -0.5).double())


def test_orthonormal():
    directions, weights = sphere()
    values = spherical_harmonics(torch.from_numpy(directions), 6).numpy()
    np.testing.assert_allclose((values.T * weights) @ values, np.eye(49), rtol=0, atol=1e-13)


def test_length_does_not_matter():
    torch.testing.assert_close(spherical_harmonics(VECTORS, 5), spherical_harmonics(7 * VECTORS, 5))


def test_derivatives():
    vectors = VECTORS[:4].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: spherical_harmonics(v, 3), (vectors,))
    assert torch.autograd.gradgradcheck(lambda v: spherical_harmonics(v, 3), (vectors,))


def test_single_precision_and_no_points():
    single = spherical_harmonics(VECTORS.float(), 4)
    assert single.dtype == torch.float32
    assert (single.double() - spherical_harmonics(VECTORS, 4)).abs().max() < 1e-5
    assert spherical_harmonics(VECTORS[:0], 4).shape == (0, 25)


@pytest.mark.parametrize("max_angular", [0, 1, 8])
def test_adjoint_against_the_jacobian_of_sphericart(max_angular):
    axes = torch.cat([torch.eye(3), -2 * torch.eye(3)]).double()
    vectors = torch.cat([VECTORS, axes]).requires_grad_()
    values = spherical_harmonics(vectors, max_angular)
    cotangent = torch.randn(values.shape, generator=torch.Generator().manual_seed(1)).double()
    (found,) = torch.autograd.grad(values, vectors, cotangent)
    jacobian = SphericalHarmonics(max_angular).compute_with_gradients(vectors.detach())[1]
    expected = torch.einsum("pxm,pm->px", jacobian, cotangent)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


def test_gradient_matrices_are_those_of_sphericart_and_the_same_in_every_process():
    """They are roots of rational numbers, whatever a solver makes of its rounding."""
    values, gradients = SolidHarmonics(8).compute_with_gradients(VECTORS)
    for l, matrix in enumerate(_gradient_matrices(8), start=1):
        lower, here = slice((l - 1) ** 2, l * l), slice(l * l, (l + 1) ** 2)
        found = torch.einsum("pk,akm->pam", values[:, lower], matrix.unflatten(0, (3, -1)))
        scale = float(gradients[:, :, here].abs().max())
        torch.testing.assert_close(found, gradients[:, :, here], rtol=0, atol=1e-13 * scale)
        squares = 4 * (2 * l - 1) / (2 * l + 1) * matrix.square()
        torch.testing.assert_close(squares, squares.round(), rtol=2e-15, atol=0.0)
