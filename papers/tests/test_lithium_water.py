"""The slab and its molecule: image charges, variational energies, reference values."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from multilode_papers.makers import image_response, lithium_water, water_molecule
from multilode_papers.makers.electrode import LATTICE, WIDTH, lithium_slab
from multilode_papers.makers.gaussian_charges import COULOMB, isolated
from multilode_papers.makers.image_response import SPREAD
from multilode_papers.makers.layer_sums import layer_sum
from multilode_papers.makers.lithium_water import HEIGHTS, binding_curve
from often import often

MOLECULE = lithium_water.drawn_molecule("water-03")


@pytest.fixture(scope="module")
def slab():
    return lithium_slab(5, 3)


def above(slab, height, molecule=MOLECULE):
    middle = np.array([2.5 * LATTICE, 2.5 * LATTICE, height])
    return (molecule - molecule[0] + middle)[None]


def respond(slab, positions, molecule=MOLECULE):
    return image_response.image_response(
        slab, positions, water_molecule.charges(molecule), water_molecule.polarizability(molecule)
    )


def own_energy(slab, positions, p):
    """Energy (eV) of the molecule's charges and dipole with those of its images."""
    c = water_molecule.charges(MOLECULE)
    alpha = water_molecule.polarizability(MOLECULE)
    own = layer_sum(positions, positions, slab.cell, WIDTH, order=2)
    one = isolated(positions[:, None] - positions, WIDTH)
    value, gradient, second = (COULOMB * (a - b) for a, b in zip(own, one, strict=True))
    energy = 0.5 * c @ value @ c + p @ gradient[0].T @ c - 0.5 * p @ second[0, 0] @ p
    return energy + 0.5 * COULOMB * p @ np.linalg.inv(alpha) @ p


def total_energy(slab, positions, q, p):
    """Electrostatic energy (eV) per cell, every term as a plain sum over pairs of charges."""
    c, metal = water_molecule.charges(MOLECULE), slab.positions
    inside = COULOMB * layer_sum(metal, metal, slab.cell, math.sqrt(2) * WIDTH)[0]
    between, slope = layer_sum(positions, metal, slab.cell, math.hypot(WIDTH, SPREAD), order=1)
    mixed = COULOMB * (c @ between @ q + p @ slope[0].T @ q)
    return 0.5 * q @ inside @ q + mixed + own_energy(slab, positions, p)


def energy_without_slab(slab, positions):
    """The dipoles of the same lattice of molecules relaxed by descent."""
    return minimize(lambda p: own_energy(slab, positions, p), np.zeros(3), tol=1e-12).fun


@pytest.mark.parametrize("height", often([1.6, 3.0, 6.0], [3.0]))
def test_energy_is_the_minimum(slab, height):
    positions = above(slab, height)
    response = respond(slab, positions)
    q, p = response.electrode_charges[0], response.dipole[0]
    assert q.sum() == pytest.approx(0, abs=1e-9)
    lowest = total_energy(slab, positions[0], q, p)
    assert response.energy[0] == pytest.approx(
        lowest - energy_without_slab(slab, positions[0]), abs=1e-7
    )
    rng = np.random.default_rng(0)
    for _ in range(5):
        dq, dp = rng.normal(size=len(q)), rng.normal(size=3)
        dq -= dq.mean()
        up, down = (total_energy(slab, positions[0], q + s * dq, p + s * dp) for s in (1e-3, -1e-3))
        assert up > lowest
        assert down > lowest
        assert up == pytest.approx(down, abs=1e-8)  # no slope


@pytest.mark.parametrize("direction", [[0, 0, 1.0], [0.6, 0, 0.8]])
def test_force_with_frozen_charges_is_that_of_the_relaxed_energy(slab, direction):
    positions, step = above(slab, 2.2), 1e-4 * np.array(direction)
    response = respond(slab, positions)
    q, p = response.electrode_charges[0], response.dipole[0]
    frozen = [total_energy(slab, positions[0] + s * step, q, p) for s in (1, -1)]
    relaxed = [respond(slab, positions + s * step).energy[0] for s in (1, -1)]
    assert abs(relaxed[0] - relaxed[1]) > 1e-7
    assert relaxed[0] - relaxed[1] == pytest.approx(frozen[0] - frozen[1], rel=1e-5)


