import numpy as np
import pytest
import torch

from haar import scalar_products
from multilode.config.codec import decode, encode
from multilode.correlations import (
    Contraction,
    ContractionSettings,
    Kept,
    correlate,
    equivariant_power_spectrum,
    fit_contraction,
)
from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import FeatureLabels
from multilode.symmetry.coupling import clebsch_gordan
from multilode.symmetry.irrep import Irrep

IRREPS = [Irrep(0), Irrep(1), Irrep(1, -1), Irrep(2), Irrep(2, -1)]


def random_field(n_radial, seed, max_angular=2, centers=3):
    generator = torch.Generator().manual_seed(seed)
    labels = FeatureLabels(("species", "n"), np.array([(6, n) for n in range(n_radial)]))
    blocks = {
        Irrep(l): torch.randn(
            centers, 2 * l + 1, n_radial, generator=generator, dtype=torch.float64
        )
        for l in range(max_angular + 1)
    }
    return Equivariants(blocks, dict.fromkeys(blocks, labels), torch.arange(centers))


def gram(block):
    return torch.einsum("imq,jkq->imjk", block, block)


RHO, V = random_field(2, 0), random_field(1, 1, max_angular=1)


def test_one_and_two_factors():
    single = correlate([RHO], [Irrep(1)])
    assert torch.equal(single.blocks[Irrep(1)], RHO.blocks[Irrep(1)])
    pair, expected = correlate([RHO, V], IRREPS[1:]), equivariant_power_spectrum(RHO, V, IRREPS[1:])
    for irrep in IRREPS[1:]:
        assert torch.equal(pair.blocks[irrep], expected.blocks[irrep])


@pytest.mark.parametrize("parity", [1, -1])
def test_every_column_by_its_definition(parity):
    """Three different fields: the labels say all about a column."""
    fields = [random_field(1, 2), random_field(2, 3, 1), random_field(1, 4)]
    irrep = Irrep(1, parity)
    found = correlate(fields, [irrep])
    labels, block = found.labels[irrep], found.blocks[irrep]
    names = "species_1 n_1 l_1 species_2 n_2 l_2 lambda_2 sigma_2 species_3 n_3 l_3"
    assert labels.names == tuple(names.split())
    assert len({tuple(row) for row in labels.values.tolist()}) == len(labels)
    for column, row in zip(block.unbind(2), labels.values.tolist(), strict=True):
        _, n1, l1, _, n2, l2, degree, sigma, _, n3, l3 = row
        assert sigma == (-1) ** (l1 + l2 + degree)
        assert parity == sigma * (-1) ** (degree + l3 + 1)
        expected = torch.einsum(
            "ia,ib,ic,abx,xcm->im",
            *(
                f.blocks[Irrep(l)][:, :, n]
                for f, l, n in zip(fields, (l1, l2, l3), (n1, n2, n3), strict=True)
            ),
            clebsch_gordan(l1, l2, degree),
            clebsch_gordan(degree, l3, 1),
        )
        torch.testing.assert_close(column, expected, rtol=1e-12, atol=1e-12)


CHAINS = {
    "rho rho rho": [RHO, RHO, RHO],
    "rho rho V": [RHO, RHO, V],
    "V rho rho": [V, RHO, RHO],
    "rho V rho": [RHO, V, RHO],
    "V V V V": [V, V, V, V],
    "rho rho V V": [RHO, RHO, V, V],
}


@pytest.mark.parametrize("irrep", [Irrep(0), Irrep(0, -1), *IRREPS[1:]], ids=str)
@pytest.mark.parametrize("factors", CHAINS.values(), ids=CHAINS)
def test_scalar_products_are_averages_over_rotations(factors, irrep):
    """Also where only one order of equal fields is computed."""
    expected = scalar_products(factors, irrep)
    scale = float(scalar_products(factors, Irrep(0)).abs().max())
    if irrep == Irrep(0, -1) and factors == [V] * 4:
        assert float(expected.abs().max()) < 1e-12 * scale  # of three vectors two are equal
    found = gram(correlate(factors, [irrep]).blocks[irrep])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("irrep", IRREPS, ids=str)
def test_rank_of_the_third_order(irrep):
    """All independent equivariants are there: as many as an average over rotations finds."""
    field = random_field(2, 5, centers=40)
    rows = scalar_products([field] * 3, irrep).flatten(0, 1).flatten(1, 2)
    block = correlate([field] * 3, [irrep]).blocks[irrep]
    rank = int(torch.linalg.matrix_rank(block.flatten(0, 1), rtol=1e-9))
    assert rank == int(torch.linalg.matrix_rank(rows, rtol=1e-9, hermitian=True)) > 0
    assert block.shape[2] < 2 * rank  # the rest has a channel twice


