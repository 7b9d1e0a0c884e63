"""Data sets are chosen from, joined, split and described."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from hypothesis import given
from hypothesis import strategies as st

from multilode.data.ase_atoms import from_ase
from multilode.data.dataset import Dataset, concatenate, random_split


def two() -> Dataset:
    """Water with a charge and forces, and a crystal of rock salt with neither."""
    water, salt = molecule("H2O"), bulk("NaCl", "rocksalt", a=5.6)
    water.info = {"name": "a", "charge": 0, "dipole": [0.0, 0.0, 1.85]}
    water.set_array("forces", np.ones((3, 3)))
    salt.info = {"name": "b"}
    return from_ase([water, salt])


def test_indices_choose_structures_with_their_values():
    data = two()
    assert len(data) == 2
    assert data[1].columns == {"name": ("b",), "charge": (None,), "dipole": (None,)}
    assert data[-1].source == (data.source[1],)
    assert data[::-1].labels("name") == ("b", "a")
    assert data[[True, False]].atom_column("forces").shape == (3, 3)
    assert [part.labels("name") for part in data] == [("a",), ("b",)]
    assert len(data[2:]) == 0
    with pytest.raises(IndexError, match="no structure 2"):
        data[2]


def test_a_data_set_is_described_without_its_numbers():
    assert repr(two()).splitlines() == [
        "Dataset(2 structures, 5 atoms, 2 to 3 each",
        "  species: H 2, O 1, Na 1, Cl 1",
        "  periodicity: 1 periodic in 3D, 1 isolated",
        "  columns: name, charge (in 1), dipole 3 (in 1)",
        "  atom columns: forces 3 (in 1)",
        "  source: structures in memory)",
    ]


def test_the_description_stays_short():
    data = two().with_values({f"key_{i}": (1.0, 2.0) for i in range(1000)})
    assert len(repr(data)) < 800
    assert len(repr(concatenate([data] * 100))) < 800
    assert len(repr(data[:0]).splitlines()) == 6


def test_data_sets_join_and_keep_their_keys():
    data = two()
    joined = concatenate([data.select([1]), data.select([0])])
    assert joined.structures.species.tolist() == [11, 17, 8, 1, 1]
    assert joined.columns["charge"] == (None, 0)
    assert joined.labels("name") == ("b", "a")
    with pytest.raises(ValueError, match="at least one"):
        concatenate([])


@given(
    labels=st.lists(st.sampled_from("abcdef"), min_size=4, max_size=40),
    fraction=st.floats(0, 0.6),
    seed=st.integers(0, 99),
)
def test_a_random_split_is_a_partition_that_keeps_groups(labels, fraction, seed):
    train, test = random_split(len(labels), fraction, seed=seed)
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert len(test) == round(fraction * len(labels))
    labels = [*labels, *"ghijklmnopqrstuvwxyz" * 2]  # no group may hold nearly everything
    train, test = random_split(len(labels), fraction, seed=seed, groups=labels)
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert not {labels[i] for i in train} & {labels[i] for i in test}
    assert len(test) >= round(fraction * len(labels))
    again = random_split(len(labels), fraction, seed=seed, groups=labels)[1]
    np.testing.assert_array_equal(test, again)


def test_a_split_that_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(ValueError, match=r"leaves none of 4 .* use more groups than 1"):
        random_split(4, 0.5, seed=0, groups=["a"] * 4)
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        random_split(4, 1.0, seed=0)
