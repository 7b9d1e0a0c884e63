"""Atoms far from all others cost nothing: the same pairs, whatever the periodicity."""

import itertools
import time

import numpy as np
import pytest
import torch

import multilode as ml
from multilode.structures.neighbors import pairs_within

CELL = np.array([[6.5, 0.4, 0], [0.3, 6.2, 0], [0.1, 0.2, 20.0]])
CUTOFF = 3.0
NEAR = np.array([[0, 0, 0], [1, 1, 1], [2, 0.5, 0.1]])
FAR = np.array([[0.2, 0.1, 0.3], [1.1, 0.1, 0.3]])
PERIODICITIES = list(itertools.product([True, False], repeat=3))


def structure(positions, pbc):
    species = np.array([8, 1, 1, 8, 1])[: len(positions)]
    return ml.Structures.from_arrays([positions], [species], [CELL], [np.array(pbc)])


def described(structures):
    """Pairs and their distances, sorted."""
    pairs = pairs_within(structures, CUTOFF)
    vectors = pairs.vectors(structures)
    rows = zip(pairs.center.tolist(), pairs.neighbor.tolist(), vectors.norm(dim=1), strict=True)
    return sorted((i, j, round(float(r), 3)) for i, j, r in rows)


def free_direction(pbc):
    """A direction along which nothing repeats."""
    periodic = CELL[np.array(pbc)]
    outside = np.eye(3) - np.linalg.pinv(periodic) @ periodic if len(periodic) else np.eye(3)
    return outside[np.argmax(np.linalg.norm(outside, axis=1))]


@pytest.mark.parametrize("far", [400.0, 1e4, 1e6, 1e8, 1e10, 1e12])
@pytest.mark.parametrize("pbc", PERIODICITIES[1:], ids=str)
def test_two_clusters_have_the_pairs_of_each(pbc, far):
    """Case 46: five seconds at 1e4 Å, and an end without a message at 1e6 Å."""
    direction = free_direction(pbc)
    place = far * direction / np.linalg.norm(direction)
    both = structure(np.concatenate([NEAR, np.round(FAR + place, 6)]), pbc)
    begun = time.process_time()
    found = described(both)
    assert time.process_time() - begun < 1
    ours, theirs = structure(NEAR, pbc), structure(both.positions[3:].numpy() - place, pbc)
    expected = described(ours) + [(i + 3, j + 3, r) for i, j, r in described(theirs)]
    if far <= 1e8:
        assert found == sorted(expected)
    assert [row[:2] for row in found] == [row[:2] for row in sorted(expected)]


@pytest.mark.parametrize("pbc", PERIODICITIES, ids=str)
def test_atoms_far_outside_of_the_cell_are_those_within(pbc):
    """Along periods, by whole numbers of lattice vectors."""
    generator = np.random.default_rng(1)
    positions = generator.random((5, 3)) @ CELL
    moved = positions + np.where(pbc, generator.integers(-3000, 3000, (5, 3)), 0) @ CELL
    assert described(structure(moved, pbc)) == described(structure(positions, pbc))


@pytest.mark.parametrize("edge", [40.0, 500.0, 1e4, 1e6])
def test_few_atoms_in_a_large_box(edge):
    structures = ml.Structures.from_arrays(
        [NEAR + edge - 0.5], [np.array([8, 1, 1])], [edge * np.eye(3)], [np.ones(3, dtype=bool)]
    )
    begun = time.process_time()
    assert len(pairs_within(structures, CUTOFF).center) == 6
    assert time.process_time() - begun < 1


def test_many_far_atoms_of_a_wire():
    n = 4000
    positions = np.zeros((n, 3))
    positions[:, 1] = np.arange(n) * 1e5
    positions[1::2, 1] -= 1e5 - 1.5  # pairs of atoms
    structures = ml.Structures.from_arrays(
        [positions], [np.ones(n, dtype=int)], [CELL], [np.array([True, False, False])]
    )
    begun = time.process_time()
    found = pairs_within(structures, CUTOFF)
    assert time.process_time() - begun < 5
    assert len(found.center) == n


def test_features_of_a_slab_do_not_feel_an_atom_far_above():
    field = ml.FieldExpansion(
        ml.GaussianDensity(0.4), ml.GaussianTypeOrbitals(2, 3.0), max_angular=1, neighbor_cutoff=3.0
    )
    recipe = ml.Representation(
        fields={"rho": field}, products=(("rho", "rho"),), species=(1, 8), centers=(1, 8)
    )
    pbc = (True, True, False)
    above = FAR + np.array([0, 0, 1e6])
    alone = recipe.compute(structure(NEAR, pbc)).invariants[0]
    both = recipe.compute(structure(np.concatenate([NEAR, above]), pbc)).invariants[0]
    torch.testing.assert_close(both[:3], alone, rtol=1e-12, atol=1e-14)