def test_a_contraction_that_keeps_everything():
    field, chain = random_field(2, 6, centers=40), [0, 0, 1]
    factors = [(field, V40)[k] for k in chain]
    contraction = fit_contraction([factors], IRREPS, ContractionSettings(max_features=1000))
    whole, contracted = correlate(factors, IRREPS), correlate(factors, IRREPS, contraction)
    for irrep in IRREPS:
        scale = float(whole.blocks[irrep].abs().max()) ** 2
        torch.testing.assert_close(
            gram(contracted.blocks[irrep]), gram(whole.blocks[irrep]), rtol=0, atol=1e-8 * scale
        )
        assert contracted.labels[irrep].names == ("component_3",)
        assert contraction.report[1][irrep].fraction == pytest.approx(1, abs=1e-9)


V40 = random_field(1, 7, max_angular=1, centers=40)


def test_projected_products_are_products_projected():
    field = random_field(2, 8, centers=40)
    settings = ContractionSettings(max_features=5)
    contraction = fit_contraction([[field, field]], IRREPS, settings)
    found = correlate([field, field], IRREPS, contraction)
    for irrep, block in correlate([field, field], IRREPS).blocks.items():
        matrix = contraction.projections[0][irrep]
        assert matrix.shape[1] == found.blocks[irrep].shape[2] <= 5
        torch.testing.assert_close(found.blocks[irrep], block @ matrix)


def test_batches_are_one_training_set():
    field = random_field(1, 9, centers=30)

    def part(rows):
        blocks = {i: b[rows] for i, b in field.blocks.items()}
        return Equivariants(blocks, field.labels, field.centers[rows])

    pieces = [part(slice(0, 7)), part(slice(7, 30))]
    settings = ContractionSettings(max_features=3)
    whole = fit_contraction([[field] * 3], IRREPS, settings)
    parts = fit_contraction([[p] * 3 for p in pieces], IRREPS, settings)
    ours, theirs = (correlate([field] * 3, IRREPS, c) for c in (whole, parts))
    for irrep in IRREPS:
        torch.testing.assert_close(gram(ours.blocks[irrep]), gram(theirs.blocks[irrep]))


def test_there_and_back():
    field = random_field(1, 10, centers=20)
    settings = ContractionSettings(max_features=4, variance=0.9)
    contraction = fit_contraction([[field] * 3], IRREPS, settings)
    again = decode(Contraction, *encode(contraction))
    assert again.report == contraction.report
    ours, theirs = (correlate([field] * 3, IRREPS, c) for c in (contraction, again))
    for irrep in IRREPS:
        assert torch.equal(ours.blocks[irrep], theirs.blocks[irrep])


def test_derivatives_of_a_contracted_chain():
    field = random_field(1, 11, max_angular=1, centers=12)
    contraction = fit_contraction([[field] * 3], [Irrep(1)], ContractionSettings(max_features=2))

    def chain(*blocks):
        mine = Equivariants(
            {i: b for i, b in zip(field.blocks, blocks, strict=True)},
            field.labels,
            torch.arange(2),
        )
        return correlate([mine] * 3, [Irrep(1)], contraction).blocks[Irrep(1)]

    leaves = [b[:2].clone().requires_grad_() for b in field.blocks.values()]
    assert torch.autograd.gradcheck(chain, leaves)
    assert torch.autograd.gradgradcheck(chain, leaves)


def test_blocks_that_vanish_on_the_training_set():
    """Nothing is kept of them, and nothing that needs them is computed."""
    field = random_field(2, 12, centers=20)
    blocks = {i: torch.zeros_like(b) if i == Irrep(1) else b for i, b in field.blocks.items()}
    flat = Equivariants(blocks, field.labels, field.centers)
    fitted = fit_contraction([[flat] * 3], [Irrep(1), Irrep(2)], ContractionSettings())
    assert fitted.report[0][Irrep(3)].n_after == 0
    assert fitted.report[1][Irrep(1)] == Kept(fitted.report[1][Irrep(1)].n_before, 0, 1.0)
    found = correlate([field] * 3, [Irrep(1), Irrep(2)], fitted)
    assert found.blocks[Irrep(1)].shape == (20, 3, 0)
    assert found.blocks[Irrep(2)].shape[2] > 0


def test_what_cannot_be_given():
    with pytest.raises(ValueError, match="at least one field"):
        correlate([], IRREPS)
    with pytest.raises(ValueError, match="no centers to fit"):
        fit_contraction([], IRREPS, ContractionSettings())
    contraction = fit_contraction([[RHO, RHO]], IRREPS, ContractionSettings())
    with pytest.raises(ValueError, match="has 1 steps, 3 factors have 2"):
        correlate([RHO] * 3, IRREPS, contraction)
    with pytest.raises(ValueError, match=r"after factor 2 there are .* fitted to"):
        correlate([RHO, V], IRREPS, contraction)
