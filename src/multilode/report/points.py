"""Numbers that were compared, one by one: what each belongs to, and what it may depend on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from multilode.data.dataset import NO_FILE, Dataset
from multilode.prediction.evaluated import Evaluated
from multilode.structures.elements import chemical_symbol
from multilode.structures.periods import along_periods

_AXES = {3: ("x", "y", "z"), 9: ("xx", "xy", "xz", "yx", "yy", "yz", "zx", "zy", "zz")}
_MOST_COLUMNS = 6  # of the data that errors are shown against
_FIRST = ("distance", "separation")  # names of what people look at first


@final
@dataclass(frozen=True, kw_only=True)
class Points:
    """References and predictions as flat arrays; what has no prediction is left out.

    Args:
        dataset: the structures.
        reference: the truth.
        predicted: what the model says.
        structure: number of the structure of each point.
        atom: number of its atom within the batch, or -1.
        component: number of its column, or -1 where there is one only.
        n_components: number of columns.
        bars: error bars, if there are any.
    """

    dataset: Dataset
    reference: Float[np.ndarray, " point"]
    predicted: Float[np.ndarray, " point"]
    structure: Int[np.ndarray, " point"]
    atom: Int[np.ndarray, " point"]
    component: Int[np.ndarray, " point"]
    n_components: int
    bars: Float[np.ndarray, " point"] | None = None

    @property
    def errors(self) -> Float[np.ndarray, " point"]:
        """Predictions less references."""
        return self.predicted - self.reference

    @property
    def elements(self) -> list[str]:
        """The element of the atom of each point; empty for structures."""
        numbers = self.dataset.structures.species.numpy()
        return [chemical_symbol(int(numbers[a])) if a >= 0 else "" for a in self.atom]

    def select(self, which: Int[np.ndarray, " chosen"]) -> "Points":
        """Some of them."""
        return Points(
            dataset=self.dataset,
            reference=self.reference[which],
            predicted=self.predicted[which],
            structure=self.structure[which],
            atom=self.atom[which],
            component=self.component[which],
            n_components=self.n_components,
            bars=None if self.bars is None else self.bars[which],
        )

    def labels(self) -> list[str]:
        """File, frame, atom and component of each point, as far as they say something."""
        structures = self.dataset.structures
        first = (structures.counts.cumsum(0) - structures.counts).tolist()
        elements, found = self.elements, []
        for k, (s, a, c) in enumerate(
            zip(self.structure.tolist(), self.atom.tolist(), self.component.tolist(), strict=True)
        ):
            parts = [frame_name(self.dataset, s)]
            parts += [f"atom {a - first[s]} ({elements[k]})"] if a >= 0 else []
            parts += [component_name(c, self.n_components)] if c >= 0 else []
            found.append(", ".join(parts))
        return found

    def dependences(self) -> dict[str, Float[np.ndarray, " point"]]:
        """Numbers of the structures of all points, by name: of atoms, and what files have."""
        columns = {"atoms": self.dataset.structures.counts.numpy().astype(float)}
        columns |= numeric_columns(self.dataset)
        return {name: values[self.structure] for name, values in columns.items()}


def target_points(part: Evaluated) -> Points:
    """The target of a set, of its structures or of its atoms."""
    rows = part.reference.shape[0]
    values, reference = part.predicted.values.reshape(rows, -1), part.reference.reshape(rows, -1)
    bars = None if part.predicted.std is None else part.predicted.std.reshape(rows, -1)
    of_atoms = part.target.per == "atom"
    return _points(part.dataset, reference, values, of_atoms=of_atoms, bars=bars)


def force_points(part: Evaluated) -> Points | None:
    """Components of forces; None where they were not compared."""
    if part.forces is None or part.predicted.forces is None:
        return None
    bars = part.predicted.forces_std
    return _points(part.dataset, part.forces, part.predicted.forces, of_atoms=True, bars=bars)


def squared_errors(part: Evaluated) -> Float[np.ndarray, " structure"]:
    """Sum over each structure of squared errors: of forces if they were compared, or the target."""
    points = force_points(part) or target_points(part)
    return np.bincount(points.structure, weights=points.errors**2, minlength=len(part.dataset))


def stress_points(part: Evaluated) -> Points | None:
    """Components of stresses; None where they were not compared."""
    if part.stress is None or part.predicted.stress is None:
        return None
    known = along_periods(part.stress, part.dataset.structures)
    return _points(part.dataset, known.flatten(1), part.predicted.stress.flatten(1), of_atoms=False)


def numeric_columns(dataset: Dataset) -> dict[str, Float[np.ndarray, " structure"]]:
    """Numbers that a file has for each structure, distances first; what does not vary is left out.

    Args:
        dataset: the structures.
    """
    found = {}
    for key in sorted(dataset.columns, key=lambda k: not any(word in k for word in _FIRST)):
        values = dataset.columns[key]
        if key.startswith("predicted_") or not all(
            isinstance(v, int | float | np.integer | np.floating) and not isinstance(v, bool)
            for v in values
        ):
            continue
        numbers = np.array(values, dtype=float)
        if np.isfinite(numbers).all() and len(np.unique(numbers)) > 1:
            found[key] = numbers
    return dict(list(found.items())[:_MOST_COLUMNS])


def frame_name(dataset: Dataset, structure: int) -> str:
    """Short name of a structure: its file and frame."""
    file, frame = dataset.source[structure]
    return f"frame {frame}" if file == NO_FILE else f"{Path(file).name} frame {frame}"


def component_name(component: int, n_components: int) -> str:
    """Name of a column: x, y and z of three."""
    axes = _AXES.get(n_components)
    return axes[component] if axes else f"component {component}"


def by_set(
    splits: Mapping[str, Evaluated], read: Callable[[Evaluated], Points | None]
) -> dict[str, Points]:
    """The points of all sets that have some."""
    found = {name: read(part) for name, part in splits.items()}
    return {name: points for name, points in found.items() if points is not None}


def _points(
    dataset: Dataset,
    reference: Float[Tensor, "row column"],
    predicted: Float[Tensor, "row column"],
    *,
    of_atoms: bool,
    bars: Float[Tensor, "row column"] | None = None,
) -> Points:
    rows, columns = reference.shape
    row, column = (index.ravel() for index in np.indices((rows, columns)))
    index = dataset.structures.structure_index.numpy()
    known, found = (x.detach().double().flatten().numpy() for x in (reference, predicted))
    kept = np.flatnonzero(np.isfinite(found) & np.isfinite(known))
    whole = Points(
        dataset=dataset,
        reference=known,
        predicted=found,
        structure=index[row] if of_atoms else row,
        atom=row if of_atoms else np.full_like(row, -1),
        component=column if columns > 1 else np.full_like(column, -1),
        n_components=columns,
        bars=None if bars is None else bars.detach().double().flatten().numpy(),
    )
    return whole.select(kept)
