"""Solid harmonics of derivatives as polynomials."""

import math

import pytest
import torch

from multilode.expansion.mesh.interpolation import monomials
from multilode.expansion.mesh.solid import solid_harmonics_of_derivatives
from quadrature import real_harmonics

IDENTITY = torch.eye(3, dtype=torch.float64)[None]


def polynomial(l, **terms):
    """A row over the monomials of degree l, from terms such as xy=2."""
    row = torch.zeros(sum(sum(m) == l for m in monomials(l)), dtype=torch.float64)
    places = {m: i for i, m in enumerate(m for m in monomials(l) if sum(m) == l)}
    for name, factor in terms.items():
        row[places[name.count("x"), name.count("y"), name.count("z")]] = factor
    return row


def test_the_first_degrees_by_hand():
    zero, one, two = solid_harmonics_of_derivatives(IDENTITY, 2)
    front = [math.sqrt(n / (4 * math.pi)) for n in (1, 3, 15, 5)]
    torch.testing.assert_close(zero[0], torch.full((1, 1), front[0], dtype=torch.float64))
    first = torch.stack([polynomial(1, **{axis: front[1]}) for axis in "yzx"])
    torch.testing.assert_close(one[0], first, rtol=0, atol=1e-14)
    second = [
        polynomial(2, xy=front[2]),
        polynomial(2, yz=front[2]),
        polynomial(2, zz=front[3], xx=-front[3] / 2, yy=-front[3] / 2),
        polynomial(2, xz=front[2]),
        polynomial(2, xx=front[2] / 2, yy=-front[2] / 2),
    ]
    torch.testing.assert_close(two[0], torch.stack(second), rtol=0, atol=1e-14)


@pytest.mark.parametrize("max_angular", [0, 3, 8, 12])
def test_polynomials_of_vectors_in_skewed_axes(max_angular):
    """At any vector they are r^l Y_lm of the Cartesian one, from an independent code."""
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(3, 3, 3, generator=generator, dtype=torch.float64)
    vectors = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    blocks = solid_harmonics_of_derivatives(matrices, max_angular)
    for l, block in enumerate(blocks):
        exponents = torch.tensor([m for m in monomials(l) if sum(m) == l], dtype=torch.float64)
        terms = (vectors[:, None] ** exponents).prod(dim=2)
        for matrix, coefficients in zip(matrices, block, strict=True):
            cartesian = (vectors @ matrix.T).numpy()
            length = (cartesian**2).sum(axis=1, keepdims=True) ** (l / 2)
            expected = torch.from_numpy(length * real_harmonics(cartesian, l))
            found = terms @ coefficients.T
            assert (found - expected).abs().max() < 1e-10 * expected.abs().max()


def test_harmonic_polynomials_have_no_laplacian():
    for l, block in enumerate(solid_harmonics_of_derivatives(IDENTITY, 6)):
        places = {m: i for i, m in enumerate(m for m in monomials(l) if sum(m) == l)}
        for row in block[0]:
            laplacian = {}
            for exponents, place in places.items():
                for axis in range(3):
                    n = exponents[axis]
                    if n > 1:
                        lower = tuple(e - 2 * (i == axis) for i, e in enumerate(exponents))
                        term = n * (n - 1) * float(row[place])
                        laplacian[lower] = laplacian.get(lower, 0.0) + term
            assert all(abs(value) < 1e-11 for value in laplacian.values())


def test_derivatives_in_the_matrices():
    generator = torch.Generator().manual_seed(1)
    matrices = torch.randn(2, 3, 3, generator=generator, dtype=torch.float64).requires_grad_()

    def function(given):
        return tuple(solid_harmonics_of_derivatives(given, 2))

    assert torch.autograd.gradcheck(function, (matrices,), eps=1e-6, atol=1e-7, rtol=1e-6)
    assert torch.autograd.gradgradcheck(function, (matrices,), eps=1e-6, atol=1e-6, rtol=1e-5)
