"""Structures together with the values that a file gives for them."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from multilode.data.data_error import DataError, Origin
from multilode.data.properties import as_matrix, is_voigt
from multilode.errors import StructureError
from multilode.structures.batch import Structures, Which, numbers_of

__all__ = ["NO_FILE", "DataError", "Dataset", "Origin", "concatenate", "random_split"]

NO_FILE = ""  # of structures that are in memory only
_LARGEST = 1e100
_WIDTH = 160  # of a line of the short description


@final
@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Structures and the values that belong to them; `data[3]`, `data[:10]` are data sets too.

    Args:
        structures: the structures, as one flat batch.
        columns: one value per structure under each key, None where a structure has none.
        atom_columns: one array per structure under each key, its rows the atoms; None likewise.
        source: file and frame of each structure.

    Raises:
        ValueError: if a column has another length than the batch.
    """

    structures: Structures
    columns: Mapping[str, tuple[object, ...]]
    atom_columns: Mapping[str, tuple[np.ndarray | None, ...]]
    source: tuple[Origin, ...]

    def __post_init__(self) -> None:
        n = self.structures.n_structures
        sizes = {"source": len(self.source)}
        sizes |= {key: len(v) for key, v in [*self.columns.items(), *self.atom_columns.items()]}
        for name, size in sizes.items():
            if size != n:
                raise ValueError(f"'{name}' has {size} entries for {n} structures; give one each")

    def __len__(self) -> int:
        return self.structures.n_structures

    def __getitem__(self, which: Which) -> "Dataset":
        return self.select(numbers_of(which, len(self)))

    def __iter__(self) -> Iterator["Dataset"]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        files = dict.fromkeys(origin.file for origin in self.source)
        rows = {
            "species": self.structures.composition(),
            "periodicity": self.structures.periodicity(),
            "columns": _described(self.columns, 0),
            "atom columns": _described(self.atom_columns, 1),
            "source": ", ".join(files) or "none",
        }
        lines = [f"Dataset({self.structures.summary()}"]
        lines += [shorten(f"{k}: {v}", _WIDTH, placeholder=" ...") for k, v in rows.items()]
        return "\n  ".join(lines) + ")"

    def select(self, indices: Sequence[int] | Int[np.ndarray, " chosen"]) -> "Dataset":
        """The chosen structures with their values, in the order given."""
        chosen = [int(i) for i in indices]
        return Dataset(
            structures=self.structures.select(chosen),
            columns={k: tuple(v[i] for i in chosen) for k, v in self.columns.items()},
            atom_columns={k: tuple(v[i] for i in chosen) for k, v in self.atom_columns.items()},
            source=tuple(self.source[i] for i in chosen),
        )

    def with_values(
        self,
        columns: Mapping[str, Sequence[object]],
        atom_columns: Mapping[str, Sequence[np.ndarray | None]] | None = None,
    ) -> "Dataset":
        """The same structures with more values; equal keys are replaced.

        Args:
            columns: one value per structure under each key.
            atom_columns: one array per structure under each key.
        """
        more = {key: tuple(values) for key, values in columns.items()}
        more_atoms = {key: tuple(values) for key, values in (atom_columns or {}).items()}
        return replace(
            self,
            columns={**self.columns, **more},
            atom_columns={**self.atom_columns, **more_atoms},
        )

    def with_arrays(self, names: Iterable[str]) -> "Dataset":
        """The same, whose atoms bring along these columns, or those of their structures.

        Raises:
            DataError: if one is missing, or holds something else than finite numbers.
        """
        absent = [name for name in names if name not in self.structures.arrays]
        if not absent:
            return self
        more = {name: torch.from_numpy(self._of_atoms(name)) for name in absent}
        arrays = {**self.structures.arrays, **more}
        return replace(self, structures=replace(self.structures, arrays=arrays))

    def _of_atoms(self, name: str) -> Float[np.ndarray, "atom ..."]:
        """A column of atoms, or one of structures for each of their atoms."""
        if name in self.atom_columns or name not in self.columns:
            return self.atom_column(name)
        return np.repeat(self.column(name), self.structures.counts.cpu().numpy(), axis=0)

    def column(self, key: str) -> Float[np.ndarray, "structure ..."]:
        """The numbers under a key, one row per structure.

        Args:
            key: name of the property.

        Raises:
            DataError: if a structure has no value, or one that is not a finite number, or one of
                another shape than the first structure.
        """
        self._require(key)
        rows = [self._number(key, index) for index in range(len(self))]
        if is_voigt(key) and len({row.size for row in rows}) > 1:  # six numbers, and nine
            rows = [np.asarray(as_matrix(row)) for row in rows]
        for index, row in enumerate(rows):
            if row.shape != rows[0].shape:
                raise self._error(
                    f"has shape {row.shape}, but {rows[0].shape} in {self.source[0]}",
                    index,
                    key,
                    remedy="give the same number of values in every frame",
                )
        return np.array(rows, dtype=np.float64)

    def labels(self, key: str) -> tuple[str, ...]:
        """The values under a key as text, for instance to group structures by them.

        Args:
            key: name of the property.

        Raises:
            DataError: if a structure has no value.
        """
        self._require(key)
        return tuple(str(value) for value in self.columns[key])

    def atom_column(
        self, key: str, species: Sequence[int] | None = None
    ) -> Float[np.ndarray, "atom ..."]:
        """The numbers under a per-atom key, the atoms of all structures in one array.

        Args:
            key: name of the property.
            species: atomic numbers of the atoms that must have one; others may have NaN, and
                structures without such atoms nothing at all. By default all atoms must.

        Raises:
            DataError: if an atom has no finite number, or not as many numbers as in the other
                structures.
        """
        values = self.atom_columns.get(key, (None,) * len(self))
        numbers = self.structures.species.cpu().numpy()
        needed = np.ones(len(numbers), bool) if species is None else np.isin(numbers, species)
        counts = self.structures.counts.cumsum(0)[:-1].tolist()
        rows: dict[int, np.ndarray] = {}
        for index, (value, own) in enumerate(zip(values, np.split(needed, counts), strict=True)):
            if value is None and not own.any():
                continue
            rows[index] = self._atoms_number(key, index, value, own)
            first = next(iter(rows))
            if rows[index].shape[1:] != rows[first].shape[1:]:
                raise self._error(
                    f"has shape {rows[index].shape}, but {rows[first].shape} in "
                    f"{self.source[first]}",
                    index,
                    key,
                    remedy="give the same number of values for every atom",
                )
        if not rows:
            raise self._error(
                "the property is missing",
                0,
                key,
                remedy=f"the per-atom keys of the data are: {_listed(self.atom_columns)}",
            )
        tail = next(iter(rows.values())).shape[1:]
        sizes = self.structures.counts.tolist()
        nothing = (np.full((n, *tail), np.nan) for n in sizes)
        return np.concatenate([rows.get(k, empty) for k, empty in enumerate(nothing)])

    def has_atom_column(self, key: str) -> bool:
        """Whether any structure has something under a per-atom key."""
        return any(value is not None for value in self.atom_columns.get(key, ()))

    def has_column(self, key: str) -> bool:
        """Whether any structure has something under a key."""
        return any(value is not None for value in self.columns.get(key, ()))

    @contextmanager
    def naming_frames(self) -> Iterator[None]:
        """Attribute a `StructureError` of this block to the file and frame of its structure.

        Raises:
            DataError: instead of a `StructureError`, unless the structure is in no file.
        """
        try:
            yield
        except StructureError as error:
            file, frame = self.source[error.structure]
            if file == NO_FILE:
                raise
            raise DataError(error.problem, remedy="", file=file, frame=frame) from error

    def _require(self, key: str) -> None:
        """Raise unless every structure has some value under the key."""
        values = self.columns.get(key, (None,) * len(self))
        missing = [index for index, value in enumerate(values) if value is None]
        if not missing:
            return
        first = missing[0]
        here = [k for k, v in self.columns.items() if v[first] is not None]
        close = difflib.get_close_matches(key, here, n=1, cutoff=0.5)
        count = "" if len(missing) == 1 else f" (and from {len(missing) - 1} other frames)"
        suggestion = f", did you mean '{close[0]}'?" if close else "."
        if self.has_atom_column(key):
            suggestion = f"; '{key}' is a property of atoms (target.per: atom)."
        raise self._error(
            f"the property is missing{count}",
            first,
            key,
            remedy=f"the keys of this frame are: {_listed(here)}{suggestion} "
            "Choose one of them, add the property, or remove the frame",
        )

    def _number(self, key: str, index: int) -> np.ndarray:
        """One finite value as an array."""
        value = self.columns[key][index]
        try:
            array = np.asarray(value)
        except ValueError:  # a ragged list
            array = np.asarray(str(value))
        if array.dtype.kind not in "iuf" or array.size == 0:
            problem = f"the value {_shortened(value)} is not a number"
        elif not np.isfinite(array).all():
            problem = f"the value {_shortened(array.tolist())} is not finite"
        elif (np.abs(array.astype(np.float64)) > _LARGEST).any():
            problem = f"the value {_shortened(array.tolist())} is too large to be squared"
        else:
            return array.astype(np.float64)
        raise self._error(problem, index, key, remedy="correct it in the file or remove the frame")

    def _atoms_number(
        self, key: str, index: int, value: np.ndarray | None, needed: Bool[np.ndarray, " atom"]
    ) -> np.ndarray:
        """One array with a finite number, or row of these, for the atoms that need one."""
        if value is None or value.dtype.kind not in "iuf":
            problem = "is missing" if value is None else "is not numeric"
            whole = value is None and self.has_column(key)
            raise self._error(
                f"the property {problem} for the atoms of this frame",
                index,
                key,
                remedy="it is one of structures: leave target.per out"
                if whole
                else f"the per-atom keys of the data are: {_listed(self.atom_columns)}",
            )
        finite = np.isfinite(value).reshape(len(value), -1).all(axis=1)
        wrong = np.flatnonzero(~finite & needed)
        if len(wrong):
            atom = int(wrong[0])
            raise self._error(
                f"the value of atom {atom} is not finite ({_shortened(value[atom].tolist())})",
                index,
                key,
                remedy="correct it in the file or remove the frame, or leave its element out of "
                "centers",
            )
        return value.astype(np.float64)

    def _error(self, problem: str, index: int, key: str, *, remedy: str) -> DataError:
        file, frame = self.source[index]
        return DataError(problem, remedy=remedy, file=file, frame=frame, key=key)


