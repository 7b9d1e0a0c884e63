"""Training runs and learning curves, on a page and in a metrics file."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from multilode import __version__
from multilode.config.config import Config
from multilode.models import NetworkCommittee, NetworkModel, NetworkTensorModel
from multilode.models.targets import with_unit
from multilode.prediction.comparison import Errors
from multilode.prediction.evaluated import Evaluated
from multilode.prediction.learning import LearningCurve
from multilode.radial import orthonormalize
from multilode.radial.orthonormal import DEPENDENCE_THRESHOLD
from multilode.report.advice import advice_of_curve, advice_of_errors, advice_of_training
from multilode.report.bars_report import bars_metrics, bars_section, calibration_plots
from multilode.report.document import Section, Table
from multilode.report.error_plots import derivative_sections, prediction_section, worst_section
from multilode.report.error_tables import (
    PERCENT_NOTE,
    errors_note,
    part_sections,
    table_by_set,
)
from multilode.report.interactive import Plot, Series
from multilode.report.model_summary import (
    CHANNEL_HEADER,
    SOURCE_HEADER,
    channel_rows,
    contraction_rows,
    model_rows,
    source_rows,
)
from multilode.report.network_report import network_section
from multilode.report.plots import CurveSeries, learning_curves
from multilode.report.points import target_points
from multilode.report.provenance import provenance_section, set_rows
from multilode.representation import AbstractRepresentation
from multilode.workflow.doubt import Doubt
from multilode.workflow.experiment import TrainingRun


def all_errors(run: TrainingRun) -> list[Errors]:
    """Errors on the training set, in cross-validation and on the test set, as far as they exist."""
    between = [] if run.cross_validation is None else [run.cross_validation]
    splits = {name: part.errors for name, part in run.splits.items()}
    return [splits["train"], *between, *[splits[name] for name in ("test",) if name in splits]]


def metrics(
    run: TrainingRun, settings: dict[str, Any], doubts: Sequence[Doubt] = ()
) -> dict[str, Any]:
    """Contents of a metrics file.

    Args:
        run: the training run.
        settings: its configuration as plain data.
        doubts: about its data and errors.
    """
    rows = [row for errors in all_errors(run) for row in errors.as_dicts()]
    return {
        "rows": [row for row in rows if row["group"] == "all"],
        "groups": [row for row in rows if row["group"] != "all"],
        "error_bars": bars_metrics(run),
        "doubts": [doubt.as_dict() for doubt in doubts],
        "config": settings,
        "seed": settings["estimator"].get("seed", 0),
    }


def training_summary(run: TrainingRun, config: Config) -> dict[str, Any]:
    """Summary of the training set, for the model file."""
    part = run.splits["train"]
    counts = part.dataset.structures.counts
    known = part.reference[~part.predicted.values.reshape(part.reference.shape).isnan()]
    return {
        "model": config.name,
        "component": config.component,
        "forces_unit": None if config.forces is None else config.forces.unit,
        "stress_unit": None if config.stress is None else config.stress.unit,
        "structures": len(part.dataset),
        "atoms_per_structure": [int(counts.min()), int(counts.max())],
        "target_range": [float(known.min()), float(known.max())],
        "errors": [
            row for errors in all_errors(run) for row in errors.as_dicts() if row["group"] == "all"
        ],
        "bases": basis_rows(run.predictor.representation),
    }


def basis_rows(representation: AbstractRepresentation) -> list[dict[str, Any]]:
    """Independence of the radial functions of each field, and the number that remains of them."""
    rows = []
    for name, expansion in representation.fields.items():
        functions = orthonormalize(expansion.basis, expansion.max_angular)
        rows.append(
            {
                "field": name,
                "requested": functions.n_primitives,
                "kept": functions.n_radial,
                "dependence": float(functions.dependence.min()),
            }
        )
    return rows


def basis_warnings(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One sentence for each basis that lost functions."""
    return [
        f"field '{row['field']}': only {row['kept']} of {row['requested']} radial functions are "
        "linearly independent and were kept; a smaller n_radial says the same"
        for row in rows
        if row["kept"] < row["requested"]
    ]


