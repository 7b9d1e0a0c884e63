import numpy as np
import pytest
import torch

from haar import scalar_products
from multilode.correlations import (
    equivariant_power_spectrum,
    power_spectrum,
    power_spectrum_labels,
    product,
)
from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import FeatureLabels
from multilode.symmetry.coupling import clebsch_gordan
from multilode.symmetry.irrep import Irrep

SPECIES = (1, 8)
ALL = [Irrep(l, parity) for l in range(1, 4) for parity in (1, -1)]


def random_field(n_radial, seed, max_angular=2, centers=3, parities=(1,)):
    generator = torch.Generator().manual_seed(seed)
    rows = [(a, n) for a in SPECIES for n in range(n_radial)]
    labels = FeatureLabels(("species", "n"), np.array(rows))
    irreps = [Irrep(l, parity) for l in range(max_angular + 1) for parity in parities]
    blocks = {
        i: torch.randn(
            centers, 2 * i.degree + 1, len(rows), generator=generator, dtype=torch.float64
        )
        for i in irreps
    }
    return Equivariants(blocks, dict.fromkeys(blocks, labels), torch.arange(centers))


def twin(field):
    """The same numbers, but another object."""
    return Equivariants(dict(field.blocks), field.labels, field.centers)


def gram(block):
    return torch.einsum("imq,jkq->imjk", block, block)


def channel(field, species, n):
    rows = field.labels[Irrep(0)].values.tolist()
    return rows.index([species, n])


