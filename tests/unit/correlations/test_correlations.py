import math

import numpy as np
import pytest
import torch

from multilode.correlations import (
    one_point,
    one_point_labels,
    power_spectrum,
    power_spectrum_labels,
)
from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import expansion_labels
from multilode.symmetry.irrep import Irrep

MAX_ANGULAR, CENTERS = 3, 4


def random_equivariants(species, n_radial, seed, max_angular=MAX_ANGULAR, centers=CENTERS):
    generator = torch.Generator().manual_seed(seed)
    labels = expansion_labels(species, n_radial)
    blocks = {
        Irrep(l): torch.randn(
            centers, 2 * l + 1, len(labels), generator=generator, dtype=torch.float64
        )
        for l in range(max_angular + 1)
    }
    return Equivariants(blocks, dict.fromkeys(blocks, labels), torch.arange(centers))


def test_products_by_their_definition():
    left = random_equivariants((1, 8), 2, 0)
    right = random_equivariants((1, 8), 3, 1)
    values, labels = power_spectrum(left, right), power_spectrum_labels(left, right)
    assert labels.names == ("species_1", "n_1", "species_2", "n_2", "l")
    assert values.shape == (CENTERS, len(labels)) == (CENTERS, 4 * 6 * (MAX_ANGULAR + 1))
    assert len({tuple(row) for row in labels.values.tolist()}) == len(labels)
    for column, (a1, n1, a2, n2, l) in zip(values.T, labels.values.tolist(), strict=True):
        p, q = (1, 8).index(a1) * 2 + n1, (1, 8).index(a2) * 3 + n2
        product = left.blocks[Irrep(l)][:, :, p] * right.blocks[Irrep(l)][:, :, q]
        torch.testing.assert_close(column, product.sum(dim=1) / math.sqrt(2 * l + 1))


def test_a_field_with_itself_keeps_each_pair_once():
    field = random_equivariants((1, 8), 2, 2)
    values, labels = power_spectrum(field, field), power_spectrum_labels(field, field)
    assert len(labels) == 4 * 5 // 2 * (MAX_ANGULAR + 1)
    for column, (a1, n1, a2, n2, l) in zip(values.T, labels.values.tolist(), strict=True):
        assert (a1, n1) <= (a2, n2)
        p, q = (1, 8).index(a1) * 2 + n1, (1, 8).index(a2) * 2 + n2
        product = field.blocks[Irrep(l)][:, :, p] * field.blocks[Irrep(l)][:, :, q]
        weight = 1.0 if p == q else math.sqrt(2)
        expected = weight * product.sum(dim=1) / math.sqrt(2 * l + 1)
        torch.testing.assert_close(column, expected, rtol=1e-14, atol=1e-14)


def test_scalar_products_do_not_know_about_the_shortcut():
    """To double precision: a sqrt2 rounded to float32 once hid in the weights."""
    field = random_equivariants((1, 8), 3, 3)
    twin = Equivariants(dict(field.blocks), field.labels, field.centers)
    short, full = power_spectrum(field, field), power_spectrum(field, twin)
    assert short.shape[1] < full.shape[1]
    torch.testing.assert_close(short @ short.T, full @ full.T, rtol=1e-13, atol=1e-13)


def test_invariants_are_averages_over_rotations():
    """The product of two fields, Haar-averaged, is a norm: sum of squares over l of (2l+1) p^2."""
    left, right = random_equivariants((1,), 1, 4), random_equivariants((1,), 1, 5)
    values = power_spectrum(left, right)
    for l in range(MAX_ANGULAR + 1):
        a, b = left.blocks[Irrep(l)][:, :, 0], right.blocks[Irrep(l)][:, :, 0]
        torch.testing.assert_close(
            values[:, l] * math.sqrt(2 * l + 1), torch.einsum("im,im->i", a, b)
        )


def test_one_point():
    field = random_equivariants((1, 8), 2, 6)
    assert torch.equal(one_point(field), field.blocks[Irrep(0)][:, 0])
    assert one_point_labels(field).names == ("species", "n")
    expected = np.array([[1, 0], [1, 1], [8, 0], [8, 1]])
    np.testing.assert_array_equal(one_point_labels(field).values, expected)


def test_fields_that_do_not_fit_together():
    field = random_equivariants((1,), 2, 7)
    with pytest.raises(ValueError, match="same max_angular"):
        power_spectrum(field, random_equivariants((1,), 2, 7, max_angular=2))
    with pytest.raises(ValueError, match="same centers"):
        power_spectrum(field, random_equivariants((1,), 2, 7, centers=3))


def test_blocks_must_match_their_labels():
    labels = expansion_labels((1, 8), 2)
    with pytest.raises(ValueError, match=r"block .* has shape \(3, 3, 5\), not \(3, 3, 4\)"):
        Equivariants({Irrep(1): torch.zeros(3, 3, 5)}, {Irrep(1): labels}, torch.arange(3))


def test_derivatives():
    field = random_equivariants((1,), 2, 8, max_angular=1, centers=2)

    def products(*blocks):
        mine = Equivariants(
            dict(zip(field.blocks, blocks, strict=True)), field.labels, field.centers
        )
        return power_spectrum(mine, mine), power_spectrum(mine, field)

    blocks = [b.clone().requires_grad_() for b in field.blocks.values()]
    assert torch.autograd.gradcheck(products, blocks)
    assert torch.autograd.gradgradcheck(products, blocks)
