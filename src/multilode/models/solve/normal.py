"""Normal equations of a ridge regression, added up block of rows by block of rows.

X^T X and X^T y of each fold are all that is kept; without a fold they are the total less those of
the fold, so that cross-validation needs no rows again. Where columns are too many, their leading
principal combinations take their place. Products have squared condition numbers: regularizations
below rounding, 1e-15 of the trace, cannot be had.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models.rows import Terms

_COLUMNS = 1024  # of a block of X^T X; half of it is never computed
_INDEPENDENT = 1e-12  # eigenvalues relative to the largest that are no rounding

Bases = tuple[Float[Tensor, "_ _"], ...]


@final
@dataclass(frozen=True, eq=False, repr=False)
class RowGroup:
    """Rows of one kind, each with the factor that it counts with.

    Args:
        terms: columns of each term, without the factors.
        values: targets, without the factors.
        factors: by which rows and targets are multiplied.
    """

    terms: Terms
    values: Float[Tensor, " row"]
    factors: Float[Tensor, " row"]


@final
@dataclass(kw_only=True, eq=False, repr=False)
class NormalEquations:
    """Sums over rows, in float64; mutable.

    Args:
        widths: number of columns of each term.
        bases: orthonormal combinations of the columns of each term that take their place; None
            for the columns themselves.
        squares: X^T X of each fold, above the diagonal only until `complete`.
        moments: X^T y of each fold.
        norms: y^T y of each fold.
        sums: of the rows that are targets.
        traces: sums of squares of all columns of each term, before they are combined.
        counts: numbers of rows, and of targets among them.
    """

    widths: tuple[int, ...]
    bases: Bases | None
    squares: list[Float[Tensor, "column column"]]
    moments: Float[Tensor, "fold column"]
    norms: Float[Tensor, " fold"]
    sums: Float[Tensor, " column"]
    traces: Float[Tensor, " term"]
    counts: Float[Tensor, " two"] = field(default_factory=lambda: torch.zeros(2).double())

    @staticmethod
    def empty(widths: Sequence[int], n_folds: int, bases: Bases | None = None) -> "NormalEquations":
        """Without rows.

        Args:
            widths: number of columns of each term.
            n_folds: number of folds; 1 where nothing is cross-validated.
            bases: combinations of the columns of each term.
        """
        p = sum(widths) if bases is None else sum(basis.shape[1] for basis in bases)
        return NormalEquations(
            widths=tuple(widths),
            bases=bases,
            squares=[torch.zeros(p, p, dtype=torch.float64) for _ in range(n_folds)],
            moments=torch.zeros(n_folds, p, dtype=torch.float64),
            norms=torch.zeros(n_folds, dtype=torch.float64),
            sums=torch.zeros(p, dtype=torch.float64),
            traces=torch.zeros(len(widths), dtype=torch.float64),
        )

    @property
    def sizes(self) -> list[int]:
        """Number of combinations of each term."""
        if self.bases is None:
            return list(self.widths)
        return [basis.shape[1] for basis in self.bases]

    @property
    def n_rows(self) -> int:
        """Number of rows that were added."""
        return int(self.counts[0])

    def add(self, groups: Sequence[RowGroup], fold: int) -> None:
        """Add rows of one fold; those of the first group are targets, which vary about a mean."""
        rows = torch.cat([self._combined(group.terms) * group.factors[:, None] for group in groups])
        y = torch.cat([group.values * group.factors for group in groups])
        square = self.squares[fold]
        for first in range(0, rows.shape[1], _COLUMNS):
            own = rows[:, first : first + _COLUMNS]
            square[first : first + _COLUMNS, first:].addmm_(own.T, rows[:, first:])
        self.moments[fold] += rows.T @ y
        self.norms[fold] += y.square().sum()
        n_targets = len(groups[0].values)
        self.sums += rows[:n_targets].sum(dim=0)
        for group in groups:
            for k, term in enumerate(group.terms):
                lengths = torch.linalg.vector_norm(term, dim=1)
                self.traces[k] += (lengths * group.factors).square().sum()
        self.counts += torch.tensor([len(rows), n_targets], dtype=torch.float64)

    def __reduce__(self) -> tuple[Callable[..., "NormalEquations"], tuple[Any, ...]]:
        """For another process: arrays that are not copied, and half of each square."""
        rows = [range(0, len(square), _COLUMNS) for square in self.squares]
        upper = [
            [square[first : first + _COLUMNS, first:].numpy().copy() for first in firsts]
            for square, firsts in zip(self.squares, rows, strict=True)
        ]
        own = ("moments", "norms", "sums", "traces", "counts")
        others = {name: getattr(self, name).numpy() for name in own}
        return _received, (self.widths, self.bases, upper, others)

    def alone(self) -> "NormalEquations":
        """The sums without the combinations that they are of."""
        return replace(self, bases=None)

    def merge(self, part: "NormalEquations", fold: int) -> None:
        """Add the sums of other rows, which are all of one fold.

        Args:
            part: with one fold.
            fold: of its rows.
        """
        self.squares[fold] += part.squares[0]
        self.moments[fold] += part.moments[0]
        self.norms[fold] += part.norms[0]
        self.sums += part.sums
        self.traces += part.traces
        self.counts += part.counts

    def _combined(self, terms: Terms) -> Float[Tensor, "row column"]:
        if self.bases is None:
            return torch.cat(terms, dim=1)
        return torch.cat([x @ basis for x, basis in zip(terms, self.bases, strict=True)], dim=1)

    def complete(self) -> None:
        """Fill the lower triangles, after the last rows."""
        for square in self.squares:
            for first in range(0, len(square), _COLUMNS):
                stop = first + _COLUMNS
                square[stop:, first:stop] = square[first:stop, stop:].T

    def expanded(self, weights: Float[Tensor, "column ..."]) -> tuple[Float[Tensor, "_ ..."], ...]:
        """Weights of the columns of each term, from those of their combinations."""
        parts = weights.split(self.sizes)
        if self.bases is None:
            return parts
        return tuple(basis @ part for basis, part in zip(self.bases, parts, strict=True))

    def tensors(self) -> dict[str, Tensor]:
        """Everything, to be written to a file."""
        found = {
            name: getattr(self, name) for name in ("moments", "norms", "sums", "traces", "counts")
        }
        found |= {f"squares.{k}": square for k, square in enumerate(self.squares)}
        return found | {f"bases.{k}": basis for k, basis in enumerate(self.bases or ())}

    @staticmethod
    def of_tensors(widths: Sequence[int], tensors: Mapping[str, Tensor]) -> "NormalEquations":
        """From `tensors`."""

        def numbered(name: str) -> list[Tensor]:
            n = sum(key.startswith(f"{name}.") for key in tensors)
            return [tensors[f"{name}.{k}"] for k in range(n)]

        names = ("moments", "norms", "sums", "traces", "counts")
        return NormalEquations(
            widths=tuple(widths),
            bases=tuple(numbered("bases")) or None,
            squares=numbered("squares"),
            **{name: tensors[name] for name in names},
        )


def _received(
    widths: tuple[int, ...],
    bases: Bases | None,
    upper: list[list[np.ndarray]],
    others: dict[str, np.ndarray],
) -> NormalEquations:
    """What another process sent."""
    squares = []
    for parts in upper:
        p = sum(len(part) for part in parts)
        square = torch.zeros(p, p, dtype=torch.float64)
        for first, part in zip(range(0, p, _COLUMNS), parts, strict=True):
            square[first : first + _COLUMNS, first:].numpy()[:] = part
        squares.append(square)
    plain = {name: torch.tensor(array) for name, array in others.items()}
    return NormalEquations(widths=widths, bases=bases, squares=squares, **plain)


def principal_combinations(sample: Terms, number: int) -> Bases:
    """Orthonormal combinations of the columns of each term that carry most of a sample of rows.

    Terms count as if their rows had one length, so that no choice of their weights is prejudiced.

    Source: theory#normal-equations.

    Args:
        sample: rows, weighted as in the fit.
        number: of combinations of all terms together, at most.
    """
    spectra = []
    for term in sample:
        values, vectors = torch.linalg.eigh(term @ term.T)
        spectra.append((values.flip(0).clamp(min=0), vectors.flip(1)))
    shares = [values / values.sum().clamp(min=1e-300) for values, _ in spectra]
    everything = torch.cat(shares).sort(descending=True).values
    least = everything[min(number, len(everything)) - 1]
    bases = []
    for term, share, (values, vectors) in zip(sample, shares, spectra, strict=True):
        known = (share >= least) & (values > _INDEPENDENT * values[0])
        kept = min(max(int(known.sum()), 1), *term.shape)
        rotated = term.T @ (vectors[:, :kept] / values[:kept].clamp(min=1e-300).sqrt())
        bases.append(torch.linalg.qr(rotated).Q.contiguous())
    return tuple(bases)
