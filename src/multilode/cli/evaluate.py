"""`multilode evaluate`."""

import json
from collections.abc import Sequence
from pathlib import Path

from multilode.cli.progress import progress_stages
from multilode.cli.tables import print_table
from multilode.config.store import load, read_metadata
from multilode.data.dataset import Dataset
from multilode.data.io import read
from multilode.models.targets import Target
from multilode.prediction.evaluation import (
    Component,
    Errors,
    evaluate,
    force_values,
    predict,
    target_values,
)
from multilode.prediction.predictor import Predictor
from multilode.progress import Progress
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
        model: the model file.
        structures: files with structures and references.
        index: which frames.
        key: property to compare with; None for that of the training.
        group: key by which errors are listed.
        forces: property of atoms to compare forces with; None compares no forces.
        as_json: print JSON instead of a table.

    Raises:
        UserError: if a file, a structure or a value cannot be used.
    """
    predictor, training = load(model), read_metadata(model)["training"]
    with progress_stages() as stage:
        dataset = read(list(structures), index, progress=stage("reading structures"))
        names = training.get("model", str(model)), ", ".join(map(str, structures))
        compared = key or predictor.target.key, training.get("component"), group, forces
        errors = _errors(predictor, dataset, compared, names, stage("predicting"))
    if as_json:
        print(json.dumps({"rows": errors.as_dicts()}, indent=2))
    else:
        _print_errors(errors, predictor.target)


def _print_errors(errors: Errors, target: Target) -> None:
    print_table(table_by_group(errors, target))
    print(errors_note(tensor=target.tensor is not None, forces=errors.forces is not None))


def _errors(
    predictor: Predictor,
    dataset: Dataset,
    compared: tuple[str, Component, str | None, str | None],
    names: tuple[str, str],
    progress: Progress,
) -> Errors:
    """Errors of the predictions of a data set; its references are read before anything else.

    Args:
        predictor: what predicts.
        dataset: structures with references.
        compared: key and component of the references, key of groups, key of forces.
        names: of the model and of the set.
        progress: of the predictions.
    """
    (key, component, group, forces), target = compared, predictor.target
    reference = target_values(dataset, key, component, target.tensor, target.per)
    groups = None if group is None else dataset.labels(group)
    if groups is not None and target.per == "atom":
        groups = [groups[i] for i in dataset.structures.structure_index.tolist()]
    wanted = None if forces is None else force_values(dataset, forces)
    return evaluate(
        predict(predictor, dataset, progress=progress, forces=wanted is not None),
        reference,
        model=names[0],
        split=names[1],
        unit=target.unit,
        groups=groups,
        tensor=target.tensor,
        forces=wanted,
    )
