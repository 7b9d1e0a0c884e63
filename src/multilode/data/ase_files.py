"""Files of the many formats that ASE reads, without the values that its readers make up."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.db
import ase.io
from ase import Atoms
from ase.io.formats import filetype

from multilode.data.ase_atoms import images_of
from multilode.data.ase_formats import check_file, check_image
from multilode.data.calculation_outputs import OUTPUTS, Reading, is_abinit_output
from multilode.data.dataset import DataError
from multilode.progress import Progress

DATABASES = (".db",)
_XYZ = ("xyz", "extxyz")
_DUMPS = ("lammps-dump-text", "lammps-dump-binary")


def is_xyz_for_ase(path: Path) -> bool:
    """Whether ASE takes a file for XYZ, whatever its name."""
    return _format(path) in _XYZ


def ase_images(path: Path, progress: Progress | None) -> Iterator[Atoms]:
    """The structures of a file that ASE parses; its many kinds of exceptions become one.

    Args:
        path: the file.
        progress: called with the number of structures read, twice.

    Raises:
        DataError: naming the frame that cannot be read; also if ASE would make up its elements or
            cell.
    """
    kind = _format(path)
    check_file(kind, path)
    if kind == "cube":
        _require_labels(path)
    reading = Reading(kind, path)
    given: Any = {"format": kind, "do_not_split_by_at_sign": True}
    images, done = ase.io.iread(path, index=":", **given), 0
    while True:
        try:
            with warnings.catch_warnings():
                # of ASE's own future; what matters of a calculation is said below
                if kind in OUTPUTS:
                    warnings.simplefilter("ignore")
                image = next(images, None)
        except KeyboardInterrupt:
            raise
        except Exception as error:  # readers of fifty formats raise what they like
            raise DataError(
                f"cannot be read ({_said(error)})",
                remedy="check that the file is complete and that its suffix names its format",
                file=str(path),
                frame=done,
            ) from error
        if image is None:
            return reading.ended()
        if kind in _DUMPS and image.calc is not None:  # no dump has an energy; ASE says 0
            image.calc.results.pop("energy", None)
        check_image(kind, image, path, done)
        reading.seen(image)
        done += 1
        if progress is not None:
            progress(done, done)
        yield image


def database_images(path: Path, progress: Progress | None) -> Iterator[Atoms]:
    """The structures of a database of ASE.

    Args:
        path: the file.
        progress: called with the number of structures read and their total.

    Raises:
        DataError: if it is no database, or a row has two values under one key.
    """
    try:
        opened: Any = ase.db.connect(path)  # ASE's type is that of a base class without a file
        with opened as database:
            total = len(database)
            for number, row in enumerate(database.select(), start=1):
                (image,) = images_of(row)
                if progress is not None:
                    progress(number, total)
                yield image
    except DataError as error:
        raise DataError(
            error.problem, remedy=error.remedy, file=str(path), frame=number - 1, key=error.key
        ) from error
    except KeyboardInterrupt:
        raise
    except Exception as error:
        raise DataError(
            f"is not a database that ASE can read ({_said(error)})",
            remedy="write it again with ase.db",
            file=str(path),
        ) from error


def _said(error: Exception) -> str:
    """What a reader raised; one that takes a wrong number for a size asks for all memory."""
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    return f"{type(error).__name__}: {error}"


def _format(path: Path) -> str | None:
    """ASE's name of the format; None if it does not know one."""
    try:
        found = filetype(str(path))
    except Exception:  # told by the reader, with a message
        return None
    # outputs of ABINIT repeat the words of their input, by which ASE knows inputs
    return "abinit-out" if found == "abinit-in" and is_abinit_output(path) else found


def _require_labels(path: Path) -> None:
    """A cube file with a negative number of atoms lists orbitals, without end for ASE."""
    lines = path.read_text(errors="replace").split("\n")
    try:
        n_atoms = int(lines[2].split()[0])
        wanted = int(lines[6 - n_atoms].split()[0]) if n_atoms < 0 else 0
    except (IndexError, ValueError):  # told by the reader
        return
    if wanted > sum(len(line.split()) for line in lines):
        raise DataError(
            f"has fewer than the {wanted} orbitals that it announces",
            remedy="it is truncated: write or download it again",
            file=str(path),
        )
