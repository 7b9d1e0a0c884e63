import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import FeatureLabels
from multilode.equivariants.rotation import rotate_equivariants
from multilode.symmetry.irrep import Irrep
from multilode.symmetry.wigner import wigner_d
from quadrature import real_harmonics

POINTS = torch.randn(30, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def orthogonal(seed, *, improper=False):
    matrix = Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    return torch.from_numpy(-matrix if improper else matrix.copy())


@pytest.mark.parametrize("degree", [0, 1, 2, 5, 12, 25])
@pytest.mark.parametrize("improper", [False, True])
def test_harmonics_of_rotated_points(degree, improper):
    """By scipy's harmonics, at points that the matrix was not made from."""
    matrix = orthogonal(0, improper=improper)
    before = torch.from_numpy(real_harmonics(POINTS.numpy(), degree))
    after = torch.from_numpy(real_harmonics((POINTS @ matrix.T).numpy(), degree))
    torch.testing.assert_close(before @ wigner_d(matrix, degree).T, after, rtol=0, atol=1e-12)


@given(seed=st.integers(0, 2**32 - 1), degree=st.integers(0, 10), improper=st.booleans())
def test_representation(seed, degree, improper):
    """Products go to products, and every matrix is orthogonal."""
    a, b = orthogonal(seed, improper=improper), orthogonal(seed + 1)
    together, parts = wigner_d(a @ b, degree), wigner_d(torch.stack([a, b]), degree)
    torch.testing.assert_close(together, parts[0] @ parts[1], rtol=0, atol=1e-13)
    unit = torch.eye(2 * degree + 1, dtype=torch.float64)
    torch.testing.assert_close(together @ together.T, unit, rtol=0, atol=1e-13)


def test_about_the_z_axis():
    """cos and sin of m times the angle, mixing m with -m."""
    angle, l = 0.7, 3
    c, s = np.cos(angle), np.sin(angle)
    matrix = wigner_d(torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]]), l)
    m = np.arange(-l, l + 1)
    expected = np.diag(np.cos(m * angle)) - np.fliplr(np.diag(np.sin(m * angle)))
    np.testing.assert_allclose(matrix.numpy(), expected, rtol=0, atol=1e-14)


def test_vectors_and_pseudovectors():
    """A cross product has parity -1; both blocks are in the order y, z, x."""
    generator = torch.Generator().manual_seed(2)
    a, b = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    matrix, cyclic = orthogonal(3, improper=True), [1, 2, 0]
    one = FeatureLabels(("k",), np.zeros((1, 1), dtype=np.int64))

    def quantities(a, b):
        blocks = {
            Irrep(1): a[:, cyclic, None],
            Irrep(1, -1): torch.linalg.cross(a, b)[:, cyclic, None],
        }
        return Equivariants(blocks, dict.fromkeys(blocks, one), torch.arange(4))

    found = rotate_equivariants(quantities(a, b), matrix)
    expected = quantities(a @ matrix.T, b @ matrix.T)
    for irrep, block in expected.blocks.items():
        torch.testing.assert_close(found.blocks[irrep], block)


def test_differentiable_in_the_rotation():
    generator = torch.randn(3, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    skew = (generator - generator.T).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: wigner_d(torch.linalg.matrix_exp(s - s.T), 3), (skew,)
    )


def test_not_a_rotation():
    with pytest.raises(ValueError, match=r"deviates from the unit matrix by 3.0e\+00"):
        wigner_d(2 * torch.eye(3, dtype=torch.float64), 1)
