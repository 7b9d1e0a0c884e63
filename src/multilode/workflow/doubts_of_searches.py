"""Doubts about a search: what its best trial does not show."""

from collections.abc import Iterator
from typing import final

import numpy as np

from multilode.config.search_space import SearchedSetting, shown_value
from multilode.workflow.doubts import Doubt
from multilode.workflow.sampler import SearchTrial
from multilode.workflow.search import SearchResult

_NEAR_END = 0.03  # of a range
_FEW_UNSEEN = 50  # structures; the error of so many is known to 10 % at best
_MANY_FAILED = 1 / 3


@final
class Difference:
    """Errors of one trial less those of another, fold by fold.

    Args:
        one: a trial.
        other: another one.
    """

    def __init__(self, one: SearchTrial, other: SearchTrial) -> None:
        self.mean = (one.error or 0.0) - (other.error or 0.0)
        self.spread: float | None = None
        if len(one.folds) == len(other.folds) > 1:
            each = np.array(one.folds) - np.array(other.folds)
            self.mean = float(each.mean())
            self.spread = float(each.std(ddof=1)) / len(each) ** 0.5

    @property
    def is_clear(self) -> bool:
        """Whether it is larger than its standard error over folds; unknown ones are not."""
        return self.spread is not None and self.mean > self.spread


def doubts_of_search(result: SearchResult) -> list[Doubt]:
    """What to look at before the best settings are taken."""
    found = [*_of_gain(result), *_of_ends(result)]
    n = result.judge.n_unseen
    if n < _FEW_UNSEEN:
        found.append(
            Doubt(
                kind="few structures",
                text=f"errors of trials are those of {n} structures and known to "
                f"{100 / (2 * n) ** 0.5:.0f} % at best; smaller differences say nothing",
            )
        )
    failed = [trial for trial in result.trials if trial.error is None]
    if len(failed) > _MANY_FAILED * len(result.trials):
        found.append(
            Doubt(
                kind="failed trials",
                text=f"{len(failed)} of {len(result.trials)} trials failed, as trial "
                f"{failed[0].number} ({failed[0].failure}); choose ranges without such values",
            )
        )
    return found


def _of_gain(result: SearchResult) -> Iterator[Doubt]:
    start, best = result.trials[0], result.best
    if start.error is None:
        return
    if best.number == 0:
        yield Doubt(
            kind="nothing better",
            text=f"none of {len(result.trials) - 1} other trials is better than the given "
            "configuration",
        )
        return
    difference = Difference(start, best)
    if difference.spread is not None and not difference.is_clear:
        yield Doubt(
            kind="no clear gain",
            text=f"the best trial is better than the given configuration by {difference.mean:.2g}, "
            f"which is less than the spread over folds ({difference.spread:.2g}): take it as equal",
        )


def _of_ends(result: SearchResult) -> Iterator[Doubt]:
    for one in result.space.settings:
        end = _near_end(one, result.best.values[one.key])
        if end is not None:
            yield Doubt(
                kind="end of a range",
                text=f"the best '{one.key}', {shown_value(result.best.values[one.key])}, is at the "
                f"{end} end of its range ({one}); widen tune.settings.{one.key} in a new search",
            )


def _near_end(one: SearchedSetting, value: object) -> str | None:
    """Which end a value is at, if any."""
    if one.choices is not None or not isinstance(value, int | float) or not one.allows(value):
        return None
    low, high, own = one.low, one.high, float(value)
    if one.given.log:
        low, high, own = (float(np.log(x)) for x in (low, high, own))
    near = 0.0 if one.whole else _NEAR_END * (high - low)
    if own <= low + near:
        return "lower"
    return "upper" if own >= high - near else None
