"""Fits to energies and forces whose rows are never stored: normal equations, batch by batch."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.errors import renumber_errors
from multilode.models import PooledMap, Ridge
from multilode.models.designs import FeatureDesign
from multilode.models.linear.ridge_model import RidgeModel
from multilode.models.rows import ForceRows, Rows, Terms, balanced_weight, thinned
from multilode.models.slopes import all_directions
from multilode.models.solve.cross_validation import make_folds
from multilode.models.solve.normal import NormalEquations, NormalFit, solve_normal
from multilode.models.solve.primal import PrimalSolution, PrimalSolver
from multilode.models.solve.term_weights import Choice, Search, Trial
from multilode.models.targets import Forces
from multilode.numerics.memory import largest_bytes
from multilode.prediction.forces import multiplied_rows
from multilode.progress import Stage, silent
from multilode.representation.batches import batch_limits
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures

_ROW_BYTES = 3e8  # of the rows of a batch
_SAMPLE_STRUCTURES = 100
_SAMPLE_ROWS = 1200  # on which term weights are chosen
_FOLDS = 5  # where one structure at a time was to be left out
_TRIALS = 4  # of regularizations, for the prediction of the time


@final
@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Rows of some structures.

    Args:
        structures: their numbers.
        energies: features of the structures.
        forces: rows of the forces.
    """

    structures: Int[Tensor, " structure"]
    energies: Terms
    forces: ForceRows


