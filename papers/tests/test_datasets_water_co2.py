"""Water and carbon dioxide: geometries and energies of what ships."""

import numpy as np
import pytest

from multilode.datasets import load
from multilode_papers.makers.water_co2 import APART, FAR, NEAR, interaction, orientations, place


@pytest.fixture(scope="module")
def whole():
    return load("water-co2")


def test_shipped_structures_are_those_of_the_maker(whole):
    assert len(set(orientations())) == 33
    labels, distances = whole.labels("orientation"), whole.column("distance")
    positions = whole.structures.positions.numpy().reshape(-1, 6, 3)
    for label, distance, there in zip(labels, distances, positions, strict=True):
        np.testing.assert_allclose(there, place(label, distance), rtol=0, atol=1.01e-8)
    expected = {(o, d) for o in orientations() for d in (*NEAR, *FAR, APART)}
    assert {(o, float(d)) for o, d in zip(labels, distances, strict=True)} == expected


def test_monomers_are_rigid_and_named_distances_are_those_of_the_centers_of_mass():
    positions = place("++-_y", 7.25)
    water, co2 = positions[:3], positions[3:]
    apart = np.linalg.norm(np.diff(water, axis=0), axis=1)
    assert apart[0] == pytest.approx(0.9572)
    assert apart[1] == pytest.approx(2 * 0.9572 * np.sin(np.radians(104.52) / 2))
    masses = np.array([15.99491, 1.00783, 1.00783])
    center = masses @ water / masses.sum()
    assert np.linalg.norm(co2[0] - center) == pytest.approx(7.25, abs=1e-6)
    np.testing.assert_allclose((co2[1] + co2[2]) / 2, co2[0])
    np.testing.assert_allclose(co2[1] - co2[0], [0, 1.160, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("orientation", "power"),
    # a dipole and a quadrupole; two quadrupoles where the first vanishes
    [("00+_z", 4), ("00-_z", 4), ("0++_y", 4), ("0+0_y", 5), ("+00_x", 5)],
)
def test_tails_have_the_power_of_the_leading_multipoles(whole, orientation, power):
    mine = np.array(whole.labels("orientation")) == orientation
    curve = dict(
        zip(whole.column("distance")[mine], whole.column("interaction_energy")[mine], strict=True)
    )
    slope = np.log(curve[20.0] / curve[14.0]) / np.log(20.0 / 14.0)
    assert slope == pytest.approx(-power, abs=0.3)


def test_a_dipole_turned_round_changes_the_sign(whole):
    labels, distance = np.array(whole.labels("orientation")), whole.column("distance")
    energy = {
        label: whole.column("interaction_energy")[(labels == label) & (distance == 20.0)][0]
        for label in ("00+_z", "00-_z")
    }
    assert energy["00+_z"] / energy["00-_z"] == pytest.approx(-1, abs=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("i", [57, 400])
def test_one_point_recomputed(whole, i):
    pytest.importorskip("pyscf")
    computed = interaction(place(whole.labels("orientation")[i], whole.column("distance")[i]))
    for key in ("interaction_energy", "interaction_energy_hf", "interaction_energy_nocp"):
        assert whole.columns[key][i] == pytest.approx(computed[key], abs=1e-7)  # 1e-4 meV
