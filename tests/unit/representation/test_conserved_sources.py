"""Strengths with known totals, and how the response of a molecule decays."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms

from crystals import random_structures, structures_of
from multilode.config.store import load, save
from multilode.data.inputs import as_dataset
from multilode.expansion import expand
from multilode.models import Ridge
from multilode.models.targets import Target
from multilode.prediction.training import train
from multilode.report.model_summary import source_rows
from multilode.representation.feature_recipe import features
from multilode.representation.representation import Representation
from multilode.representation.sources import ConservedSources
from multilode.representation.sources.recipes import Described, Fitted
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import Irrep
from multilode.testing import check_sources
from toy_tensors import FIELDS

SPECIES = (1, 6, 8)
RECIPE = Representation(fields=FIELDS, products=(("rho", "V"),), species=SPECIES, centers=SPECIES)
pytestmark = pytest.mark.filterwarnings("ignore:surroundings vary in fewer")


def marked(n=4):
    """Structures of two parts each, with totals of 1 and -2."""
    structures = random_structures(SPECIES, n, seed=0)
    labels = torch.arange(structures.n_atoms).remainder(2).double()
    return replace(structures, arrays={"part": labels, "charge": 1 - 3 * labels})


def conserved(structures, **options):
    recipe = Described(components=2, cutoff=3.0, totals="charge", parts="part", **options)
    return recipe.start("V", RECIPE, structures, 0)


@pytest.mark.parametrize("responding", [False, True])
def test_conserved_sources_pass_the_checks(responding):
    structures = marked()
    check_sources(conserved(structures, responding=responding), structures, tolerance=1e-6)


def test_totals_are_met_in_every_part_and_by_every_mixture():
    structures = marked()
    sources = conserved(structures)
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(sources.n_channels, 2, generator=generator, dtype=torch.float64)
    found = sources.mixed(matrix / sources.sizes(matrix)).strengths(structures)
    for number in range(structures.n_structures):
        for label, total in ((0, 1.0), (1, -2.0)):
            own = (structures.structure_index == number) & (structures.arrays["part"] == label)
            expected = torch.full((2,), total if bool(own.any()) else 0.0, dtype=torch.float64)
            torch.testing.assert_close(found[own].sum(dim=0), expected, rtol=0, atol=1e-10)


def at_distances(distances):
    """A sodium ion in front of a molecule of nitrogen, in parts of charges 1 and 0."""
    images = [Atoms("N2Na", [[0, 0, 0], [0, 0, 1.1], [0, 0, -d]]) for d in distances]
    part = torch.tensor([0.0, 0, 1]).repeat(len(images))
    return replace(structures_of(*images), arrays={"part": part, "charge": part})


def response_at(distance, free):
    """Potential at the ion of what the molecule answers to it."""
    species = (7, 11)
    recipe = Representation(fields=FIELDS, products=(("V",),), species=species, centers=species)
    some = at_distances(np.linspace(3, 9, 12))
    sources = Described(
        components=2, cutoff=2.0, responding=True, totals="charge", parts="part"
    ).start("V", recipe, some, 0)
    mixed = sources.mixed(1 - sources.constants[:, None])
    if free:
        assert isinstance(mixed, ConservedSources)
        mixed = mixed.free
    near, far = at_distances([distance]), at_distances([1e5])
    answer = mixed.strengths(near) - mixed.strengths(far)
    answer[2] = 0  # the ion itself
    found = expand(FIELDS["V"], near, strengths=answer, tolerance=1e-12)
    return float(found.blocks[Irrep(0)][2].abs().max())


@pytest.mark.parametrize(("free", "power"), [(False, -4.0), (True, -2.0)])
def test_the_response_to_a_charge_decays_as_that_of_a_dipole(free, power):
    values = [abs(response_at(distance, free)) for distance in (40.0, 80.0)]
    assert np.log2(values[1] / values[0]) == pytest.approx(power, abs=0.15)


def ionic_pairs(n, seed):
    """Two molecules in any orientation, of charges 1 and -1 or 1 and 0; energies of charges.

    How much of the charge of a molecule is at which atom depends on its bond.
    """
    generator = np.random.default_rng(seed)
    positions, energies, charges = [], [], []
    for k in range(n):
        bonds = generator.uniform(0.9, 1.3, size=2)
        turns = generator.normal(size=(3, 3))
        turns /= np.linalg.norm(turns, axis=1)[:, None]
        shift = turns[2] * generator.uniform(4.5, 9.0)
        totals = np.array([1.0, -1.0 if k % 2 else 0.0])
        part = [
            [0.5 * q + 2 * (b - 1.1), 0.5 * q - 2 * (b - 1.1)]
            for q, b in zip(totals, bonds, strict=True)
        ]
        first = np.array([0 * turns[0], bonds[0] * turns[0]])
        second = shift + np.array([0 * turns[1], bonds[1] * turns[1]])
        apart = np.linalg.norm(first[:, None] - second, axis=2)
        energies.append(float((np.outer(part[0], part[1]) / apart).sum()))
        positions.append(np.concatenate([first, second]))
        charges.append(np.repeat(totals, 2))
    n_none = [np.zeros((3, 3))] * n, [np.zeros(3, bool)] * n
    data = as_dataset(Structures.from_arrays(positions, [np.array([6, 8, 6, 8])] * n, *n_none))
    labels = [np.array([0.0, 0, 1, 1])] * n
    return data.with_values({"y": energies}, {"part": labels, "charge": charges})


def test_known_charges_make_the_fit_right_where_free_sources_cannot_know_them(tmp_path):
    """The charges of the molecules differ, and nothing in their surroundings says so."""
    train_set, test_set = ionic_pairs(60, 0), ionic_pairs(60, 1)
    y = torch.from_numpy(test_set.column("y"))
    errors = {}
    free = Fitted(channels=1, components=2, cutoff=3.0, steps=30)
    for fitted in (free, replace(free, totals="charge", parts="part")):
        fields = {"V": FIELDS["V"], "rho": FIELDS["rho"], "channels": None}
        recipe = features("rho*V + V*V", **fields, sources={"V": fitted})
        target = Target(key="y", fragments="part")
        predictor = train(recipe, train_set, target, estimator=Ridge())
        wrong = predictor.predict(test_set).values - y
        errors[fitted is free] = float(wrong.square().mean().sqrt() / y.std())
    assert errors[False] < 0.5 * errors[True]
    assert "ConservedSources" in repr(predictor.representation)
    save(predictor, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    (field, channel, told) = source_rows(again.representation)[0]
    assert (field, channel, told.count("±")) == ("V", 0, 2)
    torch.testing.assert_close(
        again.predict(test_set).values, predictor.predict(test_set).values, rtol=1e-9, atol=1e-11
    )


def test_a_number_of_the_structure_is_that_of_its_atoms():
    atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], info={"charge": 1})
    structures = as_dataset([atoms, atoms]).with_arrays(["charge"]).structures
    assert structures.arrays["charge"].tolist() == [1, 1, 1, 1]


def test_bad_totals_are_refused():
    structures = marked()
    uneven = structures.arrays["charge"].clone()
    uneven[2] += 1
    with pytest.raises(ValueError, match="the same for all of them"):
        conserved(replace(structures, arrays={**structures.arrays, "charge": uneven}))
    with pytest.raises(ValueError, match="no 'part'"):
        conserved(replace(structures, arrays={}))
    with pytest.raises(ValueError, match="without totals"):
        Fitted(parts="part")
    fields = {"V": FIELDS["V"], "rho": FIELDS["rho"], "channels": None}
    recipe = features("rho*V", **fields, sources={"V": Described(totals="net")})
    data = ionic_pairs(4, 0).with_values({"net": [0.0, 1.0, 0.0, 1.0]})
    target = Target(key="y", fragments="part")
    with pytest.raises(ValueError, match="give the total of each fragment"):
        train(recipe, data, target, estimator=Ridge())