@final
@dataclass(frozen=True, kw_only=True)
class StreamedFit:
    """What is fitted, without an intercept.

    Args:
        ridge: settings.
        map: sums over centers.
        representation: with slopes by matrix products.
        slots: center species of each block of columns.
        structures: training set.
        y: energies less the baseline.
        forces: of the structures, along every coordinate.
        groups: structures with equal numbers are never split between folds.
    """

    ridge: Ridge
    map: PooledMap
    representation: Representation
    slots: list[tuple[int, ...]]
    structures: Structures
    y: Float[Tensor, " structure"]
    forces: Forces
    groups: Int[Tensor, " structure"] | None

    @property
    def weight(self) -> float:
        """Of forces, Å."""
        values = torch.as_tensor(self.forces.values).double().cpu()
        return self.forces.weight or balanced_weight(self.y[:, None], values.flatten())

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of columns of each term, from the features of one structure."""
        return tuple(term.shape[1] for term in self._energies(self.structures.select([0])))

    @property
    def n_rows(self) -> int:
        """Number of all rows."""
        return self.structures.n_structures + 3 * self.structures.n_atoms

    def batches(self, chosen: Int[Tensor, " structure"], columns: int) -> Iterator[_Batch]:
        """Rows of the chosen structures, some at a time."""
        some = self.structures.select(chosen)
        all_parts = torch.as_tensor(self.forces.values).split(self.structures.counts.tolist())
        most_atoms = max(1, int(_ROW_BYTES / (24 * columns)))
        for start, stop in batch_limits(some, most_atoms):
            batch = some.select(torch.arange(start, stop))
            values = torch.cat([all_parts[k] for k in chosen[start:stop].tolist()])
            directions = all_directions(batch.counts)
            with renumber_errors(chosen[start:stop].tolist()):
                yield _Batch(
                    structures=chosen[start:stop],
                    energies=self._energies(batch),
                    forces=multiplied_rows(
                        self.representation, batch, self.slots, values, directions
                    ),
                )

    @torch.no_grad()
    def _energies(self, batch: Structures) -> Terms:
        return self.map.design(self.representation.compute(batch)).stored().terms


def streamed_model(fit: StreamedFit, stage: Stage | None = None) -> RidgeModel:
    """Fit without ever storing all rows.

    Args:
        fit: what is fitted.
        stage: starts a progress report.

    Raises:
        ValueError: if the matrices do not fit into the memory, or data are too few.
    """
    stage = stage or silent
    search, widths = Search.of(fit.ridge, fit.map.problem), fit.widths
    if len(widths) == 1:
        search = replace(search, term_weights=(1.0,))
    is_open = search.regularization is None
    folds = torch.zeros(len(fit.y), dtype=torch.int64)
    if is_open:
        folds = make_folds(len(fit.y), search.folds or _FOLDS, search.seed, fit.groups)
    n_folds = int(folds.max()) + 1
    check_memory(fit, sum(widths), n_folds)
    if is_open or search.term_weights is None:
        start = _searched(fit, search, stage)
    else:
        start = Choice(term_weights=search.term_weights, regularization=search.regularization or 0)
    equations = NormalEquations(widths, n_folds)
    _accumulate(fit, equations, folds, _TRIALS * n_folds if is_open else 1, stage)
    stage("solving the normal equations")
    found = solve_normal(equations, start, is_open=is_open)
    solution = _with_errors(fit, found, folds, stage)
    nothing = FeatureDesign(map=fit.map, terms=tuple(w[:0].T for w in solution.weights))
    return fit.map.model(nothing, solution)


def check_memory(fit: StreamedFit, columns: int, n_folds: int) -> None:
    """Raise before anything is computed, if the matrices of so many columns do not fit.

    Raises:
        ValueError: naming settings and the values that would do.
    """
    device = fit.structures.positions.device
    limit = largest_bytes(device)
    needed = NormalEquations.bytes_for(columns, n_folds) + 4 * _ROW_BYTES
    if needed <= limit:
        return
    share = max((limit - 4 * _ROW_BYTES) / (needed - 4 * _ROW_BYTES), 0.0)
    now = max(fit.representation.widths.values())
    fits = int(now * share**0.25)  # columns grow with the square of channels, memory with its own
    raise ValueError(
        f"a fit to forces with {columns} features needs {needed / 2**30:.1f} GiB, more than the "
        f"{limit / 2**30:.1f} GiB that may be used; use channels: {max(fits, 1)} (now {now} "
        "columns per field), or a smaller n_radial or max_angular, or allow more memory"
    )


def _searched(fit: StreamedFit, search: Search, stage: Stage) -> Choice:
    """Term weights, and a guess of the regularization, from some rows of some structures."""
    report = stage("choosing the weights of terms on a sample of rows")
    order = torch.randperm(len(fit.y), generator=torch.Generator().manual_seed(search.seed))
    chosen = order[:_SAMPLE_STRUCTURES].sort().values
    n_all = int((3 * fit.structures.counts[chosen]).sum())
    share = min(1.0, max(_SAMPLE_ROWS - len(chosen), len(chosen)) / max(n_all, 1))
    generator = torch.Generator().manual_seed(search.seed)
    parts, done = [], 0
    for batch in fit.batches(chosen, sum(fit.widths)):
        n = len(batch.structures)
        parts.append((batch.energies, thinned(batch.forces, share, generator), n))
        done += n
        report(done, len(chosen))
    terms = tuple(torch.cat(columns) for columns in zip(*(part[0] for part in parts), strict=True))
    forces = ForceRows.concatenate([(rows, n) for _, rows, n in parts])
    own = torch.arange(len(chosen)) if fit.groups is None else fit.groups[chosen]
    weight = fit.weight
    rows = Rows(
        problem=fit.map.problem,
        terms=tuple(torch.cat([x, weight * s]) for x, s in zip(terms, forces.terms, strict=True)),
        y=torch.cat([fit.y[chosen], weight * forces.values])[:, None],
        n_targets=len(chosen),
        groups=torch.cat([own, own[forces.structure]]),
    )
    found = PrimalSolver(search=search, intercept=False, centered=True).choice(rows)
    # fewer rows with larger numbers: the same absolute regularization is relative to a larger one
    more = (len(chosen) + n_all) / len(rows)
    return replace(found, regularization=found.regularization * more)


def _accumulate(
    fit: StreamedFit,
    equations: NormalEquations,
    folds: Int[Tensor, " structure"],
    trials: int,
    stage: Stage,
) -> None:
    """Add up the rows of all structures, fold by fold."""
    columns, weight, total = sum(equations.widths), fit.weight, len(fit.y)
    report = stage("adding up normal equations")
    begun, done, told = time.perf_counter(), 0, False
    for fold in range(len(equations.squares)):
        members = (folds == fold).nonzero()[:, 0]
        for batch in fit.batches(members, columns):
            energies, slopes = torch.cat(batch.energies, dim=1), torch.cat(batch.forces.terms, dim=1)
            rows = torch.cat([energies, slopes.mul_(weight)])
            values = torch.cat([fit.y[batch.structures], weight * batch.forces.values])
            equations.add(rows, values, fold, len(energies))
            done += len(batch.structures)
            if not told:
                told = True
                spent = time.perf_counter() - begun
                report = stage(_forecast(fit, equations, spent, done, trials))
            report(done, total)
    equations.complete()


def _forecast(
    fit: StreamedFit, equations: NormalEquations, spent: float, done: int, trials: int
) -> str:
    """What the whole will take, from a first batch."""
    columns, rows = sum(equations.widths), fit.n_rows
    seconds = spent * len(fit.y) / done
    # a factorization does p^3 / 3 products where the rows did n p^2 / 2; about half as fast
    seconds += trials * 4 / 3 * columns / rows * seconds
    needed = equations.bytes_for(columns, len(equations.squares)) + 4 * _ROW_BYTES
    return (
        f"adding up normal equations of {rows} rows and {columns} features, which are not stored: "
        f"{needed / 2**30:.1f} GiB, about {max(seconds / 60, 0.1):.1f} min"
    )


def _with_errors(
    fit: StreamedFit, found: NormalFit, folds: Int[Tensor, " structure"], stage: Stage
) -> PrimalSolution:
    """With the cross-validated error of energies, in a last pass over features without slopes."""
    if found.without is None or found.judged is None:
        return found.solution
    report = stage("predicting energies without their folds")
    missed = 0.0
    for start, stop in batch_limits(fit.structures, 1024):
        batch = fit.structures.select(torch.arange(start, stop))
        everywhere = torch.cat(fit._energies(batch), dim=1) @ found.without
        own = everywhere.gather(1, folds[start:stop, None])[:, 0]
        missed += float((fit.y[start:stop] - own).square().sum())
        report(stop, len(fit.y))
    choice = found.solution.choice
    trial = Trial(
        term_weights=choice.term_weights,
        regularization=choice.regularization,
        rmse=(missed / len(fit.y)) ** 0.5,
        judged=found.judged,
    )
    # those of the sample have errors of fewer rows
    return replace(found.solution, choice=replace(choice, table=(trial,)))
