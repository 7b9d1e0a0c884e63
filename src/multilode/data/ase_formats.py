"""What readers of ASE make up, or pass over, in formats that say less than a structure needs."""

import math
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from multilode.data.dataset import DataError
from multilode.errors import DataWarning

_HEAD = 100_000  # characters of a file that are looked at
_DIGITS = 20  # of a number of atoms that are looked at
_WHOLE = 1e-3  # what may be missing of an occupancy of 1
_DUMP, _DATA, _TURBOMOLE = "lammps-dump-text", "lammps-data", "turbomole"


def check_file(kind: str | None, path: Path) -> None:
    """Refuse a file whose elements or cell ASE would make up.

    Args:
        kind: ASE's name of the format.
        path: the file.

    Raises:
        DataError: for files of LAMMPS without elements or masses, where the types of atoms become
            atomic numbers, for dumps that announce more atoms than they can have, for which the
            reader would not end, and for periodic files of Turbomole, which become molecules.
    """
    if kind not in (_DUMP, _DATA, _TURBOMOLE):
        return
    if kind == _DUMP:
        _check_announced(path)
    with path.open(errors="replace") as file:
        head = file.read(_HEAD)
    problem, remedy = "has types of atoms but no elements", ""
    if kind == _DUMP:
        columns = next((x.split() for x in head.splitlines() if x.startswith("ITEM: ATOMS")), [])
        if columns and not {"element", "mass"} & set(columns):
            remedy = "write the dump with a column 'element' (dump_modify ... element O H)"
    elif kind == _DATA and not re.search(r"^\s*Masses\b", head, re.MULTILINE):
        remedy = "write the file with its section 'Masses', by which elements are known"
    elif kind == _TURBOMOLE and re.search(r"^\s*\$(periodic|lattice|cell)\b", head, re.MULTILINE):
        problem = "is periodic, but the reader of this format takes it for a molecule"
        remedy = "convert it to extended XYZ, with its cell"
    if remedy:
        raise DataError(problem, remedy=remedy, file=str(path))


def _check_announced(path: Path) -> None:
    """Raise a DataError if a dump announces more atoms than lines of text fit into it."""
    most = path.stat().st_size
    with path.open(errors="replace") as file:
        for line in file:
            if not line.startswith("ITEM: NUMBER OF ATOMS"):
                continue
            announced = next(file, "0").split()[:1]
            try:
                n_atoms = int(announced[0][:_DIGITS])
            except (IndexError, ValueError):  # told by the reader
                continue
            if n_atoms > most:
                raise DataError(
                    f"announces {n_atoms} atoms, for which it is too short",
                    remedy="it is truncated or damaged: write it again",
                    file=str(path),
                )


def check_image(kind: str | None, image: Atoms, path: Path, frame: int) -> None:
    """Refuse or repair what a reader has made up for one structure.

    Args:
        kind: ASE's name of the format.
        image: as ASE reads it; the cell that stands for none in a PDB file is taken away.
        path: the file.
        frame: its number there.

    Raises:
        DataError: for sites of a CIF that are not fully occupied by one element.

    Warns:
        DataWarning: of a cell that stands for none, and of files of cube and AtomEye, which do not
            tell a crystal from a molecule in a box.
    """
    if kind == "cif":
        _check_occupancy(image.info.get("occupancy"), path, frame)
    elif kind == "proteindatabank" and np.allclose(image.cell.cellpar()[:3], 1.0):
        image.pbc, image.cell = False, None
        _warn(path, "its cell of 1 x 1 x 1 Å stands for none; the structures are no crystals")
    elif kind == "cube" and frame == 0:
        _warn(
            path,
            "a cube file does not tell a crystal from a molecule in a box: it is read as a crystal "
            "whose cell is the box; give a molecule as XYZ",
        )
    elif kind == "cfg" and frame == 0:
        _warn(
            path,
            "files of AtomEye have a cell always: the structure is read as a crystal of it; give a "
            "molecule as XYZ",
        )


def _check_occupancy(found: Any, path: Path, frame: int) -> None:
    """Raise a DataError if a site is shared or partly empty, of which ASE takes one element."""
    if not isinstance(found, Mapping):
        return
    for site in found.values():
        whole = isinstance(site, Mapping) and len(site) == 1
        parts = [_number(part) for part in site.values()] if isinstance(site, Mapping) else []
        if not whole or not abs(sum(parts) - 1) <= _WHOLE:
            pairs = zip(site, parts, strict=True) if isinstance(site, Mapping) else ()
            shares = ", ".join(f"{100 * part:.3g} % {name}" for name, part in pairs)
            shares = shares or "what cannot be read"
            raise DataError(
                f"has a site that is occupied by {shares}",
                remedy="give ordered structures, with one atom at each site",
                file=str(path),
                frame=frame,
            )


def _number(value: Any) -> float:
    """A number as the reader left it; not a number where it left something else."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _warn(path: Path, text: str) -> None:
    warnings.warn(DataWarning(f"{path}: {text}"), stacklevel=4)