def doubts_sections(doubts: Sequence[Doubt]) -> list[Section]:
    """What to look at; no section without doubts."""
    rows = tuple((doubt.kind, str(doubt)) for doubt in doubts)
    table = Table(header=("doubt", "look at"), rows=rows)
    return [Section(heading="Doubts", tables=(table,))] if doubts else []


def training_sections(
    run: TrainingRun,
    config: Config,
    listing: str,
    doubts: Sequence[Doubt] = (),
    viewer: str = "",
) -> list[Section]:
    """The report of a training run.

    Args:
        run: the training run.
        config: its settings.
        listing: the complete configuration as text.
        doubts: about data and errors.
        viewer: HTML that shows structures with large errors.
    """
    errors = all_errors(run)
    sections = [
        Section(
            heading="Errors",
            text=errors_note(errors),
            tables=(table_by_set(errors, config.target),),
        ),
        Section(heading="What to do next", points=advice_of_training(run, config)),
    ]
    sections += doubts_sections(doubts)
    sections += [prediction_section(run.splits, config.target)]
    sections += derivative_sections(run.splits, config.target)
    grouped = run.splits.get("test", run.splits["train"]).errors
    sections += part_sections(grouped, config.target, config.data.group, name=grouped.split)
    sections += worst_section(run.splits, config.target, viewer=viewer)
    sections.append(_model_section(run, config))
    bars = bars_section(run, config.target.unit)
    if bars is not None:
        sections.append(bars)
    sections.append(_basis_section(run.predictor.representation))
    sections.append(provenance_section(config, run.splits))
    sections.append(Section(heading="Configuration", listing=listing, folded=True))
    return sections


def evaluation_sections(
    part: Evaluated, model: Path, group: str | None, viewer: str = ""
) -> list[Section]:
    """The report of a model on structures with references.

    Args:
        part: the structures with predictions.
        model: file of the model.
        group: key by which errors are listed.
        viewer: HTML that shows structures with large errors.
    """
    target, splits = part.target, {"data": part}
    errors = Section(
        heading="Errors",
        text=errors_note([part.errors]),
        tables=(table_by_set([replace(part.errors, split="data")], target),),
    )
    sections = [errors]
    advice = advice_of_errors(part, name="data")
    if advice:
        sections.append(Section(heading="What to do next", points=tuple(advice)))
    sections.append(prediction_section(splits, target))
    sections += derivative_sections(splits, target)
    sections += part_sections(part.errors, target, group, name="data")
    sections += worst_section(splits, target, viewer=viewer)
    bars = target_points(part)
    if bars.bars is not None:
        plots = calibration_plots({"data": (bars.bars, bars.errors)}, target.unit)
        sections.append(Section(heading="Error bars", plots=plots))
    rows = [("model", str(model)), *set_rows(splits), ("multilode", __version__)]
    table = Table(header=("what", "value"), rows=tuple(rows))
    return [*sections, Section(heading="Provenance", tables=(table,))]


def curve_table(curve: LearningCurve, unit: str) -> Table:
    """A learning curve as a table."""
    columns = (curve.mean, curve.standard_error, curve.mean_percent)
    return Table(
        header=("training structures", with_unit("RMSE", unit), "± standard error", "RMSE%"),
        rows=tuple(
            (size, *(_finite(column[k].item()) for column in columns))
            for k, size in enumerate(curve.sizes)
        ),
    )


def curve_rows(curve: LearningCurve, config: Config) -> list[dict[str, Any]]:
    """A learning curve as plain data, one row per size."""
    return [
        {
            "model": config.name,
            "split": "test",
            "n_train": size,
            "rmse": curve.mean[k].item(),
            "standard_error": _finite(curve.standard_error[k].item()),
            "rmse_percent": curve.mean_percent[k].item(),
            "rmse_of_repeats": curve.rmse[k].tolist(),
            "unit": config.target.unit,
        }
        for k, size in enumerate(curve.sizes)
    ]


