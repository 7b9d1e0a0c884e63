"""One frame of an extended XYZ file, from its text."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from multilode.data.dataset import DataError
from multilode.data.frame import Frame, sorted_values
from multilode.data.xyz_header import KEPT, Header, header_of
from multilode.data.xyz_values import flag, is_plain_key, numbers, plain, real_numbers
from multilode.structures.elements import labelled_element

_POSITIONS = ("pos", "positions", "position", "coords", "coordinates", "coordinate")
_SYMBOLS = ("species", "symbols", "symbol", "element", "elements")
_NUMBERS = ("z", "numbers", "atomic_numbers", "atomic_number")
_RENAMED = {"charge": "charges"}  # by ASE's writer
_PLAIN = "species:S:1:pos:R:3"


class _Columns(NamedTuple):
    """Some columns of the lines of atoms."""

    name: str
    kind: str  # S, R, I or L
    count: int


def frame_of(text: str) -> Frame:
    """Read a frame.

    Args:
        text: number of atoms, comment line, one line per atom, and lattice vectors, if any.

    Raises:
        DataError: without a place, if something that decides on the structure cannot be read.
    """
    count, comment, *lines = text.rstrip("\n").split("\n")
    n_atoms = int(count)
    header = header_of(comment)
    rows = [line.split() for line in lines[:n_atoms]]
    declared = _declared(header.properties)
    surplus = _surplus(rows, declared, plain_xyz=header.properties is None)
    arrays, at = {}, 0
    for part in declared:
        arrays[part.name] = _read(part, [row[at : at + part.count] for row in rows])
        at += part.count
    numbers_, remarks = _elements(arrays)
    positions = _positions(arrays, declared) * header.length
    cell, pbc = _with_vectors(header, lines[n_atoms:])
    more, atom_columns = _kept(header.values.pop(KEPT, None), arrays, n_atoms)
    columns, atom_columns = sorted_values(header.values, atom_columns, n_atoms)
    columns |= more
    return Frame(
        positions=positions,
        numbers=numbers_,
        cell=cell,
        pbc=pbc,
        columns=columns,
        atom_columns=atom_columns,
        remarks=(*header.remarks, *surplus, *remarks),
    )


def is_ordinary_column(name: str) -> bool:
    """Whether columns of this name are read back under it, and as nothing but values.

    Args:
        name: of the columns.
    """
    return is_plain_key(name) and _usual_name(name) == name and name not in ("pos", "species", "Z")


def _declared(properties: str | None) -> list[_Columns]:
    """The columns that `Properties` names."""
    parts = (_PLAIN if properties is None else properties).strip().strip(":").split(":")
    advice = "write name, type (S, R, I or L) and number of columns of each property, such as "
    if len(parts) % 3 or not parts[0]:
        raise DataError(
            f"'{(properties or '')[:60]}' is no list of columns", remedy=advice + _PLAIN
        )
    found = []
    for name, kind, count in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if kind.upper() not in ("S", "R", "I", "L") or not re.fullmatch(r"0*[1-9]\d{0,17}", count):
            raise DataError(
                f"Properties declares '{name[:40]}:{kind[:20]}:{count[:20]}'",
                remedy=advice + _PLAIN,
            )
        found.append(_Columns(_usual_name(name), kind.upper(), int(count)))
    names = [part.name for part in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"Properties declares '{twice[0]}' twice", remedy="name each property once")
    return found


def _usual_name(name: str) -> str:
    for usual, others in (("pos", _POSITIONS), ("species", _SYMBOLS), ("Z", _NUMBERS)):
        if name.lower() in others:
            return usual
    return _RENAMED.get(name, name)


def _surplus(
    rows: Sequence[Sequence[str]], declared: Sequence[_Columns], *, plain_xyz: bool
) -> tuple[str, ...]:
    """Check the number of columns; a remark on those of an XYZ file without names for them."""
    expected = sum(part.count for part in declared)
    for atom, row in enumerate(rows):
        if len(row) == expected:
            continue
        if not plain_xyz or len(row) < expected:
            names = ", ".join(f"{part.name[:20]} {part.count}" for part in declared[:12])
            raise DataError(
                f"atom {atom} has {len(row)} columns, Properties declares {expected} ({names})",
                remedy="declare each column, or remove those that are not declared",
            )
    extra = len(rows[0]) - expected if rows else 0
    if not extra:
        return ()
    return (
        f"{extra} columns after x, y, z have no name and are not read; name them with Properties="
        f"{_PLAIN}:...",
    )


def _read(part: _Columns, cells: list[list[str]]) -> np.ndarray:
    """The values of some columns, one row per atom."""
    readers: dict[str, Callable[[Sequence[str]], np.ndarray | None]] = {
        "S": np.array,
        "R": _reals,
        "I": numbers,
        "L": _flags,
    }
    found = readers[part.kind]([text for row in cells for text in row])
    if found is None:
        nouns = {"R": "number", "I": "whole number", "L": "flag (T or F)"}
        atom, text = _first_wrong(cells, readers[part.kind])
        raise DataError(
            f"atom {atom} has '{text[:40]}', which is no {nouns[part.kind]}",
            remedy="correct it in the file or remove the frame",
            key=part.name,
        )
    return found if part.count == 1 else found.reshape(len(cells), part.count)


def _first_wrong(cells: list[list[str]], reader: Callable) -> tuple[int, str]:
    return next((a, t) for a, row in enumerate(cells) for t in row if reader([t]) is None)


def _reals(parts: Sequence[str]) -> np.ndarray | None:
    try:
        return np.array([float(part) for part in parts]) if "_" not in "".join(parts) else None
    except ValueError:
        return real_numbers(parts)


def _flags(parts: Sequence[str]) -> np.ndarray | None:
    words = {"1": True, "0": False, "t": True, "f": False}
    found = [words.get(part, flag(part)) for part in parts]
    return None if None in found else np.array(found, dtype=bool)


def _elements(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Atomic numbers, taken out of the arrays; where numbers are given, labels are only labels."""
    labels = [arrays.pop(name) for name in ("Z", "species") if name in arrays]
    if not labels:
        raise DataError(
            "Properties declares no species", remedy="add species:S:1 with the chemical symbols"
        )
    if any(x.ndim > 1 for x in labels):
        raise DataError("the species have more than one column", remedy="write one symbol each")
    found, remarks = _numbers_of(labels[0], strict=True)
    for x in labels[1:]:
        known, _ = _numbers_of(x, strict=False)
        wrong = np.flatnonzero((known != found) & (known > 0))
        if len(wrong):
            atom = int(wrong[0])
            raise DataError(
                f"atom {atom} is '{x[atom]}' with the atomic number {found[atom]}",
                remedy="correct the species or Z",
            )
    return found, remarks


