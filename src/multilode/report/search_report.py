"""A search for better settings, on a page and as plain data."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np

from multilode.config.search_space import SearchedSetting, shown_value
from multilode.models import Network
from multilode.report.document import Section, Table
from multilode.report.interactive import Plot, Series
from multilode.report.provenance import provenance_section
from multilode.report.training_report import doubts_sections
from multilode.workflow.doubts import Doubt
from multilode.workflow.doubts_of_searches import Difference
from multilode.workflow.sampler import SearchTrial
from multilode.workflow.search import SearchResult

_IMPORTANCE = (
    " Importance (fANOVA): share in the variance of the logarithm of errors over the whole ranges; "
    "what separates the best trials may be small in it."
)
_MOST = 10  # trials of the short table
_LOGARITHMIC = 8.0  # ratio of errors from which their axis is
_FASTER = 0.7  # of the time of the best trial
_SETTLED = 0.5  # of the trials: a best one before it is old


def search_data(
    result: SearchResult,
    fingerprint: str,
    importance: Mapping[str, float],
    doubts: Sequence[Doubt],
    config: Mapping[str, Any],
) -> dict[str, Any]:
    """Contents of a file of results.

    Args:
        result: the search.
        fingerprint: of what its trials depend on.
        importance: of each setting.
        doubts: about data and search.
        config: the configuration that was given, complete.
    """
    space = result.space
    return {
        "fingerprint": fingerprint,
        "error": result.judge.name,
        "folds": result.judge.n_folds,
        "structures": result.judge.n_unseen,
        "asked": space.start.tune.trials,
        "best": asdict(result.best),
        "given": asdict(result.trials[0]),
        "settings": [{"key": one.key, **asdict(one.given)} for one in space.settings],
        "importance": dict(importance),
        "trials": [asdict(trial) for trial in result.trials],
        "doubts": [doubt.as_dict() for doubt in doubts],
        "config": dict(config),
        "seed": result.seed,
    }


def search_csv(result: SearchResult) -> str:
    """All trials as a table with commas."""
    keys = [one.key for one in result.space.settings]
    n_folds = max(len(trial.folds) for trial in result.trials)
    header = ["trial", "error", "rmse", "rmse_forces", *keys, "failure", "seconds", "memory_gb"]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*header, *(f"fold_{k}" for k in range(n_folds))])
    for t in result.trials:
        values = [shown_value(t.values[key]) for key in keys]
        row = [t.number, t.error, t.target, t.forces, *values, t.failure, t.seconds, t.memory_gb]
        writer.writerow(["" if value is None else value for value in (*row, *t.folds)])
    return stream.getvalue()


def trials_beside(result: SearchResult, most: int) -> Table:
    """The best trials side by side, one line for each setting, as a terminal has room for.

    Args:
        result: the search.
        most: number of trials.
    """
    shown = _best_and_given(result, most)
    names = (f"trial {t.number}{' (given)' if t.number == 0 else ''}" for t in shown)
    rows: list[tuple[Any, ...]] = [(result.judge.name, *map(_error, shown))]
    spreads = [_over_folds(t) for t in shown]
    if any(spreads):
        rows.append(("± over folds", *("–" if s is None else f"{s:.2g}" for s in spreads)))
    for one in result.space.settings:
        rows.append((one.key, *(_value(one, t) for t in shown)))
    rows.append(("time (s)", *(f"{t.seconds:.3g}" for t in shown)))
    return Table(header=("", *names), rows=tuple(rows))


def _best_and_given(result: SearchResult, most: int) -> list[SearchTrial]:
    shown, start = result.complete[:most], result.trials[0]
    return shown if start in shown else [*shown, start]


def trials_table(result: SearchResult, most: int = _MOST) -> Table:
    """The best trials, and the given configuration with them.

    Args:
        result: the search.
        most: number of trials.
    """
    shown = _best_and_given(result, most)
    keys = [one.key for one in result.space.settings]
    return Table(
        header=("trial", result.judge.name, "± over folds", *keys, "time (s)"),
        rows=tuple(
            (
                f"{t.number} (given)" if t.number == 0 else str(t.number),
                t.error,
                _over_folds(t),
                *(_value(one, t) for one in result.space.settings),
                t.seconds,
            )
            for t in shown
        ),
    )


def search_sections(
    result: SearchResult,
    importance: Mapping[str, float],
    doubts: Sequence[Doubt],
    listing: str,
) -> list[Section]:
    """The report of a search.

    Args:
        result: the search.
        importance: of each setting.
        doubts: about data and search.
        listing: the best configuration as text.
    """
    sections = [
        Section(
            heading="Best settings",
            text=_what_is_compared(result) + (_IMPORTANCE if importance else ""),
            tables=(_settings_table(result, importance),),
        ),
        Section(heading="What to do next", points=tuple(advice_of_search(result))),
        *doubts_sections(doubts),
        Section(
            heading="Errors",
            text=(
                "Choose a setting below the second plot. Points of one setting differ in the "
                "others too: the lower edge of the cloud says what a value can reach."
            ),
            plots=(_course_plot(result), _settings_plot(result)),
        ),
        Section(heading="Best trials", tables=(trials_table(result),)),
    ]
    failed = [trial for trial in result.trials if trial.error is None]
    if failed:
        rows = tuple((str(t.number), _told(t), t.failure or "") for t in failed)
        table = Table(header=("trial", "settings", "reason"), rows=rows)
        sections.append(Section(heading="Failed trials", tables=(table,)))
    sections.append(_provenance(result))
    sections.append(Section(heading="Best configuration", listing=listing))
    return sections


def advice_of_search(result: SearchResult) -> Iterator[str]:
    """What a search suggests, the most important first."""
    best, n, data = result.best, len(result.trials), result.space.start.data
    yield (
        f"Train with best.yaml and judge it by a test set: the smallest of {n} errors is smaller "
        "than that of new structures would be."
    )
    if not (data.test or data.test_fraction > 0 or data.split):
        yield "There is no test set yet: set data.test, data.split or data.test_fraction."
    if best.number >= _SETTLED * n and n > 1:
        yield (
            f"The best trial is number {best.number} of {n - 1}: more may be found. The same "
            "command with a larger tune.trials goes on from these."
        )
    equal = [t for t in result.complete[1:] if t.folds and not Difference(t, best).is_clear]
    if equal:
        cheap = min(equal, key=lambda trial: trial.seconds)
        faster = ""
        if cheap.seconds < _FASTER * best.seconds:
            faster = f"; trial {cheap.number} took {cheap.seconds:.3g} s, not {best.seconds:.3g} s"
        several = "s" if len(equal) > 1 else ""
        yield f"{len(equal)} other trial{several} cannot be told from the best by folds{faster}."
    if data.group is None:
        yield (
            "Structures that are related, such as frames of one trajectory, flatter every trial: "
            "give them a data.group."
        )


def _what_is_compared(result: SearchResult) -> str:
    judge, config = result.judge, result.space.start
    if isinstance(config.regression, Network):
        unseen = f"{judge.n_unseen} structures that are set aside in each training"
    else:
        whole = "" if config.data.group is None else f", groups of '{config.data.group}' whole"
        unseen = f"{judge.n_folds} folds of the {judge.n_unseen} training structures{whole}"
    joined = ""
    if judge.spreads is not None:
        joined = (
            " Energies and forces count alike, each in per cent of its spread in the training set."
        )
    return f"Trials are compared by the {judge.name} on {unseen}; no test set was read.{joined}"


def _settings_table(result: SearchResult, importance: Mapping[str, float]) -> Table:
    start, best = result.trials[0], result.best
    rows: list[tuple[Any, ...]] = [
        (
            one.key,
            _value(one, start),
            _value(one, best),
            str(one),
            100 * importance[one.key] if one.key in importance else None,
        )
        for one in result.space.settings
    ]
    rows.append((result.judge.name, _error(start), _error(best), "", None))
    return Table(
        header=("setting", "given", "best", "searched", "importance (%)"),
        rows=tuple(rows),
        bar="importance (%)" if importance else None,
    )


def _value(one: SearchedSetting, trial: SearchTrial) -> str:
    value = trial.values[one.key]
    return "not given" if value is None else shown_value(value)


def _error(trial: SearchTrial) -> str:
    return "failed" if trial.error is None else f"{trial.error:.4g}"


def _over_folds(trial: SearchTrial) -> float | None:
    """Standard error of the mean over folds."""
    if len(trial.folds) < 2:
        return None
    return float(np.std(trial.folds, ddof=1)) / len(trial.folds) ** 0.5


def _course_plot(result: SearchResult) -> Plot:
    y, known = result.judge.name, [t for t in result.trials if t.error is not None]
    errors = np.array([t.error for t in known], dtype=float)
    numbers = np.array([t.number for t in known], dtype=float)
    best = np.minimum.accumulate(errors)
    return Plot(
        name="search",
        caption="Error of each trial in the order in which they were tried; the first is given.",
        x=("trial",),
        y=y,
        series=(
            _points("trials", known, {"trial": numbers, y: errors}),
            Series(name="best so far", columns={"trial": numbers, y: best}, line=True),
        ),
        log=_logarithmic(errors, y),
    )


def _settings_plot(result: SearchResult) -> Plot:
    """Error against every setting; what is no number by its place among the choices."""
    y, known = result.judge.name, [t for t in result.trials if t.error is not None]
    log, errors = set(), np.array([t.error for t in known], dtype=float)
    columns: dict[str, np.ndarray] = {}
    for one in result.space.settings:
        label, values = _axis(one, known)
        columns[label] = values
        if one.given.log:
            log.add(label)
    groups = {
        "trials": [k for k, t in enumerate(known) if t.number not in (0, result.best.number)],
        "given": [k for k, t in enumerate(known) if t.number == 0],
        "best": [k for k, t in enumerate(known) if t.number == result.best.number],
    }
    series = []
    for name, places in groups.items():
        own = {label: values[places] for label, values in columns.items()}
        own[y] = errors[places]
        if places:
            series.append(_points(name, [known[k] for k in places], own))
    return Plot(
        name="settings",
        caption="Error of each trial against one of its settings; bars: spread over folds.",
        x=tuple(columns),
        y=y,
        series=tuple(series),
        log=_logarithmic(errors, y) | frozenset(log),
    )


def _points(name: str, trials: Sequence[SearchTrial], columns: dict[str, np.ndarray]) -> Series:
    """Trials as points, each with its settings and the spread over folds."""
    spreads = np.array([_over_folds(t) or 0.0 for t in trials])
    labels = [f"trial {t.number}: {_told(t)}" for t in trials]
    if not spreads.any():
        return Series(name=name, columns=columns, labels=labels)
    spread = "± over folds"
    return Series(name=name, columns={**columns, spread: spreads}, labels=labels, spread=spread)


def _axis(one: SearchedSetting, trials: Sequence[SearchTrial]) -> tuple[str, np.ndarray]:
    """Label and numbers of a setting."""
    values = [trial.values[one.key] for trial in trials]
    if one.choices is not None and not all(_is_number(v) for v in one.choices):
        places = ", ".join(f"{k} {shown_value(v)}" for k, v in enumerate(one.choices))
        numbers = [one.choices.index(v) if v in one.choices else np.nan for v in values]
        return f"{one.key} ({places})", np.array(numbers, dtype=float)
    return one.key, np.array([v if _is_number(v) else np.nan for v in values], dtype=float)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _told(trial: SearchTrial) -> str:
    shown = (f"{key} {shown_value(value)}" for key, value in trial.values.items())
    return ", ".join(shown)


def _logarithmic(errors: np.ndarray, label: str) -> frozenset[str]:
    wide = len(errors) > 0 and errors.min() > 0 and errors.max() > _LOGARITHMIC * errors.min()
    return frozenset({label}) if wide else frozenset()


def _provenance(result: SearchResult) -> Section:
    """Versions, seeds and time; what each trial took is in the file of trials."""
    section = provenance_section(result.space.start, {})
    seconds = sum(trial.seconds for trial in result.trials)
    memory = max(trial.memory_gb for trial in result.trials)
    rows = [
        ("optuna", version("optuna")),
        ("search", f"{len(result.trials)} trials, seed {result.seed}"),
        ("time of all trials", f"{seconds:.0f} s, largest memory {memory:.2f} GB"),
    ]
    (table,) = section.tables
    whole = Table(header=table.header, rows=(*table.rows, *rows))
    return Section(heading="Provenance", tables=(whole,))
