"""Units as values: what a text such as `kcal/mol/Å` is in eV, Å and elementary charges."""

import math
import re
from dataclasses import dataclass
from typing import final

from ase import units

from multilode.errors import UserError


class UnitError(UserError):
    """A unit that is not known, or of another kind than what is asked for."""


@final
@dataclass(frozen=True)
class Unit:
    """A unit as a product of eV, Å and elementary charges.

    Args:
        factor: its size in eV, Å and e.
        energy: power of the energy in it.
        length: power of the length.
        charge: power of the charge.
    """

    factor: float
    energy: int = 0
    length: int = 0
    charge: int = 0

    @property
    def kind(self) -> tuple[int, int, int]:
        """Powers of energy, length and charge."""
        return self.energy, self.length, self.charge

    def equals(self, other: "Unit") -> bool:
        """Whether it is the same unit, by constants of other years too."""
        return self.kind == other.kind and math.isclose(self.factor, other.factor, rel_tol=_EQUAL)

    def times(self, other: "Unit", power: int) -> "Unit":
        """The product with a power of another unit."""
        powers = (a + power * b for a, b in zip(self.kind, other.kind, strict=True))
        return Unit(self.factor * other.factor**power, *powers)


_EQUAL = 1e-3
_MOL = units.mol
_HARTREE, _BOHR = Unit(units.Hartree, energy=1), Unit(units.Bohr, length=1)
# SI prefixes are told by their case: meV is no MeV
_KNOWN = {
    "eV": Unit(1.0, energy=1),
    "meV": Unit(1e-3, energy=1),
    "keV": Unit(1e3, energy=1),
    "Hartree": _HARTREE,
    "Ha": _HARTREE,
    "Eh": _HARTREE,
    "E_h": _HARTREE,
    "mHa": Unit(1e-3 * units.Hartree, energy=1),
    "Ry": Unit(units.Rydberg, energy=1),
    "Rydberg": Unit(units.Rydberg, energy=1),
    "J": Unit(units.J, energy=1),
    "kcal/mol": Unit(units.kcal / _MOL, energy=1),
    "kJ/mol": Unit(units.kJ / _MOL, energy=1),
    "J/mol": Unit(units.J / _MOL, energy=1),
    "cal/mol": Unit(1e-3 * units.kcal / _MOL, energy=1),
    "cm^-1": Unit(units.invcm, energy=1),
    "K": Unit(units.kB, energy=1),
    "Å": Unit(1.0, length=1),
    "Angstrom": Unit(1.0, length=1),
    "Ang": Unit(1.0, length=1),
    "A": Unit(1.0, length=1),
    "nm": Unit(units.nm, length=1),
    "pm": Unit(1e-2, length=1),
    "bohr": _BOHR,
    "a0": _BOHR,
    "a_0": _BOHR,
    "e": Unit(1.0, charge=1),
    "D": Unit(units.Debye, length=1, charge=1),
    "Debye": Unit(units.Debye, length=1, charge=1),
    "GPa": Unit(units.GPa, energy=1, length=-3),
    "MPa": Unit(1e-3 * units.GPa, energy=1, length=-3),
    "kbar": Unit(0.1 * units.GPa, energy=1, length=-3),
    "Pa": Unit(units.Pascal, energy=1, length=-3),
    "bar": Unit(units.bar, energy=1, length=-3),
}
# names without a prefix, whose case says nothing
_ANY_CASE = {
    name.lower(): unit
    for name, unit in _KNOWN.items()
    if name not in ("meV", "keV", "mHa", "MPa", "Pa", "pm", "K", "A", "D", "J", "e")
}
# what programs write, by kind, the most frequent first: a ratio of numbers may be told by them
_ENERGIES = ("eV", "Hartree", "Ry", "kcal/mol", "kJ/mol", "meV", "J/mol", "cm^-1")
_LENGTHS = ("Å", "bohr", "nm")
_FORCES = (
    "eV/Å",
    "Hartree/bohr",
    "Ry/bohr",
    "kcal/mol/Å",
    "kJ/mol/nm",
    "kJ/mol/Å",
    "Hartree/Å",
    "eV/bohr",
    "meV/Å",
    "kcal/mol/bohr",
)
_STRESSES = ("eV/Å^3", "GPa", "kbar", "Hartree/bohr^3", "Ry/bohr^3", "bar", "MPa", "Pa")
_DIPOLES = ("e*Å", "D", "e*bohr")
_WRITTEN = {
    (1, 0, 0): _ENERGIES,
    (1, -1, 0): _FORCES,
    (1, -3, 0): _STRESSES,
    (0, 1, 1): _DIPOLES,
    (0, 3, 0): ("Å^3", "bohr^3"),
    (0, 1, 0): _LENGTHS,
}
# of properties under the names of ASE, which has one unit for each
ASE_UNITS = {"energy": "eV", "free_energy": "eV"}
_PER_MOLE = ("kcal/mol", "kJ/mol", "J/mol", "cal/mol")
_EV = "eV"
_SPELLINGS = {
    "\u212b": "\u00c5",
    "A\u030a": "\u00c5",
    "⁻¹": "^-1",
    "³": "^3",
    "²": "^2",
    "·": "*",
    " per ": "/",
    "**": "^",
}


