"""Dipoles and polarizabilities in ASE, in its units."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms, units

from multilode.data.units import UnitError
from multilode.engines.calculator import PredictorCalculator
from multilode.engines.tensor_calculator import TensorCalculator
from multilode.models import Ridge
from multilode.models.targets import Target
from multilode.prediction.training import train
from multilode.representation.representation import Representation
from multilode.symmetry.cartesian import tensor_kind
from toy_tensors import FIELDS, molecules, targets


def trained(kind, unit):
    structures = molecules(30)
    species = (1, 6, 8)
    recipe = Representation(
        fields=FIELDS,
        products=(("rho", "V"),),
        species=species,
        centers=species,
        irreps=irreps(kind),
    )
    return train(
        recipe,
        structures,
        Target(key="mu", unit=unit, tensor=kind),
        y=targets(structures, kind),
        estimator=Ridge(regularization=1e-3, term_weights=(1.0,)),
    )


def irreps(kind):
    return tensor_kind(kind).irreps


@pytest.fixture(scope="module")
def dipole():
    return trained("vector", "D")


@pytest.fixture(scope="module")
def polarizability():
    return trained("symmetric", "bohr^3")


def molecule():
    one = molecules(2, seed=5)[1]
    return Atoms(one.species.numpy(), one.positions.numpy())


def test_dipoles_in_the_unit_of_ase(dipole):
    atoms = molecule()
    atoms.calc = TensorCalculator(dipole)
    expected = dipole.predict(atoms).values[0].numpy() * units.Debye
    np.testing.assert_allclose(atoms.get_dipole_moment(), expected, rtol=1e-12)
    assert np.abs(expected).min() > 1e-3
    atoms.positions[0] += 0.1
    assert np.abs(atoms.get_dipole_moment() - expected).max() > 1e-4


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        ("bohr^3", units.Bohr**2 / units.Hartree),
        ("Å^3", 1 / 14.399645),
        ("e^2 bohr^2/Hartree", units.Bohr**2 / units.Hartree),
        ("e^2 Å^2/eV", 1.0),
    ],
)
def test_polarizabilities_in_the_unit_of_ase(polarizability, unit, size):
    atoms = molecule()
    model = replace(polarizability, target=replace(polarizability.target, unit=unit))
    calculator = TensorCalculator(model)
    found = calculator.get_property("polarizability", atoms)
    assert found.shape == (3, 3)
    np.testing.assert_allclose(found, size * model.predict(atoms).values[0].numpy(), rtol=1e-6)


def test_what_is_no_such_tensor(dipole, polarizability):
    with pytest.raises(ValueError, match=r"'mu' is no energy.*TensorCalculator"):
        PredictorCalculator(dipole)
    for change in ({"tensor": "matrix"}, {"reduce": "mean"}):
        other = replace(dipole, target=replace(dipole.target, **change))
        with pytest.raises(ValueError, match="'mu' is neither a dipole nor a polarizability"):
            TensorCalculator(other)
    bare = replace(dipole, target=replace(dipole.target, unit=""))
    with pytest.raises(UnitError, match="does not name the unit of 'mu'"):
        TensorCalculator(bare)
    np.testing.assert_allclose(
        TensorCalculator(bare, unit="D").get_property("dipole", molecule()),
        TensorCalculator(dipole).get_property("dipole", molecule()),
    )
    with pytest.raises(UnitError, match="no unit for what is in"):
        TensorCalculator(replace(dipole, target=replace(dipole.target, unit="eV")))
