"""Frames of extended XYZ as text, from which every value is read back with all its digits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from multilode.data.dataset import Dataset
from multilode.data.left_out import warn_left_out
from multilode.data.properties import is_voigt, of_atoms, of_structure
from multilode.data.xyz_frame import is_ordinary_column
from multilode.data.xyz_header import KEPT, is_ordinary
from multilode.data.xyz_scan import COMPRESSED
from multilode.data.xyz_values import as_json, is_plain_key, shown, written
from multilode.structures.elements import chemical_symbol

_KINDS = {"b": "L", "i": "I", "u": "I", "f": "R", "U": "S"}


def write_xyz(path: Path, dataset: Dataset) -> None:
    """Write extended XYZ.

    Args:
        path: a name that ends in `.gz`, `.bz2` or `.xz` is compressed.
        dataset: the structures with their values.

    Warns:
        DataWarning: of values that have no text, which are left out.
    """
    opener = COMPRESSED.get(path.suffix.lower(), open)
    left_out: set[str] = set()
    with opener(path, "wt", encoding="utf-8", newline="\n") as file:
        for single in dataset:
            file.write(_text(single, left_out))
    warn_left_out(left_out, "extended XYZ")


def _text(single: Dataset, left_out: set[str]) -> str:
    """The frame of a data set with one structure."""
    structure = single.structures
    cell = structure.cell[0].detach().cpu().numpy()
    symbols = np.array([chemical_symbol(z) for z in structure.species.tolist()])
    columns: dict[str, np.ndarray] = {
        "species": symbols,
        "pos": structure.positions.detach().cpu().numpy().astype(np.float64),
    }
    kept: dict[str, dict[str, Any]] = {"values": {}, "arrays": {}, "shapes": {}}
    for key, (array,) in single.atom_columns.items():
        if array is not None:
            _add_array(key, np.asarray(array), columns, kept, left_out)
    named = ":".join(_declaration(key, array) for key, array in columns.items())
    values = {key: value for key, (value,) in single.columns.items() if value is not None}
    words = [f'Lattice="{" ".join(map(repr, cell.ravel().tolist()))}"'] if cell.any() else []
    words += [f"Properties={named}"]
    words += _words(values, len(symbols), kept, left_out)
    kept = {name: found for name, found in kept.items() if found}
    words += [f"{KEPT}={written(kept)}"] if kept else []
    flags = " ".join("T" if flag else "F" for flag in structure.pbc[0].tolist())
    return "\n".join([str(len(symbols)), f'{" ".join(words)} pbc="{flags}"', *_rows(columns), ""])


def _words(
    values: Mapping[str, Any], n_atoms: int, kept: dict[str, dict[str, Any]], left_out: set[str]
) -> list[str]:
    """`key=value` for what every reader understands; the rest goes to what is kept for ours."""
    words = []
    for key, given in values.items():
        value = of_structure(key, given)
        if is_voigt(key) and isinstance(value, np.ndarray) and value.shape == (3, 3):
            value = value.ravel(order="F")
        try:
            text = written(value)
        except TypeError:
            left_out.add(key)
            continue
        plain = is_plain_key(key) and is_ordinary(key, text.strip('"'))
        if plain and of_atoms(key, value, n_atoms) is None:
            words.append(f"{key}={text}")
        else:
            kept["values"][key] = given
    return words


def _add_array(
    key: str,
    array: np.ndarray,
    columns: dict[str, np.ndarray],
    kept: dict[str, dict[str, Any]],
    left_out: set[str],
) -> None:
    """A column, with its shape where columns lose it; or an array that is kept beside them."""
    if array.dtype.kind == "O" and all(isinstance(x, str) for x in array.ravel()):
        array = array.astype(str)
    numeric = array.dtype.kind in _KINDS and array.size > 0
    if numeric and is_ordinary_column(key) and all(map(_is_word, _texts(array))):
        flat = array.reshape(len(array), -1)
        columns[key] = flat[:, 0] if flat.shape[1] == 1 else flat
        if columns[key].shape != array.shape:
            kept["shapes"][key] = list(array.shape[1:])
        return
    try:
        as_json(array)
    except TypeError:
        left_out.add(key)
    else:
        kept["arrays"][key] = array


def _texts(array: np.ndarray) -> list[str]:
    return array.ravel().tolist() if array.dtype.kind == "U" else []


def _is_word(text: str) -> bool:
    return text.split() == [text] and text.isprintable()


def _declaration(key: str, array: np.ndarray) -> str:
    count = 1 if array.ndim == 1 else array.shape[1]
    return f"{key}:{_KINDS[array.dtype.kind]}:{count}"


def _rows(columns: Mapping[str, np.ndarray]) -> list[str]:
    """Lines of one width, by which a reader sees that the last one is complete."""
    texts = []
    for array in columns.values():
        flat = array.reshape(len(array), -1)
        for column in flat.T.tolist():
            words = [shown(x) for x in column]
            width = max(map(len, words))
            left = flat.dtype.kind == "U"
            texts.append([w.ljust(width) if left else w.rjust(width) for w in words])
    return [" ".join(row) for row in zip(*texts, strict=True)]