def curve_plot(curve: LearningCurve, config: Config) -> Plot:
    """A learning curve in per cent of the standard deviation of the test set."""
    x, y, spread = "training structures", "test RMSE (% of the test deviation)", "standard error"
    columns = {
        x: np.array(curve.sizes, dtype=float),
        y: curve.mean_percent.double().numpy(),
        spread: curve.standard_error_percent.nan_to_num(0.0).double().numpy(),
        with_unit("test RMSE", config.target.unit): curve.mean.double().numpy(),
    }
    n_repeats = curve.rmse.shape[1]
    return Plot(
        name="learning curve",
        caption=f"Mean over {n_repeats} random subsets; bars show the standard error of the mean.",
        x=(x,),
        y=y,
        series=(Series(name=config.name, columns=columns, line=True, spread=spread),),
        log=frozenset({x, y}),
    )


def curve_figure(curve: LearningCurve, config: Config) -> Figure:
    """The same as a figure for a file."""
    series = CurveSeries(
        sizes=list(curve.sizes),
        errors=curve.mean_percent.tolist(),
        spreads=curve.standard_error_percent.nan_to_num(0.0).tolist(),
    )
    # a long name would cover the curve, and dollar signs would make a formula of it
    name = textwrap.fill(config.name, 40).replace("$", r"\$")
    return learning_curves({name: series}, unit="% of the test deviation")


def curve_sections(curve: LearningCurve, config: Config, listing: str) -> list[Section]:
    """The report of a learning curve.

    Args:
        curve: the errors.
        config: the settings.
        listing: the complete configuration as text.
    """
    return [
        Section(
            heading="Learning curve",
            text=PERCENT_NOTE,
            tables=(curve_table(curve, config.target.unit),),
            plots=(curve_plot(curve, config),),
        ),
        Section(heading="What to do next", points=advice_of_curve(curve)),
        provenance_section(config, {}),
        Section(heading="Configuration", listing=listing, folded=True),
    ]


def _model_section(run: TrainingRun, config: Config) -> Section:
    model = run.predictor.model
    if isinstance(model, NetworkModel | NetworkTensorModel | NetworkCommittee):
        return network_section(model, config.target.unit, forces=config.forces is not None)
    rows = model_rows(run.predictor.model.summary(), run.predictor.representation)
    tables = [Table(header=("part", "regularization", "term", "weight"), rows=tuple(rows))]
    mixed = channel_rows(run.predictor.representation)
    if mixed:
        tables.append(Table(header=CHANNEL_HEADER, rows=tuple(mixed)))
    sources = source_rows(run.predictor.representation)
    if sources:
        tables.append(Table(header=SOURCE_HEADER, rows=tuple(sources)))
    kept = contraction_rows(run.predictor.representation)
    if kept:
        header = ("product", "irrep", "features", "kept", "variance (%)")
        tables.append(Table(header=header, rows=tuple(kept)))
    return Section(
        heading="Model",
        text=(
            "Regularization relative to the mean eigenvalue of the kernel; weights of the terms as "
            "used, chosen by cross-validation on the training set unless they were given."
        ),
        tables=tuple(tables),
    )


def _basis_section(representation: AbstractRepresentation) -> Section:
    found = basis_rows(representation)
    header = ("field", "radial functions", "kept", "eigenvalue ratio")
    rows = tuple((r["field"], r["requested"], r["kept"], r["dependence"]) for r in found)
    return Section(
        heading="Radial bases",
        text=" ".join(
            [
                "Smallest over largest eigenvalue of the overlap of the normalised functions; "
                f"combinations below {DEPENDENCE_THRESHOLD:.0e} are dropped.",
                *[f"Note: {warning}." for warning in basis_warnings(found)],
            ]
        ),
        tables=(Table(header=header, rows=rows),),
    )


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value
