"""Units that files name beside their values, such as `energy_unit=kcal/mol`."""

from collections.abc import Iterator

from multilode.data.dataset import DataError, Dataset
from multilode.data.properties import is_virial, known_property
from multilode.data.units import UnitError, parsed

_ENDINGS = ("unit", "units")
_SHORT = {
    "free_energy": "energy",
    "force": "forces",
    "virials": "virial",
    "dipole_moment": "dipole",
}
_MORE = {"forces": ("force",), "dipole": ("dipole_moment",), "virial": ("virials", "energy")}


def unit_of_forces(energy: str) -> str:
    """The unit of forces beside energies in a unit; empty if that is."""
    return energy and f"{energy}/Å"


def unit_of_stress(key: str, energy: str) -> str:
    """The unit of stresses beside energies in a unit, and of virials, which are energies."""
    return energy if is_virial(key) else energy and f"{energy}/Å^3"


def stated_unit(dataset: Dataset, key: str) -> str | None:
    """The unit of a property by the first word of its files; None if they name none that is known.

    Args:
        dataset: structures with their properties.
        key: of the property.
    """
    for name in _names(dataset, key):
        for text in dataset.columns[name]:
            if isinstance(text, str) and name.lower() not in _ENDINGS and _is_known(text):
                return text
    return None


def _is_known(text: str) -> bool:
    try:
        parsed(text)
    except UnitError:
        return False
    return True


def check_stated_unit(dataset: Dataset, key: str, unit: str, *, setting: str) -> None:
    """Refuse a property whose files name another unit than it is taken to be in.

    Units stand under `KEY_unit`, the usual name of the property (`energy_units`), or `unit` alone
    where that is one of the same kind, in any case.

    Args:
        dataset: structures with their properties.
        key: of the property.
        unit: that its numbers are taken for; nothing is checked if it is empty.
        setting: that says so, for the message.

    Raises:
        DataError: if it is another one, or not known.
    """
    for name in _names(dataset, key) if unit else ():
        stated = {value for value in dataset.columns[name] if isinstance(value, str)}
        for text in sorted(stated):
            problem = _contradiction(text, unit, alone=name.lower() in _ENDINGS)
            if problem is not None:
                frame = dataset.columns[name].index(text)
                raise DataError(
                    f"the unit of '{key}' is {text[:40]!r} by the key '{name[:40]}', {problem}",
                    remedy=f"set {setting} to the unit of the numbers, or remove '{name[:40]}'",
                    file=dataset.source[frame].file,
                    frame=dataset.source[frame].frame,
                    key=key,
                )


def _names(dataset: Dataset, key: str) -> Iterator[str]:
    """The keys of a data set under which the unit of a property may stand."""
    found = known_property(key)
    usual = "" if found is None else _SHORT.get(found[0], found[0])
    own = {key.lower(), usual, *_MORE.get(usual, ())} - {""}
    wanted = {f"{name}_{ending}" for name in own for ending in _ENDINGS} | set(_ENDINGS)
    return (name for name in dataset.columns if name.lower() in wanted)


def _contradiction(text: str, unit: str, *, alone: bool) -> str | None:
    """What is wrong with a unit that is named; a word that stands alone may be that of others."""
    try:
        stated = parsed(text)
    except UnitError:
        return None if alone else "which is not known"
    try:
        meant = parsed(unit)
    except UnitError:  # a word of the user's own, which labels the numbers
        return None
    if stated.kind != meant.kind:
        return None if alone else f"which is no unit for what is taken to be in {unit}"
    return None if stated.equals(meant) else f"not {unit}"
