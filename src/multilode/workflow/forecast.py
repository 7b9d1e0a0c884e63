"""What a training will take, from a few of its structures."""

import time
from dataclasses import dataclass, replace
from typing import final

import torch

from multilode.config.config import Config
from multilode.data.dataset import Dataset
from multilode.models import Network, Ridge, SparseKernelRidge
from multilode.models.solve.search import searched_rows
from multilode.models.solve.term_weights import Search
from multilode.models.target_regression import TargetRegression
from multilode.prediction.learning_set import LearningSet
from multilode.prediction.network_training import network_cost
from multilode.prediction.streamed.choice import streamed_rows
from multilode.prediction.streamed.plan import forecast as described
from multilode.prediction.streamed.plan import planned, probe
from multilode.prediction.training import collect_design, fitted_map, with_irreps
from multilode.progress import duration
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
        size: in words that are the same on every machine; empty for rows that are not stored.
        way: all in words, of rows that are not stored and of networks.
    """

    columns: int
    rows: int
    bytes: float
    feature_seconds: float
    fit_seconds: float
    size: str = ""
    way: str = ""


def forecast(config: Config, sets: Sets) -> Forecast:
    """Compute a few structures and count; of a network, a few steps too.

    Raises:
        UserError: if the settings do not fit the structures.
        ValueError: if a structure cannot be computed.
    """
    named = () if config.target.fragments is None else (config.target.fragments,)
    train_set = sets.train.with_arrays([*config.recipe.arrays, *named])
    representation = representation_of(config, train_set)
    if isinstance(config.regression, Network):
        return _of_network(config, config.regression, train_set, representation)
    regression = TargetRegression(target=config.target, estimator=config.regression)
    sets = replace(sets, train=train_set)
    streamed = _streamed(config, sets, representation, regression)
    return streamed or _of_rows(config, sets, representation, regression)


def _of_rows(
    config: Config, sets: Sets, representation: Representation, regression: TargetRegression
) -> Forecast:
    """Of rows that are stored."""
    train_set = sets.train
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
    terms = len(config.recipe.products)
    operations = sum(
        _operations(one, other) + _TRIALS * _operations(searched_rows(one, terms), other)
        for one, other in fits
    )
    n_columns, n_rows = sum(n for _, n in fits), sum(n for n, _ in fits)
    needed = 8 * _COPIES * max(one * other for one, other in fits)
    return Forecast(
        columns=n_columns,
        rows=n_rows,
        bytes=needed,
        size=f"{n_rows} rows of {n_columns} features, about {needed / 1e9:.2g} GB",
        feature_seconds=each * total * (1 + slopes / max(1, rows)),
        fit_seconds=operations / _RATE,
    )


def _of_network(
    config: Config, settings: Network, train_set: Dataset, representation: Representation
) -> Forecast:
    """Of a network, whose patience may end it earlier."""
    has = {"forces": config.forces is not None, "stress": config.stress is not None}
    cost = network_cost(representation, train_set.structures, config.target, settings, **has)
    networks = "a network" if settings.n_members == 1 else f"{settings.n_members} networks"
    size = f"{networks} of {cost.weights} weights, up to {cost.steps} steps in {cost.passes} passes"
    return Forecast(
        columns=cost.weights,
        rows=cost.steps,
        bytes=cost.peak,
        feature_seconds=cost.field_seconds,
        fit_seconds=cost.step_seconds,
        size=size,
        way=(
            f"{size}: about {cost.peak / 1e9:.2g} GB and {cost.stored / 1e9:.2g} GB of files, "
            f"{duration(cost.field_seconds)} for fields and up to {duration(cost.step_seconds)} "
            "for the steps, more on a busy machine"
        ),
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
