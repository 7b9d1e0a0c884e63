import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import lebedev_rule
from scipy.spatial.transform import Rotation

from multilode.symmetry.coupling import clebsch_gordan
from quadrature import real_harmonics, sphere

TRIPLES = [(a, b, c) for a in range(5) for b in range(5) for c in range(abs(a - b), a + b + 1)]


@pytest.mark.parametrize(("l1", "l2"), [(0, 0), (0, 3), (1, 1), (3, 2), (6, 8), (10, 3)])
def test_orthogonal_matrix(l1, l2):
    """Orthonormal, and complete: as many products as pairs."""
    degrees = range(abs(l1 - l2), l1 + l2 + 1)
    matrix = torch.cat([clebsch_gordan(l1, l2, l).flatten(0, 1) for l in degrees], dim=1)
    assert matrix.shape[0] == matrix.shape[1] == (2 * l1 + 1) * (2 * l2 + 1)
    unit = torch.eye(len(matrix), dtype=torch.float64)
    torch.testing.assert_close(matrix.T @ matrix, unit, rtol=0, atol=1e-14)
    torch.testing.assert_close(matrix @ matrix.T, unit, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("l1", "l2", "degree"), [(30, 30, 30), (30, 29, 2), (25, 30, 54)])
def test_large_degrees_stay_exact(l1, l2, degree):
    matrix = clebsch_gordan(l1, l2, degree).flatten(0, 1)
    unit = torch.eye(2 * degree + 1, dtype=torch.float64)
    torch.testing.assert_close(matrix.T @ matrix, unit, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("l1", "l2", "degree"), [t for t in TRIPLES if sum(t) % 2 == 0])
def test_positive_multiples_of_integrals_of_three_harmonics(l1, l2, degree):
    directions, area = sphere()
    first, second, product = (real_harmonics(directions, l) for l in (l1, l2, degree))
    integrals = np.einsum("xa,xb,xc,x->abc", first, second, product, area, optimize=True)
    ours = clebsch_gordan(l1, l2, degree).numpy()
    scale = np.sqrt((integrals**2).sum() / (2 * degree + 1))
    np.testing.assert_allclose(ours, integrals / scale, rtol=0, atol=1e-13)


def harmonics_rotated(matrix, l):
    """D with Y(R r) = D Y(r) from scipy's harmonics on a Lebedev grid."""
    points, weights = lebedev_rule(2 * l + 1 if l else 3)
    turned = real_harmonics((matrix @ points).T, l)
    return torch.from_numpy((turned.T * weights) @ real_harmonics(points.T, l))


@given(seed=st.integers(0, 2**32 - 1))
def test_products_rotate(seed):
    """With even and odd sums of degrees; improper rotations bring (-1)^(l1 + l2)."""
    matrix = Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    d = [harmonics_rotated(matrix, l) for l in range(9)]
    for l1, l2, degree in TRIPLES:
        coupling = clebsch_gordan(l1, l2, degree)
        before = torch.einsum("ax,by,abc->xyc", d[l1], d[l2], coupling)
        after = torch.einsum("xyz,cz->xyc", coupling, d[degree])
        torch.testing.assert_close(before, after, rtol=0, atol=1e-12)


def test_two_vectors():
    """Scalar, cross product and traceless part, in the order y, z, x."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    cyclic = [1, 2, 0]
    parts = [
        torch.einsum("a,b,abm->m", a[cyclic], b[cyclic], clebsch_gordan(1, 1, l)) for l in range(3)
    ]
    torch.testing.assert_close(parts[0], (a @ b)[None] / 3**0.5)
    torch.testing.assert_close(parts[1], torch.linalg.cross(a, b)[cyclic] / 2**0.5)
    (x, y, z), (u, v, w) = a, b
    traceless = [
        x * v + y * u, y * w + z * v, (2 * z * w - x * u - y * v) / 3**0.5, x * w + z * u,
        x * u - y * v,
    ]  # fmt: skip
    torch.testing.assert_close(parts[2], torch.stack(traceless) / 2**0.5)


@pytest.mark.parametrize(("l1", "l2", "degree"), TRIPLES)
def test_factors_change_places(l1, l2, degree):
    here, there = clebsch_gordan(l1, l2, degree), clebsch_gordan(l2, l1, degree)
    sign = (-1) ** (l1 + l2 + degree)
    torch.testing.assert_close(here, sign * there.transpose(0, 1), rtol=0, atol=1e-15)


def test_impossible_triangle():
    with pytest.raises(ValueError, match=r"l1 = 1 and l2 = 2 do not couple to degree 4.*1 and 3"):
        clebsch_gordan(1, 2, 4)
