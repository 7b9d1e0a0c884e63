"""Numbers in other units are told by their size, with the unit that would fit."""

import numpy as np
import pytest
import torch
from ase import units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from multilode.config.codec_errors import CodecError
from multilode.config.config import config_from_dict
from multilode.config.errors import ConfigError
from multilode.config.settings import ForceSettings, StressSettings
from multilode.data.ase_atoms import from_ase
from multilode.models.targets import Target
from multilode.prediction.comparison import Errors
from multilode.prediction.evaluated import Evaluated
from multilode.prediction.predictor import Prediction
from multilode.prediction.reference_values import target_values
from multilode.workflow.derivatives import derivatives_of
from multilode.workflow.doubts_of_units import (
    doubts_of_comparison,
    doubts_of_derivatives,
    doubts_of_lengths,
    doubts_of_two_sets,
    force_units_that_fit,
)
from multilode.workflow.sets import Sets

BOHR = units.Hartree / units.Bohr
FORCES = {
    "eV/Å": 1.0,
    "Hartree/bohr": BOHR,
    "Hartree/Å": units.Hartree,
    "Ry/bohr": BOHR / 2,
    "kcal/mol/Å": units.kcal / units.mol,
    "kJ/mol/nm": units.kJ / units.mol / units.nm,
}


def copper(n=12, *, size=1.0, pressed=1.0, energy=1.0, strain=0.02):
    """Strained copper with EMT's energy in units of `energy`, forces of `size` and so on."""
    rng = np.random.default_rng(3)
    images = []
    for _ in range(n):
        image = bulk("Cu", cubic=True)
        image.set_cell(image.cell.array @ (np.eye(3) + strain * _even(rng)), scale_atoms=True)
        image.rattle(0.05, rng=rng)
        image.calc = EMT()
        found = {
            "energy": image.get_potential_energy() / energy,
            "forces": image.get_forces() / size,
            "stress": image.get_stress() / pressed,
        }
        image.calc = SinglePointCalculator(image, **found)
        images.append(image)
    return from_ase(images)


def _even(rng):
    found = rng.normal(size=(3, 3))
    return (found + found.T) / 2


def config(**target):
    target = {"key": "energy", "unit": "eV", **target}
    return config_from_dict({"data": "x.xyz", "target": target, "estimator": {"kind": "ridge"}})


def said(config, dataset):
    y = target_values(dataset, "energy").numpy()
    return {doubt.kind: doubt.text for doubt in doubts_of_derivatives(config, dataset, y)}


@pytest.mark.parametrize("unit", FORCES)
def test_the_unit_of_forces_is_named(unit):
    dataset = copper(size=FORCES[unit], strain=0.0)
    found = said(config(forces="forces"), dataset)
    energies = dataset.column("energy")
    if unit == "eV/Å":
        assert force_units_that_fit(dataset, "forces", energies, "eV") == ()
        assert found == {}
    else:
        assert unit in force_units_that_fit(dataset, "forces", energies, "eV")[:2]
        assert f"target.forces.unit: {unit}" in found["unit of forces"]
        assert said(config(forces={"key": "forces", "unit": unit}), dataset) == {}


def test_forces_in_hartree_per_bohr_beside_energies_in_hartree():
    """A factor of 1.89, which was passed over."""
    dataset = copper(size=BOHR, energy=units.Hartree, strain=0.0)
    found = said(config(unit="Hartree", forces="forces"), dataset)
    assert "target.forces.unit: Hartree/bohr" in found["unit of forces"]


def test_energies_in_another_unit_than_they_say():
    dataset = copper(energy=units.kcal / units.mol, strain=0.0)
    assert "energies in kcal/mol" in said(config(forces="forces"), dataset)["unit of forces"]


@pytest.mark.parametrize(
    ("unit", "size"), [("GPa", units.GPa), ("kbar", units.GPa / 10), ("Hartree/bohr^3", 183.6315)]
)
@pytest.mark.parametrize("forces", [None, "forces"])
def test_the_unit_of_stress_is_named(unit, size, forces):
    """With forces, and without them where atoms move with their cell only."""
    dataset = copper(pressed=size) if forces else _scaled(size)
    found = said(config(stress="stress", forces=forces), dataset)
    assert f"target.stress.unit: {unit}" in found["unit of stress"]
    assert said(config(stress={"key": "stress", "unit": unit}, forces=forces), dataset) == {}


def _scaled(size):
    images = []
    for k in range(10):
        image = bulk("Cu", a=3.5 + 0.02 * k)
        image.calc = EMT()
        found = {"energy": image.get_potential_energy(), "stress": image.get_stress() / size}
        image.calc = SinglePointCalculator(image, **found)
        images.append(image)
    return from_ase(images)


def test_the_sign_of_stress():
    assert "sign of stress" in said(config(stress="stress"), _scaled(-1.0))
    assert said(config(stress="stress"), _scaled(1.0)) == {}


