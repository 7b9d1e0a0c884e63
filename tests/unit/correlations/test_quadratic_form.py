"""Quadratic forms of coefficients are scalar products with the features that are written out."""

import pytest
import torch

from multilode.correlations import power_spectrum
from multilode.correlations.quadratic_form import quadratic_forms, spectrum_matrices
from multilode.equivariants import Equivariants, expansion_labels
from multilode.symmetry.irrep import Irrep

N, L_MAX = 5, 2


def field(channels, seed):
    generator = torch.Generator().manual_seed(seed)
    degrees = range(L_MAX + 1)
    blocks = {
        Irrep(l): torch.randn(N, 2 * l + 1, channels, generator=generator).double() for l in degrees
    }
    return Equivariants(
        blocks, dict.fromkeys(blocks, expansion_labels((1,), channels)), torch.arange(N)
    )


@pytest.mark.parametrize("symmetric", [True, False])
def test_matrices_give_the_scalar_product_with_the_power_spectrum(symmetric):
    left = field(4, 0)
    right = left if symmetric else field(3, 1)
    features = power_spectrum(left, right)
    weights = torch.linspace(-1, 2, 2 * features.shape[1]).double().sin().reshape(2, -1)
    sizes = (4, 4 if symmetric else 3)
    matrices = spectrum_matrices(weights, sizes, L_MAX, symmetric=symmetric)
    found = sum(
        torch.einsum("imp,kpq,imq->ki", left[irrep], matrices[:, irrep.degree], right[irrep])
        for irrep in left.blocks
    )
    torch.testing.assert_close(found, weights @ features.T, rtol=1e-13, atol=1e-13)


def test_forms_of_kinds_and_their_slopes_of_first_and_second_order():
    generator = torch.Generator().manual_seed(2)
    c = torch.randn(N, 4, 3, generator=generator).double().requires_grad_()
    m = torch.randn(3, 2, 3, 3, generator=generator).double()
    m, kinds = m + m.mT, torch.tensor([2, 0, 2, 0, 0])  # none of kind 1
    given = (m, kinds.argsort(stable=True), torch.bincount(kinds, minlength=3).tolist())
    expected = torch.einsum("imp,impq,imq->i", c, m[kinds][:, [0, 1, 1, 1]], c)
    torch.testing.assert_close(quadratic_forms(c, *given), expected, rtol=1e-13, atol=1e-13)
    assert torch.autograd.gradcheck(lambda x: quadratic_forms(x, *given), c)
    assert torch.autograd.gradgradcheck(lambda x: quadratic_forms(x, *given), c)
