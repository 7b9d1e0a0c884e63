"""Units are values: what their names are in eV and Å, and which names are none."""

import pytest
from ase import units

from multilode.data.units import UnitError, energy_in_ev, factor, parsed

ENERGIES = {
    "eV": 1,
    "EV": 1,
    "meV": 1e-3,
    "Hartree": units.Hartree,
    "hartree": units.Hartree,
    "Ha": units.Hartree,
    "Eh": units.Hartree,
    "Ry": units.Rydberg,
    "kcal/mol": units.kcal / units.mol,
    "kcal mol^-1": units.kcal / units.mol,
    "kcal mol⁻¹": units.kcal / units.mol,
    "KJ/Mol": units.kJ / units.mol,
    "kJ / mol": units.kJ / units.mol,
    "cm^-1": units.invcm,
}


@pytest.mark.parametrize("name", ENERGIES)
def test_energies_in_ev(name):
    assert energy_in_ev(name) == pytest.approx(ENERGIES[name], rel=1e-14)


@pytest.mark.parametrize(
    ("given", "wanted", "expected"),
    [
        ("Hartree/bohr", "eV/Å", units.Hartree / units.Bohr),
        ("Ha/a0", "eV/Angstrom", units.Hartree / units.Bohr),
        ("kcal/mol/Å", "eV/Å", units.kcal / units.mol),
        ("kcal/mol/\u212b", "eV/A", units.kcal / units.mol),
        ("GPa", "eV/Å^3", units.GPa),
        ("kbar", "eV/Å³", 0.1 * units.GPa),
        ("Debye", "e*Å", units.Debye),
        ("e bohr", "e Å", units.Bohr),
        ("bohr^3", "Å^3", units.Bohr**3),
        ("eV/Å", "Hartree/bohr", units.Bohr / units.Hartree),
    ],
)
def test_factors_between_units(given, wanted, expected):
    assert factor(given, wanted) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["", "au", "kcal", "kJ", "MeV", "eV/atom", "eV^x", "D/Å$", "ev2"])
def test_what_is_no_unit_of_energy_is_refused(name):
    with pytest.raises(UnitError, match="unit"):
        energy_in_ev(name)


def test_other_kinds_are_refused():
    with pytest.raises(UnitError, match="'Debye' is no unit for what is in 'eV'"):
        factor("Debye", "eV")
    assert parsed("1").kind == (0, 0, 0)
