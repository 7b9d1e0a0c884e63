"""Fields in a few channels before they are multiplied: what stays, and slopes in every way."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from crystals import random_structures
from multilode.config.store import load, save
from multilode.correlations import FieldChannels
from multilode.errors import DataWarning
from multilode.models import Network, PolynomialKernel, Problem, Ridge, SparseKernelRidge
from multilode.models.kernel_ridge.product_slopes import product_slopes
from multilode.models.pooling import pool_terms
from multilode.models.slopes import all_directions, derivatives_along
from multilode.prediction.training import train
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.channel_fit import check_channels, with_channels
from multilode.representation.feature_recipe import features
from multilode.representation.pooled_slopes import pooled_slopes, pooled_strains
from multilode.representation.representation import Representation
from multilode.symmetry.irrep import Irrep
from multilode.symmetry.wigner import wigner_d
from toy_tensors import FIELDS

SPECIES = (1, 6, 7, 8)
RECIPE = Representation(
    fields=FIELDS,
    products=(("rho", "rho"), ("rho", "V")),
    species=SPECIES,
    centers=SPECIES,
)
SLOTS = [(z,) for z in SPECIES]
pytestmark = pytest.mark.filterwarnings("ignore:the 3 channels of the field")


RICH = {name: replace(field, basis=GaussianTypeOrbitals(6, 3.0)) for name, field in FIELDS.items()}


def molecules(n=6, seed=0):
    return random_structures(SPECIES, n, seed=seed)


def mixed(number, structures=None, recipe=RECIPE):
    return with_channels(recipe, molecules() if structures is None else structures, number)


def orthogonal(recipe):
    """As many channels as there are coefficients, so that nothing is lost."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, field in recipe.fields.items():
        size = recipe.n_channels_of(name)
        draws = torch.randn(field.max_angular + 1, size, size, generator=generator).double()
        found[name] = FieldChannels(matrices=tuple(torch.linalg.qr(draw)[0] for draw in draws))
    return replace(recipe, channels=found)


def test_scalar_products_of_features_do_not_depend_on_the_axes():
    structures = molecules()
    pairs = [
        (term @ term.T, other @ other.T)
        for term, other in zip(
            RECIPE.compute(structures).invariants,
            orthogonal(RECIPE).compute(structures).invariants,
            strict=True,
        )
    ]
    for kernel, again in pairs:
        torch.testing.assert_close(kernel, again, rtol=1e-10, atol=1e-12 * float(kernel.max()))


def test_channels_are_principal_components():
    """Of one species, no other mixtures leave less: those of a singular value decomposition."""
    one = replace(RECIPE, species=(8,), centers=(8,), fields=RICH)
    structures = random_structures((8,), 12)
    channels = mixed(3, structures, one).channels["rho"]
    of_vectors = one.coefficients(structures).terms[0].blocks[Irrep(1)].flatten(0, 1)
    left = torch.linalg.svdvals(of_vectors)[3:].square().sum()
    u = channels.matrices[1]
    assert torch.allclose(u.T @ u, torch.eye(3).double(), atol=1e-12)
    lost = (of_vectors - of_vectors @ u @ u.T).square().sum()
    assert float(lost / left) == pytest.approx(1, rel=1e-8)


def test_shares_are_those_of_the_variance():
    structures = molecules(12)
    channels = mixed(5, structures).channels["rho"]
    rho = RECIPE.coefficients(structures).terms[0]
    kept, whole = torch.zeros(2, len(SPECIES)).double()
    for l, u in enumerate(channels.matrices):
        block = rho.blocks[Irrep(l)]
        if l == 0:
            kinds = rho_kinds(structures)
            means = torch.stack([block[kinds == z].mean(dim=0) for z in SPECIES])
            block = block - means[torch.searchsorted(torch.tensor(SPECIES), kinds)]
        for place in range(len(SPECIES)):  # what the other species add is zero
            own = torch.zeros_like(block)
            own[..., 2 * place : 2 * place + 2] = block[..., 2 * place : 2 * place + 2]
            whole[place] += own.square().sum()
            kept[place] += (own @ u).square().sum()
    assert channels.shares == pytest.approx((kept / whole).tolist(), rel=1e-9)


def rho_kinds(structures):
    return structures.species[RECIPE.centers_of(structures)]


