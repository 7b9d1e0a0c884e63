"""`multilode evaluate`."""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from multilode.cli.baseline import load_with_baseline
from multilode.cli.notes import say
from multilode.cli.output import output_file
from multilode.cli.progress import progress_stages
from multilode.cli.tables import print_table
from multilode.config.store import read_metadata
from multilode.data.io import read
from multilode.errors import UserError, one_line
from multilode.models.targets import Target
from multilode.prediction.comparison import Errors
from multilode.prediction.evaluated import Evaluated
from multilode.prediction.evaluation import References, compared
from multilode.prediction.predictor import Predictor
from multilode.report.document import write_report
from multilode.report.error_tables import errors_note, table_by_group
from multilode.report.training_report import evaluation_sections
from multilode.report.viewer import viewer_html, viewer_source
from multilode.workflow.doubt import Doubt
from multilode.workflow.doubts_of_models import doubts_of_environments
from multilode.workflow.doubts_of_units import doubts_of_comparison, doubts_of_lengths


def run_evaluate(
    model: Path,
    structures: Sequence[Path],
    *,
    index: str,
    baseline: Path | None,
    as_json: bool,
    report: Path | None = None,
    viewed: bool = False,
    named: References,
    std: bool,
) -> None:
    """Predict structures, compare with the values in their files, print the errors.

    Args:
        structures: files with structures and references.
        index: which frames.
        baseline: configuration with the calculator of the baseline, if the model needs one.
        as_json: print JSON.
        report: page to write.
        viewed: whether the page shows structures in three dimensions.
        named: keys of the references in the files.
        std: whether it is counted how many errors are within their error bars.

    Raises:
        UserError: if a file, a structure or a value cannot be used.
    """
    if viewed and report is None:
        raise UserError("--structures shows structures in a page; name it with --report FILE.html")
    viewer = viewer_source() if viewed else None
    predictor, training = load_with_baseline(model, baseline), read_metadata(model)["training"]
    inputs = [model, *structures, *([] if baseline is None else [baseline])]
    with nullcontext() if report is None else output_file(report, inputs=inputs):
        with progress_stages() as stage:
            dataset = read(list(structures), index, progress=stage("reading structures"))
            part = compared(
                predictor,
                dataset,
                _as_trained(named, training),
                std=std,
                model=training.get("model", str(model)),
                split=", ".join(map(str, structures)),
                progress=stage("predicting"),
            )
            doubts = _doubts(predictor, part)
        if report is not None:
            _write_report(report, part, model, named.group, viewer)
    say(doubts)
    if as_json:
        contents = {"rows": part.errors.as_dicts(), "doubts": [one.as_dict() for one in doubts]}
        print(json.dumps(contents, indent=2))
        return
    _print_errors(part.errors, predictor.target)
    if report is not None:
        print(f"Written to {one_line(str(report))}.")


def _doubts(predictor: Predictor, part: Evaluated) -> list[Doubt]:
    return [
        *doubts_of_lengths(part.dataset),
        *doubts_of_environments(predictor, part.dataset, "these"),
        *doubts_of_comparison(part, "these"),
    ]


def _as_trained(named: References, training: Mapping[str, Any]) -> References:
    """The same, with what a training said of its references where nothing else is said."""
    return replace(
        named,
        component=training.get("component"),
        forces_unit=named.forces_unit or training.get("forces_unit"),
        stress_unit=named.stress_unit or training.get("stress_unit"),
    )


def _write_report(
    path: Path, part: Evaluated, model: Path, group: str | None, viewer: bytes | None
) -> None:
    shown = "" if viewer is None else viewer_html(part, viewer)
    write_report(
        path,
        f"{part.target.key}: {part.errors.model}",
        f"{len(part.dataset)} structures of {part.errors.split}.",
        evaluation_sections(part, model, group, shown),
    )


def _print_errors(errors: Errors, target: Target) -> None:
    print_table(table_by_group(errors, target))
    print(errors_note([errors]))
