"""The multipole identity: outside sources appear in the local basis as their electric multipoles.

Source: 2021 Eqs. 14-16 and 19.
"""

import math

import ase
import numpy as np
import pytest
import torch

from crystals import block, structures_of
from multilode.expansion import FieldExpansion, expand
from multilode.fields import SmearedPotential
from multilode.radial import GaussianTypeOrbitals, Monomials
from quadrature import real_harmonics

RADIUS, SMEARING = 1.5, 0.25
POINTLIKE = SmearedPotential(SMEARING, 1.0)


def radial_moment(l):
    """Integral of r^2 R_l r^l over the sphere: 1 / N_l for the normalised monomial N_l r^l."""
    return math.sqrt(RADIUS ** (2 * l + 3) / (2 * l + 3))


def surrounded(seed=0, count=5):
    """A center and sources at least six smearings outside of its sphere."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    distances = rng.uniform(RADIUS + 8 * SMEARING, 12, count)
    sources = directions * distances[:, None]
    return ase.Atoms(["H"] + ["O"] * count, positions=np.vstack([np.zeros((1, 3)), sources]))


def outside_field(atoms, max_angular, basis):
    expansion = FieldExpansion(POINTLIKE, basis, max_angular)
    structures, center = structures_of(atoms), torch.tensor([0])
    return expand(expansion, structures, species=(1, 8), centers=center, tolerance=1e-10)


def oxygen_channels(coefficients, l):
    kinds = coefficients.labels[(l, 1)].values[:, 0]
    return block(coefficients, l)[0][:, torch.from_numpy(kinds == 8)].numpy()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_coefficients_are_multipoles_of_the_surroundings(seed):
    """V_lm = 4 pi / (2 l + 1) sum_j Y_lm(j) / r_ji^(l + 1), times the integral of r^l R_l."""
    atoms = surrounded(seed)
    coefficients = outside_field(atoms, 6, Monomials(1, RADIUS))
    vectors = atoms.positions[1:]
    distances = np.linalg.norm(vectors, axis=1)
    for l in range(7):
        moments = (real_harmonics(vectors, l).T / distances ** (l + 1)).sum(axis=1)
        expected = 4 * math.pi / (2 * l + 1) * moments * radial_moment(l)
        found = oxygen_channels(coefficients, l)[:, 0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * abs(expected).max())


def test_one_radial_function_per_l_is_all_there_is():
    """A harmonic field has no component on r^(l + 2k) made orthogonal to r^l."""
    coefficients = outside_field(surrounded(), 4, Monomials(4, RADIUS))
    for l in range(5):
        channels = oxygen_channels(coefficients, l)
        total = np.linalg.norm(channels)
        single = oxygen_channels(outside_field(surrounded(), 4, Monomials(1, RADIUS)), l)
        assert total == pytest.approx(np.linalg.norm(single), rel=1e-8)
        assert np.linalg.matrix_rank(channels, tol=1e-8 * total) == 1


@pytest.mark.parametrize("l", range(6))
def test_decay_with_distance(l):
    """r_ji^-(l + 1) for p = 1; for any p the tail is r^-(p + l)."""
    values = []
    for distance in (20.0, 40.0):
        atoms = ase.Atoms("HO", positions=[[0, 0, 0], [0, 0, distance]])
        values.append(oxygen_channels(outside_field(atoms, 5, Monomials(1, RADIUS)), l)[l, 0])
    assert values[0] / values[1] == pytest.approx(2 ** (l + 1), rel=1e-9)


@pytest.mark.parametrize("exponent", [0.5, 2.0, 3.0, 6.0])
@pytest.mark.parametrize("basis", [Monomials(1, 1.5), GaussianTypeOrbitals(2, 1.0)], ids=repr)
def test_decay_of_other_exponents(basis, exponent):
    """Far away the leading moment wins: r^-(p + l), with corrections of order (radius / r)^2."""
    expansion = FieldExpansion(SmearedPotential(0.4, exponent), basis, 3)
    values = []
    for distance in (1000.0, 2000.0):
        atoms = ase.Atoms("HO", positions=[[0, 0, 0], [0, 0, distance]])
        result = expand(expansion, structures_of(atoms), species=(1, 8), centers=torch.tensor([0]))
        values.append([oxygen_channels(result, l)[l, 0] for l in range(4)])
    for l, (near, far) in enumerate(zip(*values, strict=True)):
        assert near / far == pytest.approx(2 ** (exponent + l), rel=1e-4)


def test_a_linear_model_with_l_zero_is_the_coulomb_sum():
    """2021 Eq. 19: charges times l = 0 coefficients of a small sphere add up to the energy."""
    rng = np.random.default_rng(5)
    # eight ions on a jittered grid, so that no two Gaussians overlap
    positions = 4.0 * np.array(list(np.ndindex(2, 2, 2))) + rng.uniform(-0.5, 0.5, (8, 3))
    charges = {11: 1.0, 17: -1.0}
    numbers = rng.permutation([11, 17] * 4)
    atoms = ase.Atoms(numbers, positions=positions)
    radius = 0.3
    expansion = FieldExpansion(SmearedPotential(0.3, 1.0), Monomials(1, radius), 0, center_weight=0)
    coefficients = block(expand(expansion, structures_of(atoms), species=(11, 17)), 0)[:, 0]
    average = math.sqrt(4 * math.pi) / math.sqrt(3 / radius**3) / (4 * math.pi / 3 * radius**3)
    weights = {z: 0.5 * q * average * np.array([1.0, -1.0]) for z, q in charges.items()}
    energy = sum(
        float(row @ weights[z]) for z, row in zip(numbers, coefficients.numpy(), strict=True)
    )
    q = np.array([charges[z] for z in numbers])
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1) + np.diag([np.inf] * 8)
    assert energy == pytest.approx(float(0.5 * q @ (1 / apart) @ q), rel=1e-9)


def test_electric_field_of_a_dipole_in_a_crystal():
    """l = 1 in the small sphere is the electric field: minus the slope of the potential."""
    cell = np.array([[4.0, 0, 0], [0.7, 4.4, 0], [-0.4, 0.9, 5.0]])
    positions = np.array([[0.0, 0, 0], [1.9, 1.2, 1.7], [2.1, 2.7, 3.9]])
    radius, smearing = 0.05, 0.35
    expansion = FieldExpansion(SmearedPotential(smearing, 1.0), Monomials(1, radius), 1)

    def expanded(shift):
        moved = positions.copy()
        moved[0] += shift
        atoms = ase.Atoms("HOO", positions=moved, cell=cell, pbc=True)
        structures, center = structures_of(atoms), torch.tensor([0])
        return expand(expansion, structures, species=(1, 8), centers=center, tolerance=1e-10)

    step, slope = 1e-3, []
    average = math.sqrt(4 * math.pi) / math.sqrt(3 / radius**3) / (4 * math.pi / 3 * radius**3)
    for axis in (1, 2, 0):  # l = 1 runs over y, z, x
        unit = np.eye(3)[axis] * step
        high, low = (oxygen_channels(expanded(s * unit), 0)[0, 0] for s in (1, -1))
        slope.append(average * (high - low) / (2 * step))
    moment = math.sqrt(4 * math.pi / 3) * math.sqrt(radius**5 / 5)  # of a potential g . r
    found = oxygen_channels(expanded(np.zeros(3)), 1)[:, 0] / moment
    np.testing.assert_allclose(found, slope, rtol=1e-5)


@pytest.mark.parametrize("exponent", [1.0, 6.0])
def test_an_atom_far_away_is_heard_at_any_distance(exponent):
    """No table ends: the tail is right where float64 still resolves it."""
    expansion = FieldExpansion(SmearedPotential(0.5, exponent), Monomials(1, 1.0), 0)
    flat = math.sqrt(4 * math.pi) * math.sqrt(1 / 3)
    for distance in (50.0, 1e3, 1e5):
        atoms = ase.Atoms("HO", positions=[[0, 0, 0], [distance, 0, 0]])
        result = expand(expansion, structures_of(atoms), species=(1, 8), centers=torch.tensor([0]))
        found = oxygen_channels(result, 0)[0, 0]
        correction = exponent * (exponent - 1) / 6 * 3 / 5 / distance**2
        expected = flat * distance**-exponent * (1 + correction)
        assert found == pytest.approx(expected, rel=1e-4 if distance < 100 else 1e-8)