def concatenate(datasets: Sequence[Dataset]) -> Dataset:
    """Several data sets as one; keys that one of them lacks are None there.

    Args:
        datasets: at least one data set, in order.

    Raises:
        ValueError: if there is none.
    """
    if not datasets:
        raise ValueError("there is nothing to concatenate; give at least one data set")
    parts = [d.structures for d in datasets]
    firsts = np.cumsum([0, *(len(d) for d in datasets[:-1])])
    return Dataset(
        structures=Structures(
            positions=torch.cat([part.positions.detach().to(torch.float64) for part in parts]),
            species=torch.cat([part.species for part in parts]),
            cell=torch.cat([part.cell.detach().to(torch.float64) for part in parts]),
            pbc=torch.cat([part.pbc for part in parts]),
            structure_index=torch.cat(
                [part.structure_index + int(n) for part, n in zip(parts, firsts, strict=True)]
            ),
        ),
        columns=_joined([d.columns for d in datasets], [len(d) for d in datasets]),
        atom_columns=_joined([d.atom_columns for d in datasets], [len(d) for d in datasets]),
        source=tuple(origin for d in datasets for origin in d.source),
    )


def random_split(
    n: int, fraction: float, *, seed: int, groups: Sequence[str] | None = None
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Indices of a training and a test set drawn at random, each in ascending order.

    Args:
        n: number of structures.
        fraction: part of the structures that goes to the test set, between 0 and 1.
        seed: seed of the random numbers.
        groups: one label per structure; structures with the same label stay on one side. The test
            set then takes whole groups until it holds the fraction.

    Raises:
        ValueError: if the fraction is outside [0, 1) or leaves no structure to train on.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"the test fraction is {fraction}; give a number in [0, 1)")
    labels = np.arange(n) if groups is None else np.unique(np.array(groups), return_inverse=True)[1]
    wanted = round(fraction * n)
    shuffled = np.random.default_rng(seed).permutation(np.unique(labels))
    sizes = np.bincount(labels, minlength=1)[shuffled] if n else np.zeros(0, dtype=np.int64)
    taken = shuffled[: int(np.searchsorted(np.cumsum(sizes), wanted, side="left")) + 1]
    is_test = np.isin(labels, taken) if wanted else np.zeros(n, dtype=bool)
    if n and is_test.all():
        advice = "lower it" if groups is None else f"lower it, or use more groups than {len(sizes)}"
        raise ValueError(
            f"a test fraction of {fraction} leaves none of {n} structures to train on; {advice}"
        )
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _joined(columns: Sequence[Mapping[str, tuple]], sizes: Sequence[int]) -> dict[str, tuple]:
    keys = dict.fromkeys(key for column in columns for key in column)
    return {
        key: tuple(
            value
            for column, size in zip(columns, sizes, strict=True)
            for value in column.get(key, (None,) * size)
        )
        for key in keys
    }


def _described(columns: Mapping[str, tuple], n_own: int) -> str:
    """Names of columns, with the shape of one value and how many structures have one.

    Args:
        columns: values under each key.
        n_own: number of axes that belong to the structure and not to the value.
    """
    described = []
    for key, values in columns.items():
        given = [value for value in values if value is not None]
        shape = _shape(given[0])[n_own:] if given else ()
        text = f"{key} {'x'.join(map(str, shape))}".rstrip()
        described.append(text if len(given) == len(values) else f"{text} (in {len(given)})")
    return ", ".join(described) or "none"


def _shape(value: object) -> tuple[int, ...]:
    try:
        return np.shape(np.asarray(value))
    except ValueError:  # a ragged list
        return ()


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys)) or "none"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