def test_energy_is_the_integral_of_the_force(slab):
    """From 3 to 6 Å, by the forces that frozen charges exert."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    work = 0.0
    for z, w in zip(4.5 + 1.5 * nodes, 1.5 * weights, strict=True):
        positions, step = above(slab, z), np.array([0, 0, 1e-3])
        response = respond(slab, positions)
        frozen = response.electrode_charges[0], response.dipole[0]
        ends = [total_energy(slab, positions[0] + s * step, *frozen) for s in (1, -1)]
        work += w * (ends[0] - ends[1]) / 2e-3
    far, near = (respond(slab, above(slab, z)).energy[0] for z in (6.0, 3.0))
    assert work == pytest.approx(far - near, rel=1e-4)


def charge_energy(slab, position):
    """A unit charge above the slab (eV), without its own lattice."""
    potential = layer_sum(position[None], slab.positions, slab.cell, math.hypot(WIDTH, 0.3))[0][0]
    return -0.5 * COULOMB**2 * potential @ slab.response @ potential


def test_point_charge_sees_its_image():
    """The potential of mirror charges behind a plane at 1.5 Å, for the charge and its lattice.

    In a wide cell this is -14.4 / 4 (z - 1.5).
    """
    repeats = 11
    slab, length = lithium_slab(repeats, 3), repeats * LATTICE
    heights = np.array([5.0, 6.0, 8.0, 10.0, 20.0])
    place = (repeats // 2 + 0.5) * LATTICE
    energies = np.array([charge_energy(slab, np.array([place, place, z])) for z in heights])
    steps = 2 * np.pi / length * np.arange(-120, 121)
    g = np.hypot(*np.meshgrid(steps, steps)).ravel()
    g = np.sort(g)[1:]

    def images(z0):
        return np.array(
            [-COULOMB * np.pi / length**2 * np.sum(np.exp(-2 * g * (z - z0)) / g) for z in heights]
        )

    measured = energies[:-1] - energies[-1]  # the uniform field polarises the slab as a whole
    expected = images(1.5)[:-1] - images(1.5)[-1]
    np.testing.assert_allclose(measured, expected, rtol=0.015)


def test_lateral_cell():
    """Images of the molecule: the cell that ships is converged near the surface, not far away."""
    energies = []
    for repeats in (9, 11):
        slab = lithium_slab(repeats, 3)
        middle = (repeats // 2 + 0.5) * LATTICE
        positions = MOLECULE + np.array([[[middle, middle, z]] for z in (2.0, 4.0, 8.0)])
        energies.append(respond(slab, positions).energy)
    error = np.abs(energies[0] / energies[1] - 1)
    assert error[0] < 0.002
    assert error[1] < 0.02
    assert error[2] < 0.2


def test_frames():
    frames = binding_curve("water-05")
    heights = [f.values["height"] for f in frames]
    assert heights == list(HEIGHTS)
    assert len(heights) == 31
    energies = np.array([f.values["interaction_energy"] for f in frames])
    assert np.all(np.abs(energies) < 3.0)
    assert np.all(energies[-15:] < 0)
    for frame in frames:
        lowest = frame.positions[-3:, 2].min() - frame.positions[:-3, 2].max()
        assert lowest == pytest.approx(frame.values["height"], abs=2e-4)
        assert frame.pbc == (True, True, False)
        assert frame.values["model"] == "constant-potential electrode"
        assert ("polarization_split" in frame.values) == (frame.values["height"] >= 4.5)


def test_splits():
    assert len(lithium_water.tested_configurations()) == 6
    splits = list(lithium_water.polarization_splits().values())
    assert (splits.count("train"), splits.count("test")) == (1000, 215)


def test_same_name_same_molecule_and_different_ones_differ(tmp_path):
    done = []
    data = lithium_water.make(tmp_path, count=2, progress=lambda n, of: done.append((n, of)))
    assert len(data) == 62
    assert done == [(0, 2), (1, 2), (2, 2)]
    again = lithium_water.make(tmp_path, count=2, progress=lambda n, of: done.append((n, of)))
    assert done[3:] == [(2, 2)]
    np.testing.assert_array_equal(data.column("polarization"), again.column("polarization"))
    assert np.ptp(data.column("interaction_energy")[[10, 41]]) > 1e-4


def test_dispersion_is_that_of_lifshitz():
    """C3 of a Drude metal and a molecule with one excitation, for a slab as thick as its layers."""
    plasmon, excitation, alpha = 5.3 / 27.2114, 0.629, 9.8  # Hartree; C6 of water: 45 a.u.
    c3 = alpha / 8 * excitation * plasmon / (excitation + plasmon) * 27.2114 * 0.529177**3
    layers, height = 9, 9.0
    slab = lithium_slab(9, layers)
    middle = 4.5 * LATTICE
    one = np.array([middle, middle, height]) + np.array([[[0, 0, 0], [0, 0, 50], [0, 0, 50.0]]])
    edge = height - LATTICE / 4  # half a layer above the outermost nuclei
    thick = edge + layers * LATTICE / 2
    expected = -c3 * (edge**-3 - thick**-3)
    assert lithium_water.overlap_energy(slab, one)[0] == pytest.approx(expected, rel=0.03)


def test_overlap_is_a_wall_at_contact():
    """The damping of Tang and Toennies removes the divergence of the dispersion."""
    oxygen = lithium_water.OVERLAPS[0]
    r = np.array([0.3, 1.0, 2.0, 2.5, 4.0])
    energies = oxygen(r)
    assert np.all(np.isfinite(energies))
    assert np.all(energies > -0.2)
    assert energies[0] > 100
