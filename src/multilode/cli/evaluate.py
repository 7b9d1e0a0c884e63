"""`multilode evaluate`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multilode.cli.progress import progress_stages
from multilode.cli.tables import print_table
from multilode.config.store import load, read_metadata
from multilode.data.io import read
from multilode.models.targets import with_unit
from multilode.prediction.evaluation import evaluate, force_values, predict, target_values
from multilode.report.document import Table
from multilode.report.training_report import FORCES_NOTE, PERCENT_NOTE


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
    predictor = load(model)
    training = read_metadata(model)["training"]
    unit = predictor.target.unit
    with progress_stages() as stage:
        dataset = read(list(structures), index, progress=stage("reading structures"))
        component = training.get("component")
        target = predictor.target
        chosen = (key or target.key, component, target.tensor, target.per)
        reference = target_values(dataset, *chosen)
        groups = None if group is None else dataset.labels(group)
        if groups is not None and target.per == "atom":
            groups = [groups[i] for i in dataset.structures.structure_index.tolist()]
        wanted = None if forces is None else force_values(dataset, forces)
        predicted = predict(
            predictor, dataset, progress=stage("predicting"), forces=wanted is not None
        )
    errors = evaluate(
        predicted,
        reference,
        model=training.get("model", str(model)),
        split=", ".join(str(path) for path in structures),
        unit=unit,
        groups=groups,
        tensor=target.tensor,
        forces=wanted,
    )
    rows = errors.as_dicts()
    if as_json:
        print(json.dumps({"rows": rows}, indent=2))
        return
    header = ("group", f"{target.per}s", with_unit("RMSE", unit), with_unit("MAE", unit), "RMSE%")
    columns = ("n", "rmse", "mae", "rmse_percent")
    listed = tuple((_name(r, unit), *(r[c] for c in columns)) for r in rows)
    print_table(Table(header=header, rows=listed))
    print(PERCENT_NOTE if wanted is None else f"{PERCENT_NOTE} {FORCES_NOTE}")


def _name(row: dict[str, Any], unit: str) -> str:
    """Group or component, with its unit where that is another than in the header."""
    name = row.get("component", row["group"])
    return name if row["unit"] == unit else with_unit(name, row["unit"])
