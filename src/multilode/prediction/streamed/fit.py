"""Fits to energies, forces and stresses whose rows are never stored: batch by batch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models import Ridge, SparseKernelRidge
from multilode.models.designs import FeatureDesign
from multilode.models.kernel_ridge.sparse_model import SparseKernelModel
from multilode.models.linear.ridge_model import RidgeModel
from multilode.models.rows import Terms
from multilode.models.solve.cross_validation import make_folds
from multilode.models.solve.fold_errors import folds_wanted
from multilode.models.solve.normal import Bases, NormalEquations, principal_combinations
from multilode.models.solve.normal_fit import NormalFit, solve_normal
from multilode.models.solve.primal import PrimalSolution
from multilode.models.solve.term_weights import Search, Trial
from multilode.prediction.streamed.plan import Plan, forecast, planned, probe
from multilode.prediction.streamed.rows import StreamedRows
from multilode.prediction.streamed.state import StateFile, fingerprint
from multilode.progress import Stage, silent
from multilode.representation.batches import batch_limits
from multilode.scheduling import mapped

_FOLDS = 5  # where one structure at a time was to be left out
_SAMPLED_STRUCTURES = 250
_ENERGY_ATOMS = 512  # of a batch of features without slopes
# Whose sums are added up by themselves: a task of a cluster, and what is lost by a stop. Each costs
# a matrix of sums that is sent and added, a few per cent of the products of its 6000 rows.
_CHUNK_ATOMS = 2048


@final
@dataclass(frozen=True, eq=False)
class _Chunk:
    """Some batches of one fold.

    Args:
        fold: of all of their structures.
        batches: numbers of structures.
    """

    fold: int
    batches: list[Int[Tensor, " _"]]

    @property
    def n_structures(self) -> int:
        return sum(len(members) for members in self.batches)


def streamed_model(
    rows: StreamedRows,
    estimator: Ridge | SparseKernelRidge,
    *,
    groups: Int[Tensor, " structure"] | None = None,
    checkpoint: Path | None = None,
    stage: Stage | None = None,
    tell: Callable[[str], None] | None = None,
) -> RidgeModel | SparseKernelModel:
    """Fit without ever storing all rows.

    Source: theory#normal-equations.

    Args:
        rows: what is fitted.
        estimator: settings.
        groups: structures with equal numbers are never split between folds.
        checkpoint: file of what is added up, from which the same fit goes on.
        stage: starts a progress report.
        tell: told how the fit is done, and what it takes, before it begins.

    Raises:
        ValueError: if the matrices do not fit into the memory, or data are too few.
        UserError: if the checkpoint belongs to another fit.
    """
    stage, search = stage or silent, Search.of(estimator, rows.map.problem)
    widths = rows.widths
    folds = torch.zeros(len(rows.y), dtype=torch.int64)
    open_weights = search.term_weights is None and len(widths) > 1
    if search.regularization is None or open_weights or folds_wanted():
        folds = _folds(rows, search, groups)
    plan = planned(rows, int(folds.max()) + 1)
    chunks = _chunks(rows, folds, plan.batch_atoms)
    numbers = [members for chunk in chunks for members in chunk.batches]
    state = StateFile(checkpoint, fingerprint(rows, search, folds, numbers))
    known = state.read(widths)
    if tell is not None:
        tell(forecast(rows, plan, probe(rows, plan)))
    if known is None:
        bases = _combinations(rows, plan, search.seed, stage)
        known = NormalEquations.empty(widths, plan.n_folds, bases), 0
    elif tell is not None:
        tell(f"{known[0].n_rows} of these rows were added up before; the fit goes on from there")
    equations = _added_up(rows, chunks, known, state, stage)
    found = solve_normal(equations, search, stage)
    return _model(rows, found, _with_errors(rows, found, folds, stage))


def _folds(
    rows: StreamedRows, search: Search, groups: Int[Tensor, " structure"] | None
) -> Int[Tensor, " structure"]:
    """Folds with similar numbers of rows, as those of stored rows."""
    own = torch.arange(len(rows.y)) if groups is None else torch.as_tensor(groups)
    numbers = own.repeat_interleave(rows.rows_of_each)
    found = make_folds(len(numbers), search.folds or _FOLDS, search.seed, numbers)
    last = rows.rows_of_each.cumsum(0) - 1
    return found[last]


def _combinations(rows: StreamedRows, plan: Plan, seed: int, stage: Stage) -> Bases | None:
    """Principal combinations of the columns, from a sample of rows, where there are too many."""
    if plan.combinations is None:
        return None
    report = stage("choosing combinations of features")
    n = rows.structures.n_structures
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    chosen = order[:_SAMPLED_STRUCTURES].sort().values
    per_structure = plan.sampled_rows / len(chosen) - 1 - (6 if rows.stress is not None else 0)
    directions = max(1, round(per_structure))
    parts, limits = [], batch_limits(rows.structures.select(chosen), plan.batch_atoms * 3)
    for part in mapped(_sampled, limits, rows, chosen, directions, seed):
        parts.append(part)
        report(limits[len(parts) - 1][1], len(chosen))
    whole = tuple(torch.cat(columns) for columns in zip(*parts, strict=True))
    del parts
    stage("diagonalizing the sample")
    return principal_combinations(whole, plan.combinations)


def _sampled(
    limits: tuple[int, int],
    rows: StreamedRows,
    chosen: Int[Tensor, " chosen"],
    directions: int,
    seed: int,
) -> Terms:
    return rows.sample(chosen[slice(*limits)], directions, seed + limits[0])


def _added_up(
    rows: StreamedRows,
    chunks: list[_Chunk],
    known: tuple[NormalEquations, int],
    state: StateFile,
    stage: Stage,
) -> NormalEquations:
    """Add the rows of all structures, fold by fold, to what was added before."""
    equations, begin = known
    report = stage("adding up normal equations")
    done, total = sum(chunk.n_structures for chunk in chunks[:begin]), len(rows.y)
    if begin == 0:
        state.write(equations, 0, now=equations.bases is not None)
    sums = mapped(_summed, chunks[begin:], rows, equations.widths, equations.bases)
    pairs = zip(chunks[begin:], sums, strict=True)
    for number, (chunk, part) in enumerate(pairs, start=begin + 1):
        equations.merge(part, chunk.fold)
        done += chunk.n_structures
        state.write(equations, number, now=number == len(chunks))
        report(done, total)
    return equations


def _chunks(rows: StreamedRows, folds: Int[Tensor, " structure"], batch_atoms: int) -> list[_Chunk]:
    """Batches of structures of the same fold, always the same for the same data and settings."""
    found = []
    for fold in range(int(folds.max()) + 1):
        members = (folds == fold).nonzero()[:, 0]
        for start, stop in batch_limits(rows.structures.select(members), _CHUNK_ATOMS):
            own = members[start:stop]
            limits = batch_limits(rows.structures.select(own), batch_atoms)
            found.append(_Chunk(fold, [own[first:last] for first, last in limits]))
    return found


def _summed(
    chunk: _Chunk, rows: StreamedRows, widths: tuple[int, ...], bases: Bases | None
) -> NormalEquations:
    part = NormalEquations.empty(widths, 1, bases)
    for members in chunk.batches:
        part.add(rows.groups(members), 0)
    return part.alone()


def _model(
    rows: StreamedRows, found: NormalFit, solution: PrimalSolution
) -> RidgeModel | SparseKernelModel:
    nothing = tuple(weight[:0].T for weight in found.solution.weights)
    return rows.map.model(FeatureDesign(map=rows.map, terms=nothing), solution)


def _with_errors(
    rows: StreamedRows, found: NormalFit, folds: Int[Tensor, " structure"], stage: Stage
) -> PrimalSolution:
    """With cross-validated errors, energies apart, in a last pass over features without slopes."""
    if found.without is None or found.judged is None:
        return found.solution
    report, n = stage("predicting without each fold"), len(rows.y)
    missed, counted, stressed = 0.0, 0.0, 0.0
    limits = batch_limits(rows.structures, _ENERGY_ATOMS)
    squares = mapped(_squares_without, limits, rows, found.without, folds)
    for (_, stop), own in zip(limits, squares, strict=True):
        missed, counted, stressed = missed + own[0], counted + own[1], stressed + own[2]
        report(stop, n)
    forces = None
    if rows.forces is not None:
        counts = 3 * rows.structures.counts.cpu()
        heavy = float(rows.roots.square() @ counts.double()) * rows.force_weight**2
        left = max(found.judged**2 * rows.n_rows - counted - stressed, 0.0)
        forces = (left / heavy) ** 0.5
    choice = found.solution.choice
    trial = Trial(
        term_weights=choice.term_weights,
        regularization=choice.regularization,
        rmse=(missed / n) ** 0.5,
        judged=found.judged,
        forces=forces,
    )
    return replace(found.solution, choice=replace(choice, table=(trial,)))


def _squares_without(
    limits: tuple[int, int],
    rows: StreamedRows,
    without: tuple[Float[Tensor, "_ fold"], ...],
    folds: Int[Tensor, " structure"],
) -> tuple[float, float, float]:
    """Squared errors of energies, of these as they count, and of stresses."""
    numbers = torch.arange(*limits)
    batch, heavy = rows.structures.select(numbers), rows.roots[numbers].square()
    own = _without(rows.energies(batch), without, folds[numbers])
    errors, stressed = (rows.y[numbers] - own).square(), 0.0
    if rows.stress is not None:
        group = rows.stresses(numbers, batch)
        own = _without(group.terms, without, folds[numbers].repeat_interleave(6))
        stressed = float(((group.values - own) * group.factors).square().sum())
    return float(errors.sum()), float(errors @ heavy), stressed


def _without(
    terms: tuple[Float[Tensor, "row _"], ...],
    weights: tuple[Float[Tensor, "_ fold"], ...],
    folds: Int[Tensor, " row"],
) -> Float[Tensor, " row"]:
    """Predictions of rows by the weights that were fitted without their fold."""
    pairs = zip(terms, weights, strict=True)
    everywhere = torch.stack([x @ w for x, w in pairs]).sum(dim=0)
    return everywhere.gather(1, folds[:, None])[:, 0]
