"""Training runs and learning curves, on a page and in a metrics file."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from multilode.config.config import Config
from multilode.models import NetworkCommittee, NetworkModel, NetworkTensorModel
from multilode.models.targets import with_unit
from multilode.prediction.comparison import Errors
from multilode.prediction.learning import LearningCurve
from multilode.radial import orthonormalize
from multilode.radial.orthonormal import DEPENDENCE_THRESHOLD
from multilode.report.bars_report import bars_metrics, bars_section
from multilode.report.document import Picture, Section, Table
from multilode.report.error_tables import (
    PERCENT_NOTE,
    errors_note,
    table_by_set,
    tables_of_parts,
)
from multilode.report.model_summary import (
    CHANNEL_HEADER,
    SOURCE_HEADER,
    channel_rows,
    contraction_rows,
    model_rows,
    source_rows,
)
from multilode.report.network_report import network_section
from multilode.report.parity_report import force_sections, literal, parity_pictures
from multilode.report.plots import CurveSeries, error_bars, learning_curves
from multilode.representation import AbstractRepresentation
from multilode.workflow.doubts import Doubt
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
    rows = tuple((doubt.kind, literal(str(doubt))) for doubt in doubts)
    table = Table(header=("doubt", "look at"), rows=rows)
    return [Section(heading="Doubts", tables=(table,))] if doubts else []


def training_sections(
    run: TrainingRun, config: Config, listing: str, doubts: Sequence[Doubt] = ()
) -> list[Section]:
    """The report of a training run.

    Args:
        run: the training run.
        config: its settings.
        listing: the complete configuration as text.
        doubts: about data and errors.
    """
    errors = all_errors(run)
    sections = [
        Section(
            heading="Errors",
            text=errors_note(errors),
            tables=(table_by_set(errors, config.target),),
            pictures=parity_pictures(run, config.target),
        )
    ]
    sections += doubts_sections(doubts)
    grouped = run.splits.get("test", run.splits["train"]).errors
    if len(grouped.rows) > 1:
        sections.append(_group_section(grouped, config))
    sections += force_sections(run, config.target)
    parts = tables_of_parts(grouped, config.target)
    if parts:
        heading = f"Errors of the {grouped.split} set by size and element"
        sections.append(Section(heading=heading, tables=tuple(parts)))
    sections.append(_model_section(run, config))
    bars = bars_section(run, literal(config.target.unit))
    if bars is not None:
        sections.append(bars)
    sections.append(_basis_section(run.predictor.representation))
    sections.append(Section(heading="Configuration", listing=listing))
    return sections


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


def curve_figure(curve: LearningCurve, config: Config) -> Figure:
    """A learning curve in per cent of the standard deviation of the test set."""
    series = CurveSeries(
        sizes=list(curve.sizes),
        errors=curve.mean_percent.tolist(),
        spreads=curve.standard_error_percent.nan_to_num(0.0).tolist(),
    )
    name = literal(textwrap.fill(config.name, 40))  # a long name would cover the curve
    return learning_curves({name: series}, unit="% of the test deviation")


def curve_sections(curve: LearningCurve, config: Config, listing: str) -> list[Section]:
    """The report of a learning curve.

    Args:
        curve: the errors.
        config: the settings.
        listing: the complete configuration as text.
    """
    n_repeats = curve.rmse.shape[1]
    caption = f"Mean over {n_repeats} random subsets; bars show the standard error of the mean."
    return [
        Section(
            heading="Learning curve",
            text=PERCENT_NOTE,
            tables=(curve_table(curve, config.target.unit),),
            pictures=(Picture(figure=curve_figure(curve, config), caption=caption),),
        ),
        Section(heading="Configuration", listing=listing),
    ]


def _group_section(errors: Errors, config: Config) -> Section:
    unit = config.target.unit
    rows = errors.as_dicts()[1 : len(errors.rows)]
    table = Table(
        header=(
            config.data.group or "group",
            f"{config.target.per}s",
            with_unit("RMSE", unit),
            with_unit("MAE", unit),
        ),
        rows=tuple((row["group"], row["n"], row["rmse"], row["mae"]) for row in rows),
    )
    pictures = ()
    if len(rows) <= 40:  # more bars than this cannot be read
        by_group = {literal(row["group"]): row["rmse"] for row in rows}
        figure = error_bars({errors.split: by_group}, unit=literal(unit))
        pictures = (Picture(figure=figure, caption=f"RMSE of the {errors.split} set by group."),)
    heading = f"Errors of the {errors.split} set by {config.data.group}"
    return Section(heading=heading, tables=(table,), pictures=pictures)


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
