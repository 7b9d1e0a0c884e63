"""The gas of point charges: its energies are the Ewald sum, by another program."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erfc

from multilode.datasets import load
from multilode_papers.makers.engines import EngineError
from multilode_papers.makers.point_charges import (
    CLOSEST,
    SIDES,
    SPECIES,
    ewald_sum,
    random_box,
    some_boxes,
)

COULOMB = 14.399645  # eV Å
CHARGES = np.where(SPECIES == 11, 1.0, -1.0)
# LAMMPS takes the complementary error function from a polynomial
ENERGY_ERROR, FORCE_ERROR = 5e-5, 2e-6


def independent_sum(side, positions, charges):
    """Energy (eV) and forces (eV/Å) in a cubic box, both sums far beyond double precision."""
    split = 8.4 / side
    steps = np.array(np.meshgrid(*[range(-2, 3)] * 3, indexing="ij")).reshape(3, -1).T
    between = positions[:, None] - positions
    products = np.outer(charges, charges)
    energy, forces = 0.0, np.zeros_like(positions)
    for step in steps * side:
        vectors = between + step
        r = np.linalg.norm(vectors, axis=2)
        if not step.any():
            np.fill_diagonal(r, 1e6)  # nothing acts on itself
        near = products * erfc(split * r) / r
        gaussian = 2 * split / np.sqrt(np.pi) * products * np.exp(-((split * r) ** 2))
        energy += near.sum() / 2
        forces += (((near + gaussian) / r**2)[..., None] * vectors).sum(axis=1)
    waves = np.array(np.meshgrid(*[range(-16, 17)] * 3, indexing="ij")).reshape(3, -1).T
    waves = waves[waves.any(axis=1)] * 2 * np.pi / side
    squares = (waves**2).sum(axis=1)
    kernel = 4 * np.pi / side**3 * np.exp(-squares / (4 * split**2)) / squares
    waves, kernel = waves[kernel > 1e-18], kernel[kernel > 1e-18]
    phases = np.exp(1j * positions @ waves.T)
    factors = charges @ phases
    energy += (kernel * np.abs(factors) ** 2).sum() / 2
    energy -= split / np.sqrt(np.pi) * (charges**2).sum()
    forces += charges[:, None] * ((kernel * (phases * factors.conj()).imag) @ waves)
    return COULOMB * energy, COULOMB * forces


def test_the_independent_sum_gives_the_constant_of_rock_salt():
    sites = np.array(np.meshgrid(*[range(2)] * 3, indexing="ij")).reshape(3, -1).T
    signs = (-1.0) ** sites.sum(axis=1)
    energy, forces = independent_sum(2.0, sites.astype(float), signs)
    assert energy / (4 * COULOMB) == pytest.approx(-1.7475645946, abs=1e-9)
    assert np.abs(forces).max() < 1e-9


@pytest.fixture(scope="module")
def boxes():
    return load("point-charges")


def test_shipped_energies_and_forces_are_the_ewald_sum(boxes):
    assert (boxes.structures.counts == len(SPECIES)).all()
    energies = boxes.column("ewald_energy")
    for i in (0, int(energies.argmin()), int(energies.argmax()), len(boxes) - 1):
        one = boxes.select([i])
        assert (one.structures.species.numpy() == SPECIES).all()
        side = float(one.structures.cell[0, 0, 0])
        positions = one.structures.positions.numpy()
        energy, forces = independent_sum(side, positions, CHARGES)
        assert energies[i] == pytest.approx(energy, abs=ENERGY_ERROR)
        np.testing.assert_allclose(one.atom_columns["ewald_forces"][0], forces, atol=FORCE_ERROR)


def test_shipped_boxes_are_those_of_the_paper(boxes):
    parts = boxes.labels("split")
    assert (parts.count("train"), parts.count("test")) == (1500, 500)
    sides = boxes.structures.cell[:, 0, 0].numpy()
    assert sides.min() > SIDES[0]
    assert sides.max() < SIDES[1]
    positions = boxes.structures.positions.numpy().reshape(-1, len(SPECIES), 3)
    for side, places in zip(sides[::50], positions[::50], strict=True):
        assert closest(side, places) > CLOSEST - 1e-5


def closest(side, positions):
    apart = positions[:, None] - positions
    apart -= side * np.round(apart / side)
    return (np.linalg.norm(apart, axis=2) + 99 * np.eye(len(positions))).min()


@given(seed=st.integers(0, 2**32 - 1))
def test_random_boxes_keep_their_distance(seed):
    side, positions = random_box(np.random.default_rng(seed))
    assert positions.shape == (64, 3)
    assert positions.min() >= 0
    assert positions.max() < side
    assert closest(side, positions) >= CLOSEST
    np.testing.assert_array_equal(positions, np.round(positions, 6))


def test_lammps_gives_the_ewald_sum():
    side, positions = random_box(np.random.default_rng(1))
    try:
        energy, forces = ewald_sum(side, positions, SPECIES)
    except EngineError as error:
        pytest.skip(str(error))
    expected, expected_forces = independent_sum(side, positions, CHARGES)
    assert energy == pytest.approx(expected, abs=ENERGY_ERROR)
    np.testing.assert_allclose(forces, expected_forces, atol=FORCE_ERROR)
    frames = some_boxes("boxes-0003")
    assert [frame.values["split"] for frame in frames].count("test") == 5
    assert frames[7].values == some_boxes("boxes-0003")[7].values  # the name is the seed