def _label(value: object) -> str:
    """A label as text; a whole number that was written with a point is one too."""
    text = str(value)
    return text[:-2] if text.endswith(".0") and text[:-2].isdigit() else text


def _numbers_of(labels: np.ndarray, *, strict: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """Atomic numbers of labels, -1 where one is no element and need not be; and remarks."""
    names, where = np.unique(np.array([_label(x) for x in labels]), return_inverse=True)
    found, remarks = [], []
    for k, name in enumerate(names.tolist()):
        try:
            number, remark = labelled_element(name)
        except ValueError as error:
            if strict:
                problem, _, remedy = str(error).partition("; ")
                atom = int(np.flatnonzero(where == k)[0])
                raise DataError(f"atom {atom}: {problem}", remedy=remedy) from None
            number, remark = -1, ""
        found.append(number)
        remarks += [remark] if remark else []
    return np.array(found, dtype=np.int64)[where], tuple(remarks)


def _positions(arrays: dict[str, np.ndarray], declared: Sequence[_Columns]) -> np.ndarray:
    part = next((part for part in declared if part.name == "pos"), None)
    if part is None or part.count != 3 or part.kind not in ("R", "I"):
        raise DataError(
            "Properties declares no positions with three columns of numbers", remedy="add pos:R:3"
        )
    return arrays.pop("pos").astype(np.float64)


def _with_vectors(header: Header, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Cell and periodicity, with lattice vectors that stand after the atoms (`VEC1 ax ay az`)."""
    cell, pbc = header.cell.copy(), header.pbc.copy()
    for line in lines:
        name, *texts = line.split()
        vector = real_numbers(texts)
        if not re.fullmatch(r"VEC[123]", name) or vector is None or len(vector) != 3:
            raise DataError(
                f"'{line.strip()[:40]}' is no lattice vector",
                remedy="write VEC1, VEC2 or VEC3 and three numbers",
            )
        axis = int(name[3]) - 1
        cell[axis], pbc[axis] = header.length * np.asarray(vector), True
    return cell, pbc


def _kept(
    kept: object, arrays: dict[str, np.ndarray], n_atoms: int
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Values and arrays as they were before they were written, with what has no other place."""
    if not isinstance(kept, dict):
        return ({} if kept is None else {KEPT: kept}), arrays
    try:
        shapes = kept.get("shapes", {})
        found = {key: a.reshape(len(a), *shapes.get(key, a.shape[1:])) for key, a in arrays.items()}
        more = {key: np.asarray(plain(value)) for key, value in kept.get("arrays", {}).items()}
        values = {key: plain(value) for key, value in kept.get("values", {}).items()}
        if any(array.ndim == 0 or len(array) != n_atoms for array in more.values()):
            raise ValueError("an array has not as many rows as there are atoms")
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"the values that are kept for this package are damaged ({error})",
            remedy="remove the key, or write the file again",
            key=KEPT,
        ) from error
    return values, found | more
