"""Files of features: archives of NumPy, and tables."""

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from multilode.errors import UserError

Arrays = Mapping[str, Any]  # of NumPy
_VALUES = "values_"


def write_archive(path: Path, arrays: Arrays) -> None:
    """All arrays under their names."""
    with path.open("wb") as file:
        np.savez(file, **dict(arrays))


def write_table(path: Path, arrays: Arrays) -> None:
    """One row per center, one column per feature, named by its term and labels."""
    names, columns = zip(*_columns(arrays), strict=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in zip(*(column.tolist() for column in columns), strict=True):
            writer.writerow([repr(x) for x in row])


WRITERS: dict[str, Callable[[Path, Arrays], None]] = {".npz": write_archive, ".csv": write_table}


def feature_writer(path: Path) -> Callable[[Path, Arrays], None]:
    """The function that writes the format which a suffix names.

    Args:
        path: the file.

    Raises:
        UserError: if there is none, with those that there are.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise UserError(
            f"'{path}': the suffix names no format of features; choose one of {', '.join(WRITERS)}"
        )
    return writer


def _columns(arrays: Arrays) -> Iterator[tuple[str, np.ndarray]]:
    for k, name in enumerate(arrays["sample_names"].tolist()):
        yield name, arrays["samples"][:, k]
    for key, values in arrays.items():
        if not key.startswith(_VALUES):
            continue
        term = key.removeprefix(_VALUES)
        names = arrays[f"feature_names_{term}"].tolist()
        labels = arrays[f"feature_labels_{term}"].tolist()
        for feature, numbers in enumerate(labels):
            words = [f"{name}={n}" for name, n in zip(names, numbers, strict=True)]
            label = " ".join([f"{term}:", *words])
            if values.ndim == 2:
                yield label, values[:, feature]
                continue
            for m in range(values.shape[1]):  # components of an equivariant
                yield f"{label} m={m - values.shape[1] // 2}", values[:, m, feature]
