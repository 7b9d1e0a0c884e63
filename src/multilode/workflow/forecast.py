"""What a training will take, from a few of its structures."""

import time
from dataclasses import dataclass, replace
from typing import final

import torch

from multilode.config.config import Config
from multilode.models import Network, Ridge, SparseKernelRidge
from multilode.models.solve.search import searched_rows
from multilode.models.solve.term_weights import Search
from multilode.models.target_regression import TargetRegression
from multilode.prediction.learning_set import LearningSet
from multilode.prediction.streamed.choice import streamed_rows
from multilode.prediction.streamed.plan import forecast as described
from multilode.prediction.streamed.plan import planned, probe
from multilode.prediction.training import collect_design, fitted_map, with_irreps
from multilode.representation.representation import Representation
from multilode.workflow.derivatives import derivatives_of
from multilode.workflow.experiment import representation_of
from multilode.workflow.sets import Sets

_PROBED = 4  # structures
_FOLDS = 5  # of a search that names no number
_COPIES = 3.0  # of all rows at the peak of a fit
_TRIALS = 15  # decompositions of a search of weights
_RATE = 3e10  # operations of a decomposition in a second, of one core: 99 s for 6140 rows


@final
@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Rough sizes of a training.

    Args:
        columns: features of a row.
        rows: targets, of forces too.
        bytes: at the peak of the fit.
        feature_seconds: for the features of all sets.
        fit_seconds: at most, for the solution and the search of settings; of rows that are not
            stored, of all.
        way: how rows that are not stored are added up.
    """

    columns: int
    rows: int
    bytes: float
    feature_seconds: float
    fit_seconds: float
    way: str = ""


def forecast(config: Config, sets: Sets) -> Forecast | None:
    """Compute a few structures and count; None for networks, which say themselves what they take.

    Raises:
        UserError: if the settings do not fit the structures.
        ValueError: if a structure cannot be computed.
    """
    if isinstance(config.regression, Network):
        return None
    named = () if config.target.fragments is None else (config.target.fragments,)
    train_set = sets.train.with_arrays([*config.recipe.arrays, *named])
    representation = representation_of(config, train_set)
    regression = TargetRegression(target=config.target, estimator=config.regression)
    sets = replace(sets, train=train_set)
    streamed = _streamed(config, sets, representation, regression)
    if streamed is not None:
        return streamed
    n, atoms = len(train_set), train_set.structures.n_atoms
    some = train_set.structures.select(torch.linspace(0, n - 1, min(n, _PROBED)).long().unique())
    maps = fitted_map(regression, representation, some)
    collect_design(maps, config.target, representation, some)  # makes tables
    begun = time.perf_counter()
    design = collect_design(maps, config.target, representation, some)
    each = (time.perf_counter() - begun) / some.n_atoms
    rows = n if config.target.per == "structure" else atoms
    slopes = _slopes(config, sets)
    fits = [  # one for each irrep of a tensor
        (
            (2 * irrep.degree + 1) * rows + slopes,
            sum(term.shape[1] for term in getattr(part, "columns", ())),
        )
        for irrep, part in design.parts.items()
    ]
    total = atoms + (sets.test.structures.n_atoms if sets.test is not None else 0)
    operations = 0.0
    for n_rows, n_columns in fits:
        searched = searched_rows(n_rows, len(config.recipe.products))
        operations += _operations(n_rows, n_columns) + _TRIALS * _operations(searched, n_columns)
    return Forecast(
        columns=sum(n_columns for _, n_columns in fits),
        rows=sum(n_rows for n_rows, _ in fits),
        bytes=8 * _COPIES * max(n_rows * n_columns for n_rows, n_columns in fits),
        feature_seconds=each * total * (1 + slopes / max(1, rows)),
        fit_seconds=operations / _RATE,
    )


def _streamed(
    config: Config, sets: Sets, representation: Representation, regression: TargetRegression
) -> Forecast | None:
    """Of many forces, whose rows are not stored; None where rows are stored."""
    estimator = config.estimator
    if not isinstance(estimator, Ridge | SparseKernelRidge):
        return None
    forces, stress = derivatives_of(config, Sets(train=sets.train, test=None))["train"]
    if forces is None and stress is None:
        return None
    structures = sets.train.structures
    y = torch.zeros(len(sets.train), 1, dtype=torch.float64)  # sizes do not depend on the values
    named = {"target": config.target, "forces": forces, "stress": stress}
    training_set = LearningSet(dataset=sets.train, y=y, **named)
    own = with_irreps(regression, representation)
    maps = fitted_map(regression, own, structures)
    rows = streamed_rows(estimator, maps, own, training_set)
    if rows is None:
        return None
    search = Search.of(estimator, rows.map.problem)
    chosen = search.regularization is None or (search.term_weights is None and len(rows.widths) > 1)
    plan = planned(rows, (search.folds or _FOLDS) if chosen else 1)
    seconds = probe(rows, plan)
    return Forecast(
        columns=plan.columns,
        rows=rows.n_rows,
        bytes=plan.needed,
        feature_seconds=0.0,
        fit_seconds=seconds,
        way=described(rows, plan, seconds),
    )


def _slopes(config: Config, sets: Sets) -> int:
    """Rows of forces."""
    if config.forces is None:
        return 0
    most = 3 * sets.train.structures.counts
    directions = config.forces.directions
    return int((most if directions is None else most.clamp(max=directions)).sum())


def _operations(rows: int, columns: int) -> float:
    """Of one decomposition, of whichever matrix is smaller."""
    small, large = sorted((rows, max(1, columns)))
    return 10.0 * small**3 + 2.0 * small**2 * large
