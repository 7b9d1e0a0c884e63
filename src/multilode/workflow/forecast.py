"""What a training will take, from a few of its structures."""

import time
from dataclasses import dataclass
from typing import final

import torch

from multilode.config.config import Config
from multilode.models import Network
from multilode.models.solve.search import searched_rows
from multilode.models.target_regression import TargetRegression
from multilode.prediction.training import collect_design, fitted_map
from multilode.workflow.experiment import representation_of
from multilode.workflow.sets import Sets

_PROBED = 4  # structures
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
        fit_seconds: at most, for the solution and the search of settings.
    """

    columns: int
    rows: int
    bytes: float
    feature_seconds: float
    fit_seconds: float


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
