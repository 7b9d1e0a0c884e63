"""Error bars in the report of a training run."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import erf
from torch import Tensor

from multilode.models.committee.calibration import coverage, fraction_inside
from multilode.models.summary import BarsSummary, ModelSummary, PartSummary
from multilode.models.targets import with_unit
from multilode.prediction.evaluated import Evaluated
from multilode.report.document import Section, Table
from multilode.report.interactive import Guide, Plot, Series, chosen_points
from multilode.report.model_summary import CALIBRATION_HEADER, calibration_rows, part_name
from multilode.workflow.experiment import TrainingRun

_NOTE_OF_POSTERIOR = (
    "The error bar of a prediction is alpha times the standard deviation that the weights of the "
    "last layers leave it, were they fitted to the training energies alone. Alpha was found on the "
    "structures that were set aside for validation."
)
_NOTE = (
    "The error bar of a prediction is alpha times the standard deviation of the members. Alpha was "
    "found on the training points that at least a quarter of the members had not seen. Few members "
    "know their own spread badly: fewer errors than the 68 % of a Gaussian are expected within one "
    "bar."
)


def bars_metrics(run: TrainingRun) -> list[dict[str, Any]]:
    """Calibration of each part of a model, then how often test errors are within their bars."""
    summary, rows = run.predictor.model.summary(), []
    for part, bars in _known_bars(summary):
        found = bars.calibration
        rows.append(
            {
                "split": "left out",
                "part": part_name(summary, part),
                "alpha": found.scale.tolist(),
                "n": len(found.errors),
                "inside_percent": 100 * found.inside,
                "expected_percent": 100 * found.expected,
            }
        )
    names = ("split", "n", "inside_percent", "expected_percent")
    tested = [dict(zip(names, row, strict=True)) for row in _tested(run)]
    return rows + [{"part": "all", "alpha": None, **row} for row in tested]


def bars_tables(run: TrainingRun) -> list[Table]:
    """The same as tables; none for models without error bars."""
    tables = []
    if _found(run):
        tables.append(Table(header=CALIBRATION_HEADER, rows=tuple(_found(run))))
    if _tested(run):
        header = ("set", "numbers", "within the bar (%)", "expected (%)")
        tables.append(Table(header=header, rows=tuple(_tested(run))))
    return tables


def bars_section(run: TrainingRun, unit: str) -> Section | None:
    """The report on error bars; None for models without error bars."""
    tables = bars_tables(run)
    if not tables:
        return None
    summary, shown = run.predictor.model.summary(), {}
    committee = all(bars.n_members is not None for _, bars in _known_bars(summary))
    for part, bars in _known_bars(summary):
        name = "" if summary.tensor is None else f", l = {part.irrep.degree}"
        shown[f"left out{name}"] = (bars.calibration.bars, bars.calibration.errors)
    if "test" in run.splits:
        shown["test"] = _bars_and_errors(run.splits["test"])
    series = {name: (_known(bars), _known(errors)) for name, (bars, errors) in shown.items()}
    return Section(
        heading="Error bars",
        text=_NOTE if committee else _NOTE_OF_POSTERIOR,
        tables=tuple(tables),
        plots=calibration_plots(series, unit),
    )


def calibration_plots(
    series: Mapping[str, tuple[Float[np.ndarray, " a"], Float[np.ndarray, " a"]]], unit: str
) -> tuple[Plot, ...]:
    """Errors against their bars, and how many are within multiples of them.

    Args:
        series: bars and errors, by name.
        unit: of both.
    """
    x, y = with_unit("error bar", unit), with_unit("|error|", unit)
    within, share = "multiple of the error bar", "errors within (%)"
    multiples = np.linspace(0, 3, 61)
    scattered, counted = [], []
    for name, (bars, errors) in series.items():
        some = chosen_points(np.abs(errors))
        columns = {x: bars[some], y: np.abs(errors[some])}
        scattered.append(Series(name=f"{name} ({len(errors)})", columns=columns))
        known = np.abs(errors)[:, None] <= multiples * bars[:, None]
        part = 100 * known.mean(axis=0) if len(errors) else np.full(len(multiples), np.nan)
        counted.append(Series(name=name, columns={within: multiples, share: part}, line=True))
    gaussian = {within: multiples, share: 100 * erf(multiples / 2**0.5)}
    counted.append(Series(name="a Gaussian", columns=gaussian, line=True))
    scatter = Plot(
        name="errors and their bars",
        caption="Errors against error bars; the lines are at one and two bars.",
        x=(x,),
        y=y,
        series=tuple(scattered),
        log=frozenset({x, y}),
        guides=(Guide(1.0), Guide(2.0, dashed=True)),
    )
    counts = Plot(
        name="calibration",
        caption="How many errors are smaller than a multiple of their bars: above the curve of a "
        "Gaussian bars are too long, below it too short.",
        x=(within,),
        y=share,
        series=tuple(counted),
    )
    return scatter, counts


def _found(run: TrainingRun) -> list[tuple[str, str, int, float, float]]:
    return calibration_rows(run.predictor.model.summary())


def _tested(run: TrainingRun) -> list[tuple[str, int, float, float]]:
    known = [bars for _, bars in _known_bars(run.predictor.model.summary())]
    if not known or "test" not in run.splits:
        return []
    bars, errors = _bars_and_errors(run.splits["test"])
    expected, n_members = known[0].calibration.expected, known[0].n_members
    if n_members is not None:  # which all tell about the test set, unlike points left out
        expected = float(coverage(torch.tensor([n_members - 1.0], dtype=torch.float64)))
    inside = 100 * fraction_inside(errors, bars)
    return [("test", int((~errors.isnan()).sum()), inside, 100 * expected)]


def _known_bars(summary: ModelSummary) -> list[tuple[PartSummary, BarsSummary]]:
    """The error bars of each irrep of a tensor, or the only ones."""
    return [(part, part.bars) for part in summary.parts if part.bars is not None]


def _bars_and_errors(part: Evaluated) -> tuple[Float[Tensor, " _"], Float[Tensor, " _"]]:
    bars = part.predicted.std
    if bars is None:  # what was predicted without them
        bars = torch.full_like(part.predicted.values, torch.nan)
    return bars.flatten(), part.predicted.values.flatten() - part.reference.flatten()


def _known(values: Float[Tensor, "..."]) -> Float[np.ndarray, " _"]:
    flat = values.flatten()
    return flat[~flat.isnan()].numpy()
