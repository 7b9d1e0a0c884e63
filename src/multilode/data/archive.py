"""Data sets as NumPy archives: flat arrays, and JSON for what is none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from multilode.data.dataset import DataError, Dataset, Origin
from multilode.data.left_out import warn_left_out
from multilode.data.structure_checks import check_structure
from multilode.data.xyz_values import as_json, parsed
from multilode.structures.batch import Structures

_STRUCTURES = ("positions", "species", "cell", "pbc", "structure_index")
_VALUE, _ATOMS, _TEXT = "column:", "atom_column:", "json:"


def write_archive(path: Path, dataset: Dataset) -> None:
    """Write an archive of NumPy.

    Arrays are named `positions`, `species`, `cell`, `pbc`, `structure_index`, `column:KEY` and
    `atom_column:KEY`; values that are no arrays of one shape are JSON, under `json:...` of these.

    Warns:
        DataWarning: of values that are neither, which are left out.
    """
    structures = dataset.structures
    arrays = {name: getattr(structures, name).detach().cpu().numpy() for name in _STRUCTURES}
    left_out: set[str] = set()
    for prefix, columns in ((_VALUE, dataset.columns), (_ATOMS, dataset.atom_columns)):
        for key, values in columns.items():
            array = _array(values, stacked=prefix == _VALUE)
            if array is not None:
                arrays[f"{prefix}{key}"] = array
                continue
            try:
                arrays[f"{_TEXT}{prefix}{key}"] = np.array(as_json(list(values)))
            except TypeError:
                left_out.add(key)
    with path.open("wb") as file:
        np.savez(file, **arrays)
    warn_left_out(left_out, "an archive")


def read_archive(path: Path) -> Dataset:
    """Read an archive that `write_archive` has written.

    Raises:
        DataError: if it is another one, or damaged, or a structure cannot be used.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        parts: dict[str, Any] = {k: torch.from_numpy(arrays[k]) for k in _STRUCTURES}
        structures = _structures(parts)
        columns, atom_columns = _columns(arrays, structures.counts.tolist())
        source = tuple(Origin(str(path), i) for i in range(len(structures)))
        for single, origin in zip(structures, source, strict=True):
            check_structure(*_as_arrays(single), origin=origin)
        return Dataset(
            structures=structures, columns=columns, atom_columns=atom_columns, source=source
        )
    except DataError:
        raise
    except Exception as error:  # of zip, compression, NumPy, JSON and PyTorch
        raise DataError(
            f"is no archive of structures ({type(error).__name__}: {error})",
            remedy="read .npz files that this package has written; give others as extended XYZ",
            file=str(path),
        ) from error


def _structures(parts: dict[str, torch.Tensor]) -> Structures:
    """The structures, if all arrays have the types and shapes that they are written with."""
    shapes = {name: tuple(part.shape) for name, part in parts.items()}
    n, n_structures = shapes["positions"][0], shapes["cell"][0]
    expected = ((n, 3), (n,), (n_structures, 3, 3), (n_structures, 3), (n,))
    for name, shape in zip(_STRUCTURES, expected, strict=True):
        if shapes[name] != shape:
            raise ValueError(f"'{name}' has shape {shapes[name]} instead of {shape}")
    for name in ("species", "structure_index"):
        if parts[name].dtype.is_floating_point or parts[name].dtype.is_complex:
            raise ValueError(f"'{name}' are no whole numbers")
    kinds = {"species": torch.int64, "structure_index": torch.int64, "pbc": torch.bool}
    typed: dict[str, Any] = {k: v.to(kinds[k]) if k in kinds else v for k, v in parts.items()}
    return Structures(**typed)


def _as_arrays(single: Structures) -> tuple[np.ndarray, ...]:
    """Positions, species, cell and periodicity of one structure."""
    parts = (single.positions, single.species, single.cell[0], single.pbc[0])
    return tuple(part.numpy() for part in parts)


def _array(values: tuple[Any, ...], *, stacked: bool) -> np.ndarray | None:
    """Values of one kind and shape as one array; those of atoms one after the other."""
    if not values or any(isinstance(x, str | dict) or x is None for x in values):
        return None
    try:
        found = [np.asarray(x) for x in values]
    except ValueError:  # a ragged list
        return None
    kinds = {x.dtype.kind for x in found}
    if len(kinds) > 1 or not kinds <= set("iufbcU"):
        return None
    if len({x.shape if stacked else x.shape[1:] for x in found}) > 1:
        return None
    return np.stack(found) if stacked else np.concatenate(found)


def _columns(
    arrays: dict[str, np.ndarray], counts: list[int]
) -> tuple[dict[str, tuple], dict[str, tuple]]:
    columns: dict[str, tuple] = {}
    atom_columns: dict[str, tuple] = {}
    ends = np.cumsum(counts)[:-1]
    for name, array in arrays.items():
        if name.startswith(_VALUE):
            columns[name.removeprefix(_VALUE)] = tuple(_item(x) for x in array)
        elif name.startswith(_ATOMS):
            if len(array) != sum(counts):
                raise ValueError(f"'{name}' has {len(array)} rows for {sum(counts)} atoms")
            atom_columns[name.removeprefix(_ATOMS)] = tuple(np.split(array, ends))
        elif name.startswith(_TEXT):
            key = name.removeprefix(_TEXT)
            values = [_from_json(x) for x in json.loads(str(array))]
            if key.startswith(_VALUE):
                columns[key.removeprefix(_VALUE)] = tuple(values)
            else:
                found = (None if x is None else np.asarray(x) for x in values)
                atom_columns[key.removeprefix(_ATOMS)] = tuple(found)
    return columns, atom_columns


def _item(value: Any) -> Any:
    return value.item() if np.ndim(value) == 0 else value


def _from_json(value: Any) -> Any:
    return parsed(f"_JSON {json.dumps(value)}")
