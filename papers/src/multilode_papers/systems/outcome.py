"""Results of a reproduced system: rows of errors, figures, sentences, and all settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from multilode.report import Picture, Table


@final
@dataclass(frozen=True, kw_only=True)
class Row:
    """The error of one model on one set.

    Args:
        model: its name.
        data: name of the data set.
        subset: which structures, such as `test` or `extrapolation`.
        n_train: number of training structures.
        rmse: root mean squared error.
        rmse_percent: over the standard deviation of the subset (ddof = 0), times 100; None where
            the target does not vary, or the row is no error.
        unit: of the RMSE.
        paper: value of the paper, in the unit that `paper_unit` names; None if no number.
        paper_unit: `%` if the paper gives an RMSE%, otherwise its unit.
    """

    model: str
    data: str
    subset: str
    n_train: int
    rmse: float
    rmse_percent: float | None
    unit: str
    paper: float | None = None
    paper_unit: str = "%"

    @property
    def key(self) -> tuple[str, str, str, int]:
        """The identity of a row."""
        return self.model, self.data, self.subset, self.n_train


@final
@dataclass(frozen=True, kw_only=True)
class DataUsed:
    """A data set of a study.

    Args:
        name: in the catalogue.
        structures: number of those used.
        paper: number of those of the paper; None if that is not known.
        origin: level of theory or source, and whether it is model data.
    """

    name: str
    structures: int
    paper: int | None
    origin: str


@final
@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Everything that a system gives.

    Args:
        rows: errors, of which `--check` compares each.
        data: the data sets.
        config: every hyper-parameter and split, plain types.
        seed: of everything random.
        pictures: figures by file name, without suffix.
        tables: more numbers, by heading.
        notes: conclusions, one sentence or two each; made from the numbers.
        numbers: single values that `--check` compares too.
    """

    rows: tuple[Row, ...]
    data: tuple[DataUsed, ...]
    config: Mapping[str, Any]
    seed: int
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)


def metrics(system: str, outcome: Outcome, *, quick: bool) -> dict[str, Any]:
    """The same as plain types, for `metrics.json`.

    Args:
        system: name of the system.
        outcome: its results.
        quick: whether it was the short form.
    """
    return {
        "system": system,
        "quick": quick,
        "data": [vars(data) for data in outcome.data],
        "seed": outcome.seed,
        "config": dict(outcome.config),
        "rows": [vars(row) for row in outcome.rows],
        "numbers": dict(outcome.numbers),
    }


def rows_table(outcome: Outcome) -> Table:
    """Our errors beside those of the paper."""
    several = len({row.data for row in outcome.rows}) > 1
    lines = []
    for row in outcome.rows:
        paper = "–" if row.paper is None else f"{row.paper:g} {row.paper_unit}"
        place = f"{row.data}: {row.subset}" if several else row.subset
        ours = f"{row.rmse:.3g} {row.unit}"
        percent = "–" if row.rmse_percent is None else f"{row.rmse_percent:.3g}"
        lines.append((row.model, place, row.n_train, ours, percent, paper))
    header = ("model", "set", "n_train", "RMSE", "RMSE%", "paper")
    return Table(header=header, rows=tuple(lines))
