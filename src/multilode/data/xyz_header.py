"""What the comment line of an XYZ frame says of cell, periodicity, columns and units."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from ase.geometry import cellpar_to_cell
from ase.units import Bohr
from jaxtyping import Bool, Float

from multilode.data.dataset import DataError
from multilode.data.units import UnitError
from multilode.data.units import parsed as parsed_unit
from multilode.data.xyz_values import JSON, pairs, parsed, real_numbers

KEPT = "multilode"  # under which `write` keeps what other readers would not take

_CELLS = ("lattice", "cell", "box", "unit_cell", "unitcell", "lattice_vectors", "cell_vectors")
_OTHER_CELLS = re.compile(r"(unit_?cell|cell(par|params|dm)?|lattice|box)(?![a-z])", re.IGNORECASE)
_AXES = 3
_PERIODS = ("pbc", "periodic", "periodicity", "boundary", "boundary_conditions")
_LENGTH_UNITS = re.compile(
    r"(length|pos|position|positions|coord|coordinate|coordinates|distance|cell|lattice)?_?units?"
)
_ALL_LENGTHS = ("length_unit", "length_units")  # of positions and cell alike
_LENGTH_KIND = (0, 1, 0)
_CONVERTED = "positions and cell are converted to Å; values per length, such as forces, are not"
_OTHER_LENGTHS = re.compile(
    r"\b(bohrs?|a\.?u\.?|a0|atomic([ _]units?)?|nm|nanomet(er|re)s?|pm|picomet(er|re)s?)(?=\W|$)",
    re.IGNORECASE,
)
_SEPARATORS = re.compile(r"[\s,;\[\](){}]+")
_FLAGS = {
    **dict.fromkeys(("t", "true", ".true.", "1", "yes", "on", "p", "pp"), True),
    **dict.fromkeys(("f", "false", ".false.", "0", "no", "off", "n", "ff"), False),
}
_IPI_CELL = re.compile(r"CELL[\[({](\w+)[\])}]\s*:\s*((?:[-+.\deEdD]+\s*)+)", re.IGNORECASE)
_IPI_UNIT = re.compile(r"\b(positions|cell)[\[({]\s*([^\])}]*)[\])}]", re.IGNORECASE)
_IPI_QUANTITY = re.compile(r"\b(\w+)[\[({][^\])}]*[\])}]")
_LENGTHS = {"angstrom": 1.0, "atomic_unit": Bohr, "bohr": Bohr, "nanometer": 10.0, "": Bohr}


@final
@dataclass(frozen=True, kw_only=True)
class Header:
    """What a comment line says.

    Args:
        cell: rows are lattice vectors in Å; zeros if there is none.
        pbc: periodicity along each of them.
        properties: the text that names the columns; None if it is missing.
        values: the other keys.
        length: of the unit of positions, in Å.
        remarks: what the user should know of how it was read.
    """

    cell: Float[np.ndarray, "3 3"]
    pbc: Bool[np.ndarray, " 3"]
    properties: str | None
    values: dict[str, Any]
    length: float = 1.0
    remarks: tuple[str, ...] = ()


def header_of(comment: str) -> Header:
    """Read a comment line.

    Args:
        comment: the second line of a frame.

    Raises:
        DataError: without a place, if a key of cell, periodicity or units cannot be read.
    """
    if comment.lstrip().startswith("#") and _IPI_CELL.search(comment) is not None:
        return _ipi_header(comment)
    texts = _texts(comment)
    found: dict[str, list[tuple[str, str]]] = {"cell": [], "pbc": [], "properties": []}
    values: dict[str, Any] = {}
    flagged = any(key.lower() == "pbc" for key in texts)
    length = _taken_length(texts)
    for key, text in texts.items():
        role = _role(key, text)
        if role == "pbc" and flagged and key.lower() != "pbc" and not _is_three(text or ""):
            role = None  # a label, beside the key that decides
        if role is None:
            values[key] = True if text is None else text if key == "uid" else parsed(text)
            _check_unit(key, text)
        else:
            found[role].append((key, text or ""))
    cell = _only(found["cell"], lambda key, text: _cell(key, text))
    if cell is None:
        _refuse_other_cells(texts)
    flags = _only(found["pbc"], lambda key, text: periodic_flags(key, text))
    return Header(
        cell=np.zeros((3, 3)) if cell is None else length * cell,
        pbc=np.full(3, cell is not None) if flags is None else flags,
        properties=_only(found["properties"], lambda _, text: text),
        values=values,
        length=length,
        remarks=(*_remarks(texts), *([_CONVERTED] if length != 1 else [])),
    )


def _taken_length(texts: dict[str, str | None]) -> float:
    """The unit of all lengths in Å, whose key is taken away: what is read is in Å."""
    for key in [key for key in texts if key.lower() in _ALL_LENGTHS]:
        try:
            unit = parsed_unit(texts[key] or "")
        except UnitError:  # told below
            continue
        if unit.kind == _LENGTH_KIND and unit.factor != 1:
            del texts[key]
            return unit.factor
    return 1.0


def periodic_flags(key: str, text: str) -> Bool[np.ndarray, " 3"]:
    """Three flags from any of their spellings: `T T F`, `TTF`, `1 1 0`, `[true, true, false]`.

    One flag stands for all three. Under another key than `pbc`, letters name the periodic axes as
    in CP2K: `XY`, or `NONE`.

    Args:
        key: under which the text stands, for the message.
        text: the flags.

    Raises:
        DataError: if they are not three flags.
    """
    words = [word.lower() for word in _SEPARATORS.split(text) if word]
    letters = "".join(words)
    if key.lower() != "pbc" and re.fullmatch(r"none|x?y?z?", letters) and letters:
        return np.array([letter in letters and letters != "none" for letter in "xyz"])
    if len(words) == 1 and (words[0] not in _FLAGS or len(words[0]) == 2):
        words = list(words[0])
    flags = [_FLAGS.get(word) for word in words]
    if None in flags or len(flags) not in (1, 3):
        raise DataError(
            f"the periodicity is '{text[:40]}', which is not three flags",
            remedy='write T or F for each lattice vector, such as pbc="T T F", or give it another '
            "name if it says something else",
            key=key,
        )
    return np.array(flags * (3 // len(flags)), dtype=bool)


def is_ordinary(key: str, text: str) -> bool:
    """Whether a key with this text is read back as nothing but a value.

    Args:
        key: its name.
        text: of the value.
    """
    try:
        _check_unit(key, text)
        _refuse_other_cells({key: text})
    except DataError:
        return False
    taken = key in (KEPT, "uid") or key.lower() in ("lattice", "pbc", "properties")
    return not taken and _role(key, text) is None


def _texts(comment: str) -> dict[str, str | None]:
    """The text of each key; one that is given twice must say the same."""
    texts: dict[str, str | None] = {}
    try:
        for key, text in pairs(comment):
            if texts.get(key, text) != text:
                raise DataError(
                    f"the key is given twice, as '{texts[key]}' and '{text}'",
                    remedy="remove one of them",
                    key=key,
                )
            if key:
                texts[key] = text
    except DataError:
        raise
    except ValueError as error:
        raise DataError(
            f"the comment line cannot be read: {error}", remedy="close it, or remove it"
        ) from error
    return texts


def _role(key: str, text: str | None) -> str | None:
    """What a key decides: the cell, the periodicity, the columns, or none of these."""
    name, said = key.lower(), text or ""
    if text is None or said.startswith(JSON) or key == KEPT:
        return None
    if name == "properties":
        return "properties"
    if key in ("Lattice", "LATTICE"):
        return "cell"
    size = len([word for word in _SEPARATORS.split(said) if word])
    if name in _CELLS and size in (3, 6, 9):
        return "cell" if re.search(r"\d", said) else None
    return "pbc" if name in _PERIODS else None


def _is_three(text: str) -> bool:
    """Whether a text has a flag for each of three vectors."""
    size = len([word for word in _SEPARATORS.split(text) if word])
    return size == _AXES or re.fullmatch(r"[tf01]{3}", text.lower()) is not None


def _only(given: Sequence[tuple[str, str]], read: Any) -> Any:
    """What the keys for one thing say; several must agree."""
    found = [read(key, text) for key, text in given]
    for (key, text), other in zip(given, found, strict=True):
        if not np.array_equal(other, found[0]):
            raise DataError(
                f"'{text}' contradicts '{given[0][1]}' under '{given[0][0]}'",
                remedy="remove one of them",
                key=key,
            )
    return found[0] if found else None


def _cell(key: str, text: str) -> Float[np.ndarray, "3 3"]:
    words = [word for word in _SEPARATORS.split(text) if word]
    found = real_numbers(words)
    if found is None or len(found) != 9:
        raise DataError(
            f"the cell is '{text[:60]}', which is not nine numbers",
            remedy='write the lattice vectors in Å one after the other: Lattice="ax ay az bx by bz '
            'cx cy cz"',
            key=key,
        )
    return found.reshape(3, 3)


def _refuse_other_cells(texts: dict[str, str | None]) -> None:
    """Raise a DataError if the only cell is written in a way that is not read."""
    for key, text in texts.items():
        name = _OTHER_CELLS.match(key)
        said = len([word for word in _SEPARATORS.split(text or "") if re.match(r"[-+.\d]", word)])
        if name is not None and (said >= _AXES or not re.fullmatch(r"\w+", key)):
            raise DataError(
                f"the cell that '{key[:40]}' names cannot be read",
                remedy="write the lattice vectors in Å, "
                'Lattice="ax ay az bx by bz cx cy cz", or give it another name if it is none',
                key=key,
            )


def _check_unit(key: str, text: str | None) -> None:
    """Lengths are in Å; a file that says otherwise is not read as if they were."""
    if text is None or _LENGTH_UNITS.fullmatch(key.lower()) is None:
        return
    if _OTHER_LENGTHS.search(text) is not None:
        raise DataError(
            f"the unit is '{text[:40]}', but positions and cells are read in Å",
            remedy="convert the file, and what it has per length, to Å and remove the key",
            key=key,
        )


def _remarks(texts: dict[str, str | None]) -> tuple[str, ...]:
    """Words without a value that mean something to their reader only."""
    words = [key for key, text in texts.items() if text is None]
    units = [word for word in words if re.fullmatch(r"\W*(bohrs?|nm|pm)\W*", word.lower())]
    flags = [word for word in words if word.lower() in ("pbc", "lattice", "properties")]
    said = [f"the comment line says '{word}', but positions are read in Å" for word in units[:1]]
    said += [f"the comment line says '{word}' without a value: it is not read" for word in flags]
    return tuple(said)


def _ipi_header(comment: str) -> Header:
    """The comment line of i-PI: `# CELL(abcABC): a b c alpha beta gamma positions{angstrom}`."""
    said = _IPI_CELL.search(comment)
    kind, text = ("", "") if said is None else said.groups()
    numbers = real_numbers(text.split())
    quantities = [name.lower() for name in _IPI_QUANTITY.findall(comment)]
    if any(name not in ("cell", "positions") for name in quantities):
        raise DataError(
            f"holds {', '.join(q for q in quantities if q != 'cell')}, no positions",
            remedy="give the file of positions",
        )
    units = dict.fromkeys(("positions", "cell"), "") | {
        name.lower(): unit.strip().lower() for name, unit in _IPI_UNIT.findall(comment)
    }
    size = 6 if kind.lower() == "abcabc" else 9
    unknown = [unit for unit in units.values() if unit not in _LENGTHS]
    if numbers is None or len(numbers) < size or unknown:
        raise DataError(
            f"the cell is '{' '.join(text.split())[:60]}' in '{units['cell']}', which is not read",
            remedy="write CELL(abcABC) with six numbers, or CELL(H) with nine, in angstrom or "
            "atomic_unit",
            key="CELL",
        )
    cell = cellpar_to_cell(numbers[:6]) if size == 6 else numbers[:9].reshape(3, 3).T
    words = dict(re.findall(r"\b(Step|Bead):\s*(\d+)", comment))
    return Header(
        cell=np.asarray(cell) * _LENGTHS[units["cell"]],
        pbc=np.ones(3, dtype=bool),
        properties=None,
        values={key: int(value) for key, value in words.items()},
        length=_LENGTHS[units["positions"]],
    )
