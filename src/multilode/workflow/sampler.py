"""What a search tries next: a function of its seed and of the trials that are finished.

Each trial has a sampler of its own, made anew and told all finished trials, so that a search that
was stopped goes on as if it had not been. Few combinations are tried one after the other, in random
order. Of more, the first are spread evenly over the space (scrambled Sobol points): where a wrong
exponent is ten times worse than the right one, ten points drawn at random led some searches into
the wrong one for good. Then Optuna's tree-structured Parzen estimator chooses.
"""

import hashlib
import itertools
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, final

import numpy as np
from scipy.stats.qmc import Sobol

from multilode.config.search_space import SearchedSetting, SearchSpace
from multilode.errors import UserError

FEW = 64  # combinations that are all tried
_ATTEMPTS = 20  # proposals, before a combination that was tried is taken for chance
EVEN = 16  # trials after the first that are spread evenly, before the estimator chooses
_FEWEST = 20  # trials, for shares in their variance


@final
@dataclass(frozen=True, kw_only=True)
class SearchTrial:
    """One configuration that was tried.

    Args:
        number: from 0, the configuration that is given.
        values: of the settings that are searched, by key.
        error: by which trials are compared; None if it failed.
        folds: the same of each fold, as far as it is known.
        target: root mean squared error of the target, in its unit.
        forces: of the components of forces, in unit/Å; None without forces.
        failure: why there is no error.
        seconds: that it took.
        memory_gb: the most that the process had taken until its end.
    """

    number: int
    values: Mapping[str, Any]
    error: float | None = None
    folds: tuple[float, ...] = ()
    target: float | None = None
    forces: float | None = None
    failure: str | None = None
    seconds: float = 0.0
    memory_gb: float = 0.0


def check_optuna() -> None:
    """Raise a UserError if Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"a search needs Optuna, which cannot be imported ({error}); pip install "
            "'multilode[tune]'"
        ) from error


def next_values(
    space: SearchSpace, seed: int, trials: Sequence[SearchTrial]
) -> dict[str, Any] | None:
    """Values of the next trial; None if all combinations have been tried.

    Args:
        space: the settings.
        seed: of the search.
        trials: all that are finished, in order.
    """
    if not trials:
        return space.start_values
    tried = {_text(trial.values) for trial in trials}
    size = combinations(space)
    if size is not None and size <= FEW:
        rest = (own for own in _in_random_order(space, seed) if _text(own) not in tried)
        return next(rest, None)
    found: dict[str, Any] = {}
    if len(trials) <= EVEN:
        found = _spread_evenly(space, seed, len(trials) - 1)
        if _text(found) not in tried:
            return found
    for attempt in range(_ATTEMPTS):
        found = _proposed(space, trials, _seed(seed, len(trials), attempt))
        if _text(found) not in tried:
            break
    return found


def combinations(space: SearchSpace) -> int | None:
    """Number of different values of all settings together; None if they cannot be counted."""
    sizes = [one.size for one in space.settings]
    known = [size for size in sizes if size is not None]
    return math.prod(known) if len(known) == len(sizes) else None


def importances(space: SearchSpace, trials: Sequence[SearchTrial]) -> dict[str, float]:
    """Share of each setting in the variance of the logarithm of errors, the largest first.

    By fANOVA, which looks at the whole of the ranges: what separates the best trials from each
    other may be small in it. Empty with too few trials, or where scikit-learn is not installed.
    """
    import optuna

    complete = [trial for trial in trials if (trial.error or 0.0) > 0]
    if find_spec("sklearn") is None or len(space.settings) < 2:
        return {}
    with _quiet():
        study = _study(space, complete, seed=0)
        if len(study.trials) < _FEWEST:
            return {}
        found = optuna.importance.get_param_importances(
            study,
            evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0),
            target=lambda trial: math.log(trial.value or 1.0),
        )
    return {key: float(share) for key, share in found.items()}


def _proposed(space: SearchSpace, trials: Sequence[SearchTrial], seed: int) -> dict[str, Any]:
    """By a sampler that knows these trials and nothing else."""
    with _quiet():
        asked = _study(space, trials, seed).ask(_distributions(space))
    return {one.key: _plain(one, asked.params[one.key]) for one in space.settings}


def _study(space: SearchSpace, trials: Sequence[SearchTrial], seed: int) -> Any:
    """A study with these trials; failures count as worse than all others."""
    import optuna
    from optuna.trial import TrialState, create_trial

    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=EVEN)
    study = optuna.create_study(sampler=sampler)
    distributions = _distributions(space)
    for trial in trials:
        # what is given may be outside of the ranges, or have no value of its own
        if not all(one.allows(trial.values.get(one.key)) for one in space.settings):
            continue
        failed = trial.error is None
        study.add_trial(
            create_trial(
                params={one.key: _number(one, trial.values[one.key]) for one in space.settings},
                distributions=distributions,
                value=None if failed else trial.error,
                state=TrialState.PRUNED if failed else TrialState.COMPLETE,
            )
        )
    return study


def _distributions(space: SearchSpace) -> dict[str, Any]:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, Any] = {}
    for one in space.settings:
        if one.choices is not None:
            found[one.key] = CategoricalDistribution(range(len(one.choices)))
        elif one.whole:
            found[one.key] = IntDistribution(int(one.low), int(one.high), log=one.given.log)
        else:
            found[one.key] = FloatDistribution(one.low, one.high, log=one.given.log)
    return found


def _number(one: SearchedSetting, value: Any) -> Any:
    """As Optuna has it: choices by their place."""
    return value if one.choices is None else one.choices.index(value)


def _plain(one: SearchedSetting, number: Any) -> Any:
    """Back, with as many digits as make sense, so that what is written is what was tried."""
    if one.choices is not None:
        return one.choices[number]
    if one.whole:
        return int(number)
    return min(max(float(f"{number:.5g}"), one.low), one.high)


def _in_random_order(space: SearchSpace, seed: int) -> Iterator[dict[str, Any]]:
    """All combinations of settings that can be counted."""
    sizes = [range(one.size or 0) for one in space.settings]
    every = list(itertools.product(*sizes))
    for place in np.random.default_rng(seed).permutation(len(every)):
        pairs = zip(space.settings, every[place], strict=True)
        yield {one.key: one.value(number) for one, number in pairs}


def _spread_evenly(space: SearchSpace, seed: int, number: int) -> dict[str, Any]:
    """One of the points that cover the space evenly, whatever was found until then."""
    options: dict[str, Any] = {"seed": np.random.default_rng(seed)}  # `rng` since SciPy 1.15 only
    sobol = Sobol(len(space.settings), scramble=True, **options)
    place = sobol.random(EVEN)[number]
    return {one.key: _at(one, float(x)) for one, x in zip(space.settings, place, strict=True)}


def _at(one: SearchedSetting, share: float) -> Any:
    """The value at a share of a range, or of a list."""
    low, high = (one.low, one.high) if one.choices is None else (0.0, 0.0)
    if one.given.log:
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        return _plain(one, round(value) if one.whole else value)
    if one.size is not None:
        return one.value(min(int(share * one.size), one.size - 1))
    return _plain(one, low + share * (high - low))


def _seed(*numbers: int) -> int:
    digest = hashlib.sha256(" ".join(map(str, numbers)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=str)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the lines that Optuna logs of each study."""
    logger = logging.getLogger("optuna")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
