"""Folds of whole sets of dimers, and models whose sources have the charges of the molecules."""

import numpy as np
import pytest

from multilode.datasets import available, load
from multilode_papers.systems.dimer_sources import with_charges
from multilode_papers.systems.sapt10k import FOLDS, MODELS, NAME, fold_of_each, recipe


@pytest.fixture(scope="module")
def dimers():
    if not available(NAME):
        pytest.skip("MULTILODE_DATA is not set: no third-party data to read")
    return load(NAME)


def test_sets_are_left_out_as_wholes(dimers):
    folds = fold_of_each(dimers)
    sets = np.array(dimers.labels("group"))
    assert set(folds) == set(range(FOLDS))
    for name in set(sets):
        assert len(set(folds[sets == name])) == 1
    sizes = np.bincount(folds)
    largest = max(np.sum(sets == name) for name in set(sets))
    assert sizes.max() <= max(largest, 1.5 * len(dimers) / FOLDS)
    assert len({name for name in set(sets) if folds[sets == name][0] == 0}) < len(set(sets)) / 2


def test_charges_of_molecules_stand_beside_their_atoms(dimers):
    some = with_charges(dimers[:50])
    for k in range(50):
        charges = some.atom_columns["molecule_charge"][k]
        labels = some.atom_columns["monomer"][k]
        assert set(charges[labels == 0]) == {float(some.column("charge_a")[k])}
        assert set(charges[labels == 1]) == {float(some.column("charge_b")[k])}


@pytest.mark.parametrize("name", MODELS)
def test_models_have_the_fields_of_their_products(name):
    made = recipe(name)
    assert set(made.fields) == {part for term in made.products for part in term}
    assert set(made.sources) == set(made.fields) & {"Q"}
