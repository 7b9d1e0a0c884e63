"""Formats that data sets are written in; a new one is a function and a row of the table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db.core import check
from ase.io.jsonio import encode

from multilode.data.archive import write_archive
from multilode.data.ase_atoms import KEPT_ARRAYS, to_ase
from multilode.data.dataset import Dataset
from multilode.data.left_out import warn_left_out
from multilode.data.properties import as_matrix
from multilode.data.value_table import require_arrow, write_csv, write_parquet
from multilode.data.xyz_scan import COMPRESSED
from multilode.data.xyz_text import write_xyz
from multilode.errors import UserError

Writer = Callable[[Path, Dataset], None]

# arrays that trajectories and databases have places for
_WITH_PLACE = (
    *("numbers", "positions", "tags", "momenta", "masses"),
    *("initial_magmoms", "initial_charges"),
)


def write_trajectory(path: Path, dataset: Dataset) -> None:
    """Write a trajectory of ASE, with standard properties as results of a calculator.

    Warns:
        DataWarning: of values that it cannot hold, which are left out.
    """
    left_out: set[str] = set()
    images = [_packed(image, left_out) for image in to_ase(dataset)]
    ase.io.write(path, images, format="traj")
    warn_left_out(left_out, "a trajectory")


def write_database(path: Path, dataset: Dataset) -> None:
    """Write a database of ASE: numbers and texts as key-value pairs, all else as data.

    Warns:
        DataWarning: of values that it cannot hold, which are left out.
    """
    path.unlink(missing_ok=True)  # the empty file that reserves the name is no database
    left_out: set[str] = set()
    opened: Any = ase.db.connect(path, type="db")  # ASE's type is that of a base class
    with opened as database:
        for image in to_ase(dataset):
            packed = _packed(image, left_out)
            _write_row(database, packed, packed.info)
    warn_left_out(left_out, "a database")


WRITERS: dict[str, Writer] = {
    ".xyz": write_xyz,
    ".extxyz": write_xyz,
    ".npz": write_archive,
    ".traj": write_trajectory,
    ".db": write_database,
    ".csv": write_csv,
    ".parquet": write_parquet,
}


def writer_of(path: Path | str) -> Writer:
    """The function that writes the format which a suffix names.

    Args:
        path: a name such as `out.xyz` or `out.xyz.gz`.

    Raises:
        UserError: if there is none, with those that there are; or if a package is missing.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    packed = bool(suffixes) and suffixes[-1] in COMPRESSED
    last = suffixes[-2:-1] if packed else suffixes[-1:]
    writer = WRITERS.get(last[0]) if last else None
    if writer is None or (packed and writer is not write_xyz):
        raise UserError(
            f"'{path}': the suffix names no format that is written; choose one of "
            f"{', '.join(WRITERS)}, and .gz, .bz2 or .xz after .xyz"
        )
    if writer is write_parquet:
        require_arrow()
    return writer


def _packed(image: Atoms, left_out: set[str]) -> Atoms:
    """Standard properties in a calculator, where ASE looks for them, and arrays in `info`."""
    own = {key: image.arrays.pop(key) for key in list(image.arrays) if key not in _WITH_PLACE}
    results: dict[str, Any] = {key: own.pop(key) for key in all_properties if key in own}
    for key in all_properties:
        if key in image.info and (value := _result(key, image.info[key])) is not None:
            del image.info[key]
            results[key] = value
    left_out |= {key for key in image.info if not _is_json(image.info[key])}
    image.info = {key: value for key, value in image.info.items() if key not in left_out}
    if own:  # texts as lists, which ASE's JSON would not read again
        lists = {key: array.tolist() for key, array in own.items() if array.dtype.kind in "UO"}
        image.info[KEPT_ARRAYS] = {**own, **lists}
    if results:
        image.calc = SinglePointCalculator(image, **results)
    return image


def _result(key: str, value: object) -> object | None:
    """A value in the shape that ASE has; None if it has another."""
    found = np.asarray(as_matrix(value) if key == "stress" else value)
    if found.dtype.kind not in "iuf":
        return None
    if key == "stress":
        symmetric = found.shape == (3, 3) and np.array_equal(found, found.T)
        return found.ravel()[[0, 4, 8, 5, 2, 1]] if symmetric else None
    shapes = {"dipole": (3,), "polarization": (3,), "dielectric_tensor": (3, 3)}
    return value if found.shape == shapes.get(key, ()) else None


def _is_json(value: object) -> bool:
    try:
        encode(value)
    except (TypeError, ValueError, AttributeError):
        return False
    return True


def _write_row(database: Any, image: Atoms, values: dict[str, Any]) -> None:
    """One structure; what is no key-value pair of ASE's goes to the data of the row."""
    pairs, data = {}, {}
    for key, given in values.items():
        value = given.item() if isinstance(given, np.generic) else given
        try:
            check({key: value})
        except (ValueError, TypeError):
            data[key] = value
        else:
            (pairs if isinstance(value, int | float | bool | str) else data)[key] = value
    database.write(image, key_value_pairs=pairs, data=data)
