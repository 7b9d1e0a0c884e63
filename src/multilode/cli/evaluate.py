"""`multilode evaluate`."""

import json
from collections.abc import Sequence
from pathlib import Path

from multilode.cli.progress import progress_stages
from multilode.cli.tables import print_table
from multilode.config.store import load, read_metadata
from multilode.data.io import read
from multilode.models.targets import Target
from multilode.prediction.evaluation import Errors, evaluate
from multilode.report.error_tables import errors_note, table_by_group


def run_evaluate(
    model: Path,
    structures: Sequence[Path],
    *,
    index: str,
    key: str | None,
    group: str | None,
    forces: str | None,
    as_json: bool,
) -> None:
    """Predict structures, compare with the values in their files, print the errors.

    Args:
        structures: files with structures and references.
        index: which frames.
        key: property to compare with; None for that of the training.
        group: key by which errors are listed.
        forces: property of atoms to compare forces with; None compares no forces.

    Raises:
        UserError: if a file, a structure or a value cannot be used.
    """
    predictor, training = load(model), read_metadata(model)["training"]
    with progress_stages() as stage:
        dataset = read(list(structures), index, progress=stage("reading structures"))
        errors = evaluate(
            predictor,
            dataset,
            key=key,
            component=training.get("component"),
            group=group,
            forces=forces,
            model=training.get("model", str(model)),
            split=", ".join(map(str, structures)),
            progress=stage("predicting"),
        )
    if as_json:
        print(json.dumps({"rows": errors.as_dicts()}, indent=2))
    else:
        _print_errors(errors, predictor.target)


def _print_errors(errors: Errors, target: Target) -> None:
    print_table(table_by_group(errors, target))
    print(errors_note(tensor=target.tensor is not None, forces=errors.forces is not None))
