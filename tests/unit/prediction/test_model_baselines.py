"""Residuals on another model: sums of a calculator, or of columns, and of what they leave."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import SumCalculator
from ase.calculators.morse import MorsePotential

from multilode.config.store import load, read_metadata, save
from multilode.data.ase_atoms import from_ase
from multilode.data.dataset import DataError
from multilode.engines.calculator import PredictorCalculator
from multilode.errors import DataWarning
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import Ridge
from multilode.models.targets import Target
from multilode.prediction import (
    CalculatorBaseline,
    ColumnBaseline,
    evaluate,
    learning_curve,
    train,
)
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.feature_recipe import features

ENERGY = Target(key="total", unit="eV")
RIDGE = Ridge(regularization=1e-6, term_weights=(1.0,))
RECIPE = features(
    "A*B",
    A=FieldExpansion(GaussianDensity(0.6), GaussianTypeOrbitals(2, 3.0), 1, neighbor_cutoff=3.0),
    B=FieldExpansion(SmearedPotential(1.2, 1.0), GaussianTypeOrbitals(2, 3.0), 1),
)


def lennard_jones(sigma=2.2) -> LennardJones:
    return LennardJones(sigma=sigma, epsilon=0.05, rc=5.0, smooth=True)


def crystals(n: int, seed: int = 0) -> list[Atoms]:
    """With energies, forces and stresses of two potentials, and those of one of them beside."""
    rng, images = np.random.default_rng(seed), []
    for _ in range(n):
        species = rng.permutation(["Cu", "Ag", "Ag"])[: rng.integers(2, 4)]
        places = np.array([[0, 0, 0], [2.2, 0.3, 0.1], [0.2, 2.3, 2.1]])[: len(species)]
        atoms = Atoms(species, places + rng.normal(scale=0.1, size=places.shape), pbc=True)
        atoms.cell = np.diag([4.4, 4.6, 4.5]) + rng.normal(scale=0.1, size=(3, 3))
        more = MorsePotential(epsilon=0.3, r0=2.3, rho0=2.0, rcut1=3.5, rcut2=4.5)
        said = {"lj": lennard_jones(), "total": SumCalculator([lennard_jones(), more])}
        for name, calculator in said.items():
            atoms.calc = calculator
            atoms.info[name] = atoms.get_potential_energy()
            atoms.arrays[f"{name}_forces"] = atoms.get_forces()
            atoms.info[f"{name}_stress"] = atoms.get_stress()
        atoms.calc = None
        images.append(atoms)
    return images


IMAGES, NEW = crystals(8), crystals(3, seed=1)
COLUMNS = ColumnBaseline(column="lj", forces="lj_forces", stress="lj_stress")


def trained(baseline=None, data=IMAGES, **more):
    options = {"estimator": RIDGE, "baseline": baseline, "forces": "total_forces", **more}
    return train(RECIPE, data, ENERGY, **options)


@pytest.fixture(scope="module")
def by_hand():
    """Trained on differences."""
    data = from_ase(IMAGES)
    left = {
        "total": data.column("total") - data.column("lj"),
        "total_forces": data.atom_column("total_forces") - data.atom_column("lj_forces"),
    }
    parts = np.split(left["total_forces"], data.structures.counts.cumsum(0)[:-1].numpy())
    return trained(data=data.with_values({"total": list(left["total"])}, {"total_forces": parts}))


@pytest.fixture(scope="module")
def summed():
    return trained(CalculatorBaseline(lennard_jones()))


@pytest.mark.parametrize("baseline", [COLUMNS, CalculatorBaseline(lennard_jones())])
def test_the_sum_is_what_training_on_differences_gives(baseline, by_hand):
    rest = by_hand.predict(NEW, forces=True, stress=True)
    found = trained(baseline).predict(NEW, forces=True, stress=True)
    new = from_ase(NEW)
    stress = torch.from_numpy(np.array([image.info["lj_stress"] for image in NEW]))
    stress = stress[:, [0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(-1, 3, 3)
    expected = {
        "values": rest.values + torch.from_numpy(new.column("lj")),
        "forces": rest.forces + torch.from_numpy(new.atom_column("lj_forces")),
        "stress": rest.stress + stress,
    }
    for name, value in expected.items():
        torch.testing.assert_close(getattr(found, name), value, rtol=1e-12, atol=1e-12)
    added = rest.baseline.values + torch.from_numpy(new.column("lj"))
    torch.testing.assert_close(found.baseline.values, added, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.baseline.stress, stress, rtol=1e-12, atol=1e-12)


def test_learning_curves_are_those_of_differences(by_hand):
    options = {"estimator": RIDGE, "sizes": [4, 8], "repeats": 2}
    given = from_ase(IMAGES), from_ase(NEW)
    found = learning_curve(RECIPE, *given, ENERGY, baseline=COLUMNS, **options)
    left = (d.with_values({"total": list(d.column("total") - d.column("lj"))}) for d in given)
    expected = learning_curve(RECIPE, *left, ENERGY, **options)
    torch.testing.assert_close(found.rmse, expected.rmse, rtol=1e-9, atol=1e-12)
    assert found.test_deviation == pytest.approx(np.std(given[1].column("total")))
    assert by_hand.predict(NEW[0]).values  # what both of them estimate


def test_the_sum_is_one_calculator(summed, tmp_path):
    save(summed, tmp_path / "model.safetensors")
    atoms = NEW[1].copy()
    options = {"baseline": lennard_jones(), "tolerance": None}  # that of the model
    atoms.calc = PredictorCalculator(tmp_path / "model.safetensors", **options)
    expected = summed.predict([NEW[1]], forces=True, stress=True)
    assert atoms.get_potential_energy() == pytest.approx(float(expected.values), abs=1e-12)
    forces = calculate_numerical_forces(atoms, eps=1e-4)
    stress = calculate_numerical_stress(atoms, eps=1e-4)
    np.testing.assert_allclose(atoms.get_forces(), forces, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(atoms.get_stress(), stress, rtol=1e-5, atol=1e-7)


def test_columns_become_a_calculator_with_the_model_that_made_them(summed):
    atoms = NEW[0].copy()
    predictor = trained(COLUMNS)
    with pytest.raises(ValueError, match=r"give the calculator .*column 'lj'"):
        PredictorCalculator(predictor)  # the columns of one geometry are not those of the next
    atoms.calc = PredictorCalculator(predictor, baseline=lennard_jones(), tolerance=None)
    found = atoms.get_potential_energy()
    assert found == pytest.approx(float(summed.predict([NEW[0]]).values), abs=1e-10)


def test_a_layer_has_the_stress_of_the_sum_along_its_periods(summed):
    atoms = NEW[0].copy()
    atoms.pbc = (True, False, True)
    atoms.calc = PredictorCalculator(summed)
    numeric = calculate_numerical_stress(atoms, eps=1e-4, voigt=False)
    periods = atoms.cell[atoms.pbc]
    along = np.linalg.pinv(periods) @ periods
    found = atoms.get_stress(voigt=False)
    np.testing.assert_allclose(found, along @ numeric @ along, rtol=1e-5, atol=1e-7)


def test_nothing_is_predicted_without_the_other_model(summed, tmp_path):
    path = tmp_path / "model.safetensors"
    save(summed, path)
    assert read_metadata(path)["baseline"]["model"]["calculator"].endswith(".LennardJones")
    for refused in (load(path).predict, lambda data: evaluate(load(path), from_ase(data))):
        with pytest.raises(ValueError, match=r"calculator LennardJones leaves of 'total'; give"):
            refused(NEW)
    with pytest.raises(ValueError, match="give the calculator LennardJones"):
        PredictorCalculator(path)
    with pytest.raises(ValueError, match="got a EMT; give a calculator of that class"):
        PredictorCalculator(path, baseline=EMT())
    with pytest.warns(DataWarning, match=r"sigma 2.3 \(trained on 2.2\)"):
        PredictorCalculator(path, baseline=lennard_jones(2.3))
    with pytest.raises(ValueError, match="cannot be differentiated here"):
        summed.values(from_ase(NEW).structures)


def test_missing_columns_are_named(by_hand):
    predictor = trained(COLUMNS)
    bare = [image.copy() for image in NEW]
    del bare[1].info["lj"]
    with pytest.raises(DataError, match=r"frame 1, key 'lj': is missing, and the model predicts"):
        predictor.predict(bare)
    energies = trained(ColumnBaseline(column="lj"), forces=None)
    with pytest.raises(ValueError, match="for whose forces no key was given"):
        energies.predict(NEW, forces=True)
    with pytest.raises(ValueError, match="for whose forces no key was given"):
        trained(ColumnBaseline(column="lj"))
    with pytest.raises(DataError, match="baseline has 6 numbers for each value of 'total'"):
        trained(ColumnBaseline(column="lj_stress"), forces=None)
    with pytest.raises(ValueError, match="has no other model as its baseline"):
        by_hand.with_calculator(lennard_jones())


def test_what_is_no_calculator_of_this_energy_is_refused():
    with pytest.raises(ValueError, match="no calculator of ASE"):
        CalculatorBaseline(3)
    baseline = CalculatorBaseline(lennard_jones())
    with pytest.raises(ValueError, match="'total' is in kcal"):
        train(RECIPE, IMAGES, replace(ENERGY, unit="kcal/mol"), baseline=baseline)
    with pytest.raises(ValueError, match="'total_stress' is none"):
        train(RECIPE, IMAGES, Target(key="total_stress", reduce="mean"), baseline=baseline)

    class Broken(Calculator):
        implemented_properties = ["energy"]  # noqa: RUF012 - as ASE has it

        def calculate(self, *args, **more):
            super().calculate(*args, **more)
            self.results["energy"] = np.nan

    with pytest.raises(DataError, match=r"frame 0: the calculator Broken.* not finite"):
        trained(CalculatorBaseline(Broken()), forces=None)
    with pytest.raises(DataError, match=r"frame 0: the calculator Broken.* failed"):
        trained(CalculatorBaseline(Broken()))
