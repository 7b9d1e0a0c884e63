"""A predictor in ASE: energies, forces and stresses that belong together."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError

from multilode.data.ase_atoms import from_ase
from multilode.data.dataset import DataError
from multilode.data.units import UnitError, energy_in_ev
from multilode.engines.calculator import PredictorCalculator
from multilode.errors import DataWarning, UserError
from multilode.models import KernelRidge, Ridge, polynomial_kernels
from salt import committee_of_four, crystals, trained

# slabs, wires and molecules are not like the crystals of the training
pytestmark = pytest.mark.filterwarnings(
    "ignore:the surroundings of atom:multilode.errors.DataWarning"
)


@pytest.fixture(scope="module")
def predictor():
    return trained(KernelRidge(kernel=polynomial_kernels(zeta=2), regularization=1e-6))


@pytest.fixture(scope="module")
def linear():
    return trained(Ridge(regularization=1e-6, term_weights=(1.0,)))


def test_energy_forces_and_stress_are_those_of_the_predictor(predictor):
    atoms = crystals(3)[2]
    atoms.calc = PredictorCalculator(predictor, tolerance=None)
    expected = predictor.predict(from_ase([atoms]).structures, forces=True, stress=True)
    assert atoms.get_potential_energy() == float(expected.values[0])
    np.testing.assert_allclose(atoms.get_forces(), expected.forces, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        atoms.get_stress(voigt=False), expected.stress[0], rtol=1e-10, atol=1e-14
    )


def test_derivatives_by_finite_differences_of_ase(predictor):
    from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

    atoms = crystals(3)[1]
    atoms.calc = PredictorCalculator(predictor)
    forces = calculate_numerical_forces(atoms, eps=1e-4)
    stress = calculate_numerical_stress(atoms, eps=1e-4)
    np.testing.assert_allclose(atoms.get_forces(), forces, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(atoms.get_stress(), stress, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("kind", ["crystal", "slab", "molecule"])
def test_a_coarser_tolerance_and_single_precision_change_forces_by_little(linear, kind):
    atoms = crystals(3)[1] * (1, 1, 2)
    atoms.rattle(0.1, seed=1)
    atoms.pbc = {"crystal": (True, True, True), "slab": (True, True, False), "molecule": False}[
        kind
    ]
    exact = linear.predict(from_ase(atoms), forces=True)
    expected = exact.forces.numpy()
    for given in ({}, {"dtype": "float32"}):
        atoms.calc = PredictorCalculator(linear, **given)
        forces = atoms.get_forces()
        assert forces.dtype == np.float64
        assert 0 < np.abs(forces - expected).max() < 5e-5 * np.abs(expected).max()
        assert atoms.get_potential_energy() == pytest.approx(
            float(exact.values[0]), rel=1e-5, abs=1e-5
        )


def test_kernels_can_be_computed_in_single_precision():
    kernel = trained(KernelRidge(kernel=polynomial_kernels(zeta=2), regularization=1e-2))
    atoms = crystals(3)[1]
    expected = kernel.predict(from_ase(atoms), forces=True, stress=True)
    atoms.calc = PredictorCalculator(kernel, dtype="float32")
    np.testing.assert_allclose(atoms.get_forces(), expected.forces, atol=1e-4)
    np.testing.assert_allclose(atoms.get_stress(voigt=False), expected.stress[0], atol=1e-5)
    assert atoms.calc.dtype == torch.float32


def test_predictions_at_another_tolerance_are_those_of_another_representation(linear):
    structures = from_ase(crystals(2)).structures
    coarse = replace(linear.representation, tolerance=1e-3)
    expected = replace(linear, representation=coarse).predict(structures, forces=True)
    found = linear.predict(structures, forces=True, tolerance=1e-3)
    assert torch.equal(found.values, expected.values)
    assert torch.equal(found.forces, expected.forces)
    assert not torch.equal(found.forces, linear.predict(structures, forces=True).forces)
    atoms = crystals(2)[1]
    atoms.calc = PredictorCalculator(replace(linear, representation=coarse))
    # as it was trained; alone, sums of a structure are in another order than in a batch
    np.testing.assert_allclose(atoms.get_forces(), expected.forces[2:], rtol=0, atol=1e-15)


def test_single_precision_does_not_depend_on_how_far_atoms_have_gone(linear):
    atoms = crystals(3)[1]
    atoms.calc = PredictorCalculator(linear, dtype="float32")
    forces = atoms.get_forces()
    atoms.positions[0] += 3000 * atoms.cell[0]
    atoms.positions[1] -= 5000 * atoms.cell[1]
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_model_of_large_weights_is_computed_as_it_was_trained(linear, dtype):
    """A perfect crystal has no forces that could tell: its atoms are displaced."""
    large = replace(linear, model=linear.model.combined(1e6 * torch.eye(1).double()))
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.calc = PredictorCalculator(large, dtype=dtype)
    with pytest.warns(DataWarning, match="computed at 1e-08 in float64; more regularization"):
        atoms.get_forces()
    atoms.rattle(0.1, seed=3)
    expected = large.predict(atoms, forces=True).forces
    np.testing.assert_array_equal(atoms.get_forces(), expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dtype": "float16"}, "use 'float64' or 'float32'"),
        ({"tolerance": 1e-7, "dtype": "float32"}, "which resolves 1e-05"),
        ({"tolerance": 0.5}, "tolerance"),
    ],
)
def test_what_a_calculator_cannot_compute_with(linear, given, message):
    with pytest.raises(ValueError, match=message):
        PredictorCalculator(linear, **given)


def test_a_moved_atom_is_computed_again(predictor):
    atoms = crystals(1)[0]
    atoms.calc = PredictorCalculator(predictor, with_std=True)
    before = atoms.get_potential_energy()
    assert atoms.calc.results["energy_std"] > 0
    atoms.positions[0, 0] += 0.2
    assert atoms.get_potential_energy() != before


@pytest.mark.parametrize("tolerance", [1e-4, None])
def test_what_moving_atoms_do_wrong_is_said_as_at_the_first_step(predictor, tolerance):
    atoms = crystals(1)[0]
    atoms.calc = PredictorCalculator(predictor, tolerance=tolerance)
    atoms.get_forces()
    first = atoms.positions[0].copy()
    atoms.positions[0] = atoms.positions[1]
    with pytest.raises(DataError, match="same place"):
        atoms.get_forces()
    atoms.positions[0] = first
    atoms.get_forces()
    atoms.positions[0, 1] = np.nan
    with pytest.raises(DataError, match="finite"):
        atoms.get_forces()


def test_a_molecule_has_no_stress(predictor):
    atoms = Atoms("NaCl", [[0, 0, 0], [0, 0, 2.4]])
    atoms.calc = PredictorCalculator(predictor)
    assert atoms.get_forces().shape == (2, 3)
    with pytest.raises(PropertyNotImplementedError, match="no stress"):
        atoms.get_stress()


def test_only_energies_make_a_calculator():
    predictor = trained(Ridge(regularization=1e-3, term_weights=(1.0,)), reduce="mean")
    with pytest.raises(ValueError, match="'energy' is no energy"):
        PredictorCalculator(predictor)


@pytest.mark.parametrize("pbc", [(True, True, False), (False, False, True)])
def test_slabs_and_wires_have_energies_and_forces(predictor, pbc):
    """As ASE writes them, with lattice vectors of zero where there is no period."""
    from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

    atoms = crystals(2)[1] * (1, 1, 2)
    atoms.pbc = pbc
    atoms.calc = PredictorCalculator(predictor, tolerance=None)
    given = atoms.get_potential_energy()
    numeric = calculate_numerical_stress(atoms, eps=1e-4, voigt=False)
    periods = atoms.cell[atoms.pbc]
    along = np.linalg.pinv(periods) @ periods  # strains along the periods only
    stress = atoms.get_stress(voigt=False)
    np.testing.assert_allclose(stress, along @ numeric @ along, rtol=1e-5, atol=1e-9)
    assert np.linalg.matrix_rank(stress, tol=1e-9) <= sum(pbc)
    atoms.cell[~atoms.pbc] = 0
    assert atoms.get_potential_energy() == pytest.approx(given, rel=1e-12)
    forces = calculate_numerical_forces(atoms, eps=1e-4)
    np.testing.assert_allclose(atoms.get_forces(), forces, rtol=1e-5, atol=1e-7)
    with pytest.raises(PropertyNotImplementedError, match="or volume has no stress"):
        atoms.get_stress()


@pytest.mark.parametrize("unit", ["Hartree", "kcal/mol", "kJ/mol", "Ry", "meV"])
def test_energies_forces_and_stresses_are_converted_to_the_units_of_ase(predictor, unit):
    """Case 7: a model in Hartree made forces 27 times too small."""
    size = energy_in_ev(unit)
    other = replace(predictor, target=replace(predictor.target, unit=unit))
    numbers = []
    for model in (predictor, other):
        atoms = crystals(1)[0]
        atoms.calc = PredictorCalculator(model, tolerance=None)
        numbers.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()))
    for ours, theirs in zip(*numbers, strict=True):
        np.testing.assert_allclose(theirs, size * np.array(ours), rtol=1e-12)


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("eV/atom", "the unit 'eV/atom' is not known"),
        ("Debye", "'Debye' is no unit for what is in 'eV'"),
        ("", "does not name the unit of 'e0'"),
    ],
)
def test_units_that_nobody_can_vouch_for_are_refused(predictor, unit, message):
    other = replace(predictor, target=replace(predictor.target, key="e0", unit=unit))
    with pytest.raises(UnitError, match=message):
        PredictorCalculator(other)


def test_the_unit_may_be_named_where_the_model_does_not(predictor):
    bare = replace(predictor, target=replace(predictor.target, key="e0", unit=""))
    energies = []
    for unit in ("eV", "Ry"):
        atoms = crystals(1)[0]
        atoms.calc = PredictorCalculator(bare, unit=unit, tolerance=None)
        energies.append(atoms.get_potential_energy())
    assert energies[1] == pytest.approx(energy_in_ev("Ry") * energies[0], rel=1e-12)
    with pytest.raises(UnitError, match="in eV, but unit is 'Ry'; leave it out"):
        PredictorCalculator(predictor, unit="Ry")


def test_energies_of_atoms_add_up(linear, predictor):
    atoms = crystals(3)[1] * (1, 1, 2)
    atoms.rattle(0.1, seed=1)
    for given in ({}, {"tolerance": None}, {"dtype": "float32"}):
        atoms.calc = PredictorCalculator(linear, **given)
        energies = atoms.get_potential_energies()
        assert energies.sum() == pytest.approx(atoms.get_potential_energy(), rel=1e-4)
    assert np.ptp(energies[atoms.numbers == 11]) > 1e-4
    shares = linear.target.unit, replace(linear, target=replace(linear.target, unit="Ry"))
    atoms.calc = PredictorCalculator(shares[1], dtype="float32")
    np.testing.assert_allclose(
        atoms.get_potential_energies(), energy_in_ev("Ry") * energies, rtol=1e-3, atol=1e-6
    )
    atoms.calc = PredictorCalculator(trained(Ridge(regularization=1e-6, intercept=True)))
    with pytest.raises(PropertyNotImplementedError, match="no sum over atoms"):
        atoms.get_potential_energies()


def test_members_of_a_committee(linear):
    """Their energies and forces belong together, and their spread is the error bar."""

    atoms = crystals(3)[1]
    both = [
        PredictorCalculator(trained(committee_of_four()), tolerance=None, **given)
        for given in ({"with_members": True}, {"with_std": True})
    ]
    for calculator in both:
        atoms.calc = calculator
        atoms.get_forces()
    members, bars = (calculator.results for calculator in both)
    assert members["energy_members"].shape == (4,)
    assert members["energy_members"].mean() == pytest.approx(members["energy"], rel=1e-10)
    for name in ("energy_std", "forces_std"):
        np.testing.assert_allclose(members[name], bars[name], rtol=1e-8)
    np.testing.assert_allclose(
        members["forces_members"].std(axis=0, ddof=1), bars["forces_std"], rtol=1e-8
    )
    step = 1e-3
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 1] += sign * step
        moved.calc = both[0]
        moved.get_potential_energy()
        energies.append(moved.calc.results["energy_members"])
    slopes = (energies[1] - energies[0]) / (2 * step)
    np.testing.assert_allclose(members["forces_members"][:, 0, 1], slopes, rtol=1e-4, atol=1e-6)
    atoms.calc = PredictorCalculator(linear, with_members=True)
    with pytest.raises(UserError, match="'energy' has no members; train a committee"):
        atoms.get_potential_energy()
