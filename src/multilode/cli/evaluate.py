"""`multilode evaluate`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multilode.cli.baseline import load_with_baseline
from multilode.cli.notes import say
from multilode.cli.progress import progress_stages
from multilode.cli.tables import print_table
from multilode.config.store import read_metadata
from multilode.data.io import read
from multilode.models.targets import Target
from multilode.prediction.comparison import Errors
from multilode.prediction.evaluation import evaluate
from multilode.report.error_tables import errors_note, table_by_group
from multilode.workflow.doubts_of_models import doubts_of_environments


def run_evaluate(
    model: Path,
    structures: Sequence[Path],
    *,
    index: str,
    baseline: Path | None,
    as_json: bool,
    **compared: Any,
) -> None:
    """Predict structures, compare with the values in their files, print the errors.

    Args:
        structures: files with structures and references.
        index: which frames.
        baseline: configuration with the calculator of the baseline, if the model needs one.
        as_json: print JSON.
        compared: `key`, `group`, `forces`, `stress` and `std` as for `evaluate`.

    Raises:
        UserError: if a file, a structure or a value cannot be used.
    """
    predictor, training = load_with_baseline(model, baseline), read_metadata(model)["training"]
    with progress_stages() as stage:
        dataset = read(list(structures), index, progress=stage("reading structures"))
        errors = evaluate(
            predictor,
            dataset,
            component=training.get("component"),
            model=training.get("model", str(model)),
            split=", ".join(map(str, structures)),
            progress=stage("predicting"),
            **compared,
        )
        doubts = list(doubts_of_environments(predictor, dataset, "these"))
    say(doubts)
    if as_json:
        contents = {"rows": errors.as_dicts(), "doubts": [doubt.as_dict() for doubt in doubts]}
        print(json.dumps(contents, indent=2))
    else:
        _print_errors(errors, predictor.target)


def _print_errors(errors: Errors, target: Target) -> None:
    print_table(table_by_group(errors, target))
    print(errors_note([errors]))