def test_numbers_do_not_grow_with_the_elements():
    few = mixed(4, random_structures((1, 8), 6), replace(RECIPE, species=(1, 8), centers=(1, 8)))
    many = mixed(4)
    sizes = [
        [term.shape[1] for term in recipe.compute(random_structures((1, 8), 2)).invariants]
        for recipe in (few, many)
    ]
    degrees = FIELDS["rho"].max_angular + 1
    assert sizes[0] == sizes[1] == [degrees * 10, degrees * 16]
    labels = many.compute(molecules(1)).terms[1].labels[Irrep(0)]
    assert labels.names == ("channel_1", "n_1", "channel_2", "n_2", "l")
    assert labels["channel_2"].max() == 3


@pytest.mark.parametrize(
    ("species", "number", "expected"), [(3, "auto", None), (4, "auto", None), (4, None, None)]
)
def test_few_products_of_species_and_n_are_kept(species, number, expected):
    """Four species of two functions are fewer than 16."""
    chosen = replace(RECIPE, species=SPECIES[:species], centers=SPECIES[:species])
    structures = random_structures(chosen.species, 3)
    assert with_channels(chosen, structures, number).channels is expected


def test_auto_is_16_of_many():
    structures = random_structures(SPECIES, 6)
    recipe = features(cutoff=3.0).for_structures(structures)
    assert {name: part.number for name, part in (recipe.channels or {}).items()} == {
        "rho": 16,
        "V": 16,
    }
    assert features(cutoff=3.0, channels=None).for_structures(structures).channels is None


def pooled(recipe, structures):
    terms = recipe.compute(structures).rows()
    return torch.cat(pool_terms(terms, reduce="sum", centers=recipe.centers), dim=1)


@pytest.mark.parametrize("along", [False, True])
def test_slopes_are_those_of_backward_passes(along):
    recipe, structures = mixed(3), molecules(4, seed=1)
    positions = structures.positions.clone().requires_grad_()
    found = pooled(recipe, replace(structures, positions=positions))
    directions = all_directions(structures.counts)
    expected = derivatives_along(found, positions, directions)
    slopes = pooled_slopes(recipe, structures, SLOTS)
    if along:
        move = torch.randn(structures.n_atoms, 3, 2, generator=torch.Generator().manual_seed(0))
        move = move.double()
        own = pooled_slopes(recipe, structures, SLOTS, along=move)
        index = structures.structure_index.repeat_interleave(3)
        weighted = torch.cat(slopes, dim=1)[:, None] * move.flatten(0, 1)[:, :, None]
        sums = weighted.new_zeros(4, *weighted.shape[1:]).index_add(0, index, weighted)
        torch.testing.assert_close(torch.cat(own, dim=1), sums.flatten(0, 1))
    size = float(expected.abs().max())
    torch.testing.assert_close(torch.cat(slopes, dim=1), expected, rtol=1e-9, atol=1e-11 * size)


def test_strains_are_finite_differences():
    recipe = mixed(3)
    structures = random_structures(SPECIES, 2, periodic=3)
    found = torch.cat(pooled_strains(recipe, structures, SLOTS), dim=1).unflatten(0, (-1, 3, 3))
    strain = torch.tensor([[0.3, 0.2, 0], [-0.1, 0.5, 0], [0.2, -0.4, 0.1]]).double()

    def strained(step):
        deformed = torch.eye(3).double() + step * strain
        return replace(
            structures,
            positions=structures.positions @ deformed,
            cell=structures.cell @ deformed,
        )

    ends = [pooled(recipe, strained(step)) for step in (1e-4, -1e-4)]
    expected = (ends[0] - ends[1]) / 2e-4
    own = torch.einsum("sabf,ab->sf", found, strain)
    assert (own - expected).abs().max() < 1e-6 * expected.abs().max()


@pytest.mark.parametrize("normalize", [False, True])
def test_slopes_of_sparse_kernels_are_those_of_backward_passes(normalize):
    recipe = mixed(3)
    estimator = SparseKernelRidge(kernel=PolynomialKernel(zeta=2, normalize=normalize), n_active=9)
    problem = Problem.of(recipe)
    own = estimator.map(problem, lambda n, seed: iter([recipe.compute(molecules())]))
    new = molecules(2, seed=3)
    positions = new.positions.clone().requires_grad_()
    columns = own.design(recipe.compute(replace(new, positions=positions))).terms
    expected = derivatives_along(torch.cat(columns, dim=1), positions, all_directions(new.counts))
    found = torch.cat(product_slopes(own, recipe, new), dim=1)
    size = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8 * size)


