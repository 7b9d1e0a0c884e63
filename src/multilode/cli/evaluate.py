"""`multilode evaluate`."""

import json
from collections.abc import Sequence
from pathlib import Path

from multilode.cli.progress import progress_stages
from multilode.cli.tables import print_table
from multilode.evaluation import evaluate, predict, target_values
from multilode.io import read
from multilode.report import Table
from multilode.store import load, read_metadata
from multilode.targets import with_unit
from multilode.training_report import PERCENT_NOTE


def run_evaluate(
    model: Path,
    structures: Sequence[Path],
    *,
    index: str,
    key: str | None,
    group: str | None,
    as_json: bool,
) -> None:
    """Predict structures, compare with the values in their files, print the errors.

    Args:
        model: the model file.
        structures: files with structures and references.
        index: which frames.
        key: property to compare with; None for that of the training.
        group: key by which errors are listed.
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
        predicted = predict(predictor, dataset, progress=stage("predicting"))
    errors = evaluate(
        predicted,
        reference,
        model=training.get("model", str(model)),
        split=", ".join(str(path) for path in structures),
        unit=unit,
        groups=groups,
        tensor=target.tensor,
    )
    rows = errors.as_dicts()
    if as_json:
        print(json.dumps({"rows": rows}, indent=2))
        return
    header = ("group", f"{target.per}s", with_unit("RMSE", unit), with_unit("MAE", unit), "RMSE%")
    columns = ("n", "rmse", "mae", "rmse_percent")
    listed = tuple((r.get("component", r["group"]), *(r[c] for c in columns)) for r in rows)
    print_table(Table(header=header, rows=listed))
    print(PERCENT_NOTE)