def parsed(text: str) -> Unit:
    """The unit that a text names, such as `Hartree/bohr` or `eV/Å^3`.

    Raises:
        UnitError: if a part of it is not known.
    """
    rest = text
    for written, meant in _SPELLINGS.items():
        rest = rest.replace(written, meant)
    # energies of a mole are one word, also as kcal mol^-1 and in any case
    rest = re.sub(r"(?i)\b(k?cal|k?j)\s*(?:/|\*|\s)\s*mol(?:\^?-1)?\b", _one_word, rest.strip())
    found, power, words = Unit(1.0), 1, re.split(r"\s*([*/])\s*|\s+", rest)
    for word in (word for word in words if word):
        if word in "*/":
            power = -1 if word == "/" else 1
            continue
        found, power = found.times(*_power(word, power, text)), 1
    return found


def _one_word(match: re.Match[str]) -> str:
    known = {name.lower(): f"#{k}" for k, name in enumerate(_PER_MOLE)}
    return known[f"{match[1].lower()}/mol"]


def _power(word: str, sign: int, text: str) -> tuple[Unit, int]:
    """One factor of a unit, and its power."""
    if word == "1":
        return Unit(1.0), 1
    if word.startswith("#"):
        return _KNOWN[_PER_MOLE[int(word[1])]], sign
    if word.lower() in ("cm^-1", "cm-1"):
        return _KNOWN["cm^-1"], sign
    name, _, exponent = word.partition("^")
    unit = _KNOWN.get(name) or _ANY_CASE.get(name.lower())
    if unit is None or not re.fullmatch(r"|[-+]?\d", exponent):
        hint = "; did you mean kcal/mol or kJ/mol?" if name.lower() in ("kcal", "kj") else ""
        raise UnitError(f"the unit '{text}' is not known{hint}")
    return unit, sign * int(exponent or 1)


def factor(given: str, wanted: str) -> float:
    """What a number in one unit is multiplied with to be in another.

    Args:
        given: the unit of the number, such as `Hartree/bohr`.
        wanted: a unit of the same kind, such as `eV/Å`.

    Raises:
        UnitError: if one is not known, or they are of different kinds.
    """
    one, other = parsed(given), parsed(wanted)
    if one.kind != other.kind:
        raise UnitError(f"'{given}' is no unit for what is in '{wanted}'")
    return one.factor / other.factor


def likely_units(size: float, wanted: str, within: float = 0.1) -> tuple[str, ...]:
    """The units that programs write whose size is near a ratio that was found in data.

    Args:
        size: of the unknown unit in `wanted`.
        wanted: a unit, such as `eV/Å`.
        within: largest relative difference.

    Returns:
        The nearest first; none if `wanted` itself is near, or is not known.
    """
    try:
        known = parsed(wanted)
    except UnitError:
        return ()
    if size <= 0 or abs(math.log(size)) <= within:
        return ()
    sizes = {name: parsed(name).factor / known.factor for name in _WRITTEN.get(known.kind, ())}
    away = {name: abs(math.log(size / each)) for name, each in sizes.items()}
    return tuple(name for name in sorted(away, key=lambda n: away[n]) if away[name] <= within)


def energy_in_ev(unit: str) -> float:
    """The size in eV of a unit of energy.

    Raises:
        UnitError: if it is not known, or none of energies.
    """
    return factor(unit, _EV)