def test_equivariants_rotate():
    vectors = replace(RECIPE, irreps=(Irrep(1),))
    recipe, structures = mixed(3, recipe=vectors), molecules(2)
    draw = torch.randn(3, 3, generator=torch.Generator().manual_seed(4)).double()
    rotation = torch.linalg.qr(draw)[0]
    turned = replace(structures, positions=structures.positions @ rotation.T)
    for before, after in zip(
        recipe.compute(structures).terms, recipe.compute(turned).terms, strict=True
    ):
        matrix = wigner_d(rotation, 1)  # of improper rotations too
        expected = torch.einsum("mn,inq->imq", matrix, before.blocks[Irrep(1)])
        torch.testing.assert_close(after.blocks[Irrep(1)], expected, rtol=1e-7, atol=1e-9)


def energies(structures):
    """Sums over pairs of 1/r with charges of the elements."""
    charges = {1: 0.4, 6: 0.1, 7: -0.6, 8: -0.8}
    found = []
    for k in range(structures.n_structures):
        one = structures[k]
        q = torch.tensor([charges[int(z)] for z in one.species]).double()
        r = torch.cdist(one.positions, one.positions)
        r.fill_diagonal_(math.inf)
        found.append(float((q[:, None] * q / r).sum() / 2))
    return np.array(found)


def test_models_in_channels_predict_and_come_back(tmp_path):
    structures, new = molecules(30), molecules(3, seed=9)
    recipe = features("rho*rho + rho*V", cutoff=3.0, channels=6, **FIELDS)
    estimator = Ridge(regularization=1e-6, term_weights=(1.0, 1.0))
    model = train(recipe, structures, "energy", y=energies(structures), estimator=estimator)
    whole, step = model.predict(new, forces=True), 1e-4
    move = torch.zeros_like(new.positions)
    move[2, 1] = step
    ends = [model.predict(replace(new, positions=new.positions + s * move)) for s in (1, -1)]
    slope = -float((ends[0].values - ends[1].values).sum()) / (2 * step)
    assert float(whole.forces[2, 1]) == pytest.approx(slope, rel=1e-5)
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert torch.equal(again.predict(new).values, whole.values)
    assert "FieldChannels(6 of 8" in repr(again.representation)
    written_out = torch.cat(model.model.weights)[:, 0]
    expected = pooled(model.representation, new) @ written_out + model.baseline.predict(new)[:, 0]
    torch.testing.assert_close(whole.values, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.filterwarnings("ignore:the 1 channels of the field")
def test_rare_elements_are_seen_or_it_is_said():
    """Two atoms among nearly a thousand have hardly any of the variance."""
    structures = random_structures((1, 6, 7), 200, seed=2)
    structures.species[:2] = 8
    seen = mixed(16, structures, replace(RECIPE, fields=RICH))  # of 24
    assert all(share > 0.5 for part in seen.channels.values() for share in part.shares)
    with pytest.warns(DataWarning, match=r"1 channels of the field 'rho' have .*% of what . atoms"):
        mixed(1, structures)


@pytest.mark.parametrize("number", [0, -1, 1.5, "few", True])
def test_numbers_that_are_none(number):
    with pytest.raises(ValueError, match=r"is .* use a number of at least 1, 'auto'"):
        check_channels(number)
    if number in (0, -1) and number is not True:
        with pytest.raises(ValueError, match="channels is"):
            features(channels=number)


def test_more_channels_than_there_are():
    with pytest.raises(ValueError, match=r"9 channels of the field 'rho' are more than its 8"):
        mixed(9)


def test_channels_of_another_field():
    bad = FieldChannels(matrices=(torch.ones(3, 2).double(),))
    with pytest.raises(ValueError, match=r"channels mix 3 coefficients of 1 l"):
        replace(RECIPE, channels={"rho": bad}).compute(molecules(1))
    with pytest.raises(ValueError, match=r"of the field 'W', which is in no product"):
        replace(RECIPE, channels={"W": bad})
    with pytest.raises(ValueError, match="one matrix"):
        FieldChannels(matrices=(torch.ones(3, 2), torch.ones(2, 2)))


def test_networks_have_channels_of_their_own():
    structures = molecules(4)
    with pytest.raises(ValueError, match=r"Network\(channels=...\)"):
        train(
            features(channels=4, cutoff=3.0),
            structures,
            "energy",
            y=energies(structures),
            estimator=Network(epochs=1),
        )