def test_stresses_that_no_matter_holds():
    """Nothing is near enough to compare; the numbers are those of GPa."""
    images = [bulk(*kind) for kind in (("Cu", "fcc", 3.6), ("Ni", "fcc", 3.5), ("Al", "fcc", 4.0))]
    for k, image in enumerate(images):
        image.calc = SinglePointCalculator(image, energy=-1.0 * k, stress=np.full(6, 4.0 + k))
    found = said(config(stress="stress"), from_ase(images))
    assert "GPa" in found["unit of stress"]


def test_forces_and_stresses_are_converted():
    dataset = copper(size=BOHR, pressed=units.GPa)
    plain = copper()
    asked = config(
        forces={"key": "forces", "unit": "Hartree/bohr"}, stress={"key": "stress", "unit": "GPa"}
    )
    for found, wanted in zip(
        derivatives_of(asked, Sets(train=dataset, test=None))["train"],
        derivatives_of(config(forces="forces", stress="stress"), Sets(train=plain, test=None))[
            "train"
        ],
        strict=True,
    ):
        torch.testing.assert_close(found.values, wanted.values, rtol=1e-12, atol=1e-12)
    assert asked.forces.factor("eV") == pytest.approx(51.4220675, rel=1e-7)


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ({"forces": {"key": "f", "unit": "GPa"}}, "target.forces.unit"),
        ({"forces": {"key": "f", "unit": "eV/parsec"}}, "target.forces.unit"),
        ({"stress": {"key": "s", "unit": "eV/Å"}}, "target.stress.unit"),
        ({"key": "E", "unit": None, "forces": {"unit": "eV/Å"}}, "target.unit"),
    ],
)
def test_units_that_do_not_fit_are_refused(target, word):
    with pytest.raises((ConfigError, CodecError), match=word):
        config(**target)


def test_settings_alone():
    assert ForceSettings().factor("") == StressSettings().factor("anything") == 1.0


@pytest.mark.parametrize(
    ("size", "unit"), [(1.0, None), (1 / units.Bohr, "bohr"), (0.1, "nm"), (1.1, None)]
)
def test_positions_in_another_unit(size, unit):
    images = [molecule(name) for name in ("H2O", "CH4", "CH3OH", "C6H6", "NH3")]
    for image in images:
        image.positions *= size
    found = [doubt.text for doubt in doubts_of_lengths(from_ase(images))]
    assert len(found) == (unit is not None)
    assert unit is None or f"positions were in {unit}" in found[0]


def test_atoms_that_do_not_bind_tell_no_unit():
    argon = [bulk("Ar", a=5.3 + 0.01 * k, cubic=True) for k in range(4)]
    assert list(doubts_of_lengths(from_ase(argon))) == []


def _molecules(names, size):
    weights = {1: -13.6, 6: -1030.0, 7: -1480.0, 8: -2040.0}
    images = [molecule(name) for name in names]
    for image in images:
        energy = sum(weights[z] for z in image.numbers) - 0.3 * len(image)
        image.info["energy"] = energy * (1 + 1e-4 * len(image)) / size
    dataset = from_ase(images)
    return dataset, target_values(dataset, "energy").numpy()


@pytest.mark.parametrize(
    ("size", "unit"), [(1.0, None), (units.Hartree, "Hartree"), (1 / 4.184, None), (2.0, None)]
)
def test_a_test_set_in_another_unit(size, unit):
    target = Target(key="energy", unit="eV")
    train = _molecules(("H2O", "CH4", "CH3OH", "C6H6", "NH3", "CO2", "HCN"), 1.0)
    test = _molecules(("C2H4", "C2H2", "N2H4", "H2CO"), size)
    found = [doubt.text for doubt in doubts_of_two_sets(target, train, test)]
    assert len(found) == (unit is not None)
    assert unit is None or f"{unit} in the test set would fit" in found[0]


def test_a_test_set_whose_ratio_is_small():
    """4.18 between kcal/mol and kJ/mol is told by the compositions alone."""
    target = Target(key="energy", unit="kcal/mol")
    train = _molecules(("H2O", "CH4", "CH3OH", "C6H6", "NH3", "CO2", "HCN"), 1.0)
    test = _molecules(("C2H4", "C2H2", "N2H4", "H2CO"), 1 / 4.184)
    (found,) = doubts_of_two_sets(target, train, test)
    assert "kJ/mol in the test set would fit" in found.text


@pytest.mark.parametrize(
    ("factor", "text"),
    [(1.0, None), (27.2114, None), (BOHR**-1, "--forces-unit Hartree/bohr"), (-1.0, "sign")],
)
def test_references_against_predictions(factor, text):
    """Energies of one factor have none that a unit would explain: 27.2 is 1/27.2 in Hartree."""
    dataset = copper(strain=0.0)
    forces = torch.from_numpy(dataset.atom_column("forces"))
    energies = torch.from_numpy(dataset.column("energy"))
    part = Evaluated(
        dataset=dataset,
        target=Target(key="energy", unit="eV"),
        reference=energies[:, None],
        predicted=Prediction(values=energies, forces=forces),
        errors=Errors(model="m", split="s", unit="eV", rows=()),
        forces=factor * forces,
    )
    found = [doubt.text for doubt in doubts_of_comparison(part, "these")]
    assert len(found) == (factor != 1)
    assert text is None or text in found[0]
