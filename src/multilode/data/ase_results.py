"""Results of the calculators of ASE's objects, as far as they belong to the structures at hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from multilode.data.properties import known_property, of_atoms

_SMALL_TENSORS = (1, 3, 6, 9)  # numbers of a vector or tensor, which may be numbers of atoms too


def results_of(image: Atoms) -> tuple[dict[str, Any], str]:
    """Results that a calculator has for these atoms, and a remark if it has those of others.

    Args:
        image: whose calculator may be shared with others, or have run before the atoms moved.
    """
    found = getattr(image.calc, "results", None)
    if not isinstance(found, Mapping):
        return {}, ""
    results = {key: value for key, value in found.items() if value is not None}
    if not results:
        return {}, ""
    changed = _changed(image.calc, image, list(results))
    if changed is None:
        return results, ""
    return {}, (
        f"the results of its calculator ({', '.join(sorted(results)[:4])}) are those of another "
        f"structure ({changed}) and are not taken; calculate again, with one calculator for each"
    )


def divided(
    results: Sequence[Mapping[str, Any]], counts: Sequence[int]
) -> tuple[list[dict[str, Any]], list[dict[str, np.ndarray]]]:
    """Results of structures, and of atoms.

    Known properties are what they are. Others belong to the atoms if they have a row for each atom
    in all structures; where three atoms have three numbers in all of them, they are given as both.

    Args:
        results: of each structure.
        counts: numbers of atoms.
    """
    keys = dict.fromkeys(key for found in results for key in found)
    columns: list[dict[str, Any]] = [{} for _ in results]
    arrays: list[dict[str, np.ndarray]] = [{} for _ in results]
    for key in keys:
        rows = [k for k, found in enumerate(results) if key in found]
        belongs = _belongs([results[k][key] for k in rows], [counts[k] for k in rows], key)
        for k in rows:
            value = results[k][key]
            array = of_atoms(key, value, counts[k])
            if array is None and "atom" in belongs:
                array = np.asarray(value)
            if array is not None and "atom" in belongs:
                arrays[k][key] = array
            if array is None or "structure" in belongs:
                columns[k][key] = value
    return columns, arrays


def _belongs(values: Sequence[Any], counts: Sequence[int], key: str) -> tuple[str, ...]:
    """Whether values are those of structures, of atoms, or may be both."""
    shapes = [_shape(value) for value in values]
    matching = all(s and s[0] == n for s, n in zip(shapes, counts, strict=True))
    known = known_property(key)
    if known is not None and (known[0] == key.lower() or not matching):
        return (known[1].owner,) if known[1].owner == "structure" or matching else ("structure",)
    if not matching:
        return ("structure",)
    if len(set(counts)) > 1 or counts[0] not in _SMALL_TENSORS:
        return ("atom",)
    return ("structure", "atom") if known is None else (known[1].owner,)


def _shape(value: Any) -> tuple[int, ...]:
    try:
        return np.shape(value)
    except ValueError:  # a ragged list
        return ()


def _changed(calculator: Any, image: Atoms, keys: list[str]) -> str | None:
    """What differs between the atoms and those that a calculator has run for; None if nothing."""
    try:
        if hasattr(calculator, "check_state"):
            changes = calculator.check_state(image)
            return ", ".join(map(str, changes)) if changes else None
        if hasattr(calculator, "calculation_required"):
            required = calculator.calculation_required(image, keys)
            return "a calculation is required" if required else None
    except Exception as error:  # a stranger's calculator, which cannot tell
        return f"{type(error).__name__}: {error}"
    return None