def test_every_column_by_its_definition():
    left, right = random_field(1, 0, max_angular=3), random_field(2, 1)
    found = equivariant_power_spectrum(left, right, ALL)
    assert sorted(found.blocks) == sorted(ALL)
    for irrep, block in found.blocks.items():
        labels = found.labels[irrep]
        assert labels.names == ("species_1", "n_1", "l_1", "species_2", "n_2", "l_2")
        assert len({tuple(row) for row in labels.values.tolist()}) == len(labels)
        pairs = {(row[2], row[5]) for row in labels.values.tolist()}
        assert pairs == {
            (a, b)
            for a in range(4)
            for b in range(3)
            if abs(a - b) <= irrep.degree <= a + b
            and (-1) ** (a + b + irrep.degree) == irrep.parity
        }
        assert len(labels) == len(pairs) * 2 * 4
        for column, (a1, n1, l1, a2, n2, l2) in zip(
            block.unbind(2), labels.values.tolist(), strict=True
        ):
            expected = torch.einsum(
                "ia,ib,abm->im",
                left.blocks[Irrep(l1)][:, :, channel(left, a1, n1)],
                right.blocks[Irrep(l2)][:, :, channel(right, a2, n2)],
                clebsch_gordan(l1, l2, irrep.degree),
            )
            torch.testing.assert_close(column, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("same", [True, False])
def test_invariants_are_the_power_spectrum(same):
    left = random_field(2, 2, max_angular=4)
    right = left if same else random_field(3, 3, max_angular=4)
    found = equivariant_power_spectrum(left, right, [Irrep(0)])
    expected = power_spectrum(left, right)
    torch.testing.assert_close(found.blocks[Irrep(0)][:, 0], expected, rtol=0, atol=1e-14)
    ours, theirs = found.labels[Irrep(0)], power_spectrum_labels(left, right)
    columns = [ours.names.index(name.replace("l", "l_1", name == "l")) for name in theirs.names]
    np.testing.assert_array_equal(ours.values[:, columns], theirs.values)


@pytest.mark.parametrize("irrep", [Irrep(0), *ALL], ids=str)
def test_scalar_products_are_averages_over_rotations(irrep):
    """Of one field with itself, and of two; no coefficient of a coupling is needed for it."""
    field, other = random_field(1, 4), random_field(2, 5, max_angular=3)
    for factors in ([field, field], [field, other], [other, field]):
        found = equivariant_power_spectrum(*factors, [irrep])
        expected = scalar_products(factors, irrep)
        torch.testing.assert_close(gram(found.blocks[irrep]), expected, rtol=0, atol=1e-11)


def test_factors_that_are_themselves_products():
    """Blocks of both parities on both sides."""
    field, other = random_field(1, 6, parities=(1, -1)), random_field(1, 7, parities=(-1,))
    for factors in ([field, field], [field, other]):
        found = equivariant_power_spectrum(*factors, ALL)
        assert "sigma_2" in found.labels[Irrep(1)].names
        for irrep in (Irrep(1), Irrep(2, -1)):
            expected = scalar_products(factors, irrep)
            torch.testing.assert_close(gram(found.blocks[irrep]), expected, rtol=0, atol=1e-11)


def test_a_field_with_itself_is_stored_without_redundance():
    """As many independent columns as columns, none of them zero, and as many as without it."""
    field = random_field(2, 8, centers=60)
    short = equivariant_power_spectrum(field, field, ALL)
    full = equivariant_power_spectrum(field, twin(field), ALL)
    for irrep, block in short.blocks.items():
        rank = int(torch.linalg.matrix_rank(block.flatten(0, 1)))
        assert (
            rank
            == block.shape[2]
            == int(torch.linalg.matrix_rank(full.blocks[irrep].flatten(0, 1)))
        )
        assert block.shape[2] < full.blocks[irrep].shape[2]


def test_two_fields_keep_both_orders_of_l():
    """Columns with l1 > l2 are independent of those with l1 < l2."""
    left, right = random_field(1, 9, centers=60), random_field(1, 10, centers=60)
    block = equivariant_power_spectrum(left, right, [Irrep(1)]).blocks[Irrep(1)]
    assert int(torch.linalg.matrix_rank(block.flatten(0, 1))) == block.shape[2] == 4 * 4


def test_blocks_of_centers_do_not_matter(monkeypatch):
    left, right = random_field(2, 11, centers=7), random_field(1, 12, centers=7)
    for pair in ((left, left), (left, right)):
        whole = equivariant_power_spectrum(*pair, ALL)
        with monkeypatch.context() as patch:
            patch.setattr(product, "_BLOCK_NUMBERS", 40)
            parts = equivariant_power_spectrum(*pair, ALL)
        for irrep in whole.blocks:
            torch.testing.assert_close(parts.blocks[irrep], whole.blocks[irrep])


@pytest.mark.parametrize("irrep", [Irrep(0), Irrep(1, -1), Irrep(2)], ids=str)
def test_derivatives(irrep, monkeypatch):
    monkeypatch.setattr(product, "_BLOCK_NUMBERS", 1)
    field, other = random_field(1, 13, centers=2), random_field(1, 14, max_angular=1, centers=2)

    def products(*blocks):
        blocks = iter(blocks)
        a, b = (
            Equivariants({i: next(blocks) for i in f.blocks}, f.labels, f.centers)
            for f in (field, other)
        )
        pairs = [(a, a), (a, b), (b, a)] if irrep != Irrep(2) else [(a, a), (a, b)]
        return tuple(equivariant_power_spectrum(*p, [irrep]).blocks[irrep] for p in pairs)

    leaves = [b.clone().requires_grad_() for f in (field, other) for b in f.blocks.values()]
    assert torch.autograd.gradcheck(products, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(products, leaves, fast_mode=True)


def test_single_precision():
    field = random_field(2, 17)
    blocks = {i: b.float() for i, b in field.blocks.items()}
    single = Equivariants(blocks, field.labels, field.centers)
    double = equivariant_power_spectrum(field, field, ALL)
    for irrep, block in equivariant_power_spectrum(single, single, ALL).blocks.items():
        assert block.dtype == torch.float32
        torch.testing.assert_close(block.double(), double.blocks[irrep], rtol=1e-5, atol=1e-5)


def test_no_centers():
    field = random_field(1, 15, centers=0)
    assert equivariant_power_spectrum(field, field, [Irrep(1)]).blocks[Irrep(1)].shape == (0, 3, 8)


def test_what_cannot_be_given():
    field = random_field(1, 16)
    with pytest.raises(ValueError, match=r"have \[3, 4\] centers; expand"):
        equivariant_power_spectrum(field, random_field(1, 16, centers=4), [Irrep(0)])
    with pytest.raises(ValueError, match=r"these 2 fields has no .*degree=5.*raise max_angular"):
        equivariant_power_spectrum(field, field, [Irrep(1), Irrep(5)])
    with pytest.raises(ValueError, match=r"no .*degree=0, parity=-1"):
        equivariant_power_spectrum(field, field, [Irrep(0, -1)])
    for irreps in ([], [Irrep(-1)], [Irrep(1, 2)]):
        with pytest.raises(ValueError, match="give at least one"):
            equivariant_power_spectrum(field, field, irreps)
