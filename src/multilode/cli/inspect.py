"""`multilode inspect`."""

import json
from pathlib import Path
from typing import Any

from multilode.cli.tables import print_table
from multilode.config.store import ModelFileError, load, read_metadata
from multilode.models import MODELS, AbstractModel
from multilode.models.targets import with_unit
from multilode.prediction.model_baselines import model_of
from multilode.prediction.predictor import Predictor
from multilode.report.document import Table
from multilode.report.model_summary import (
    CALIBRATION_HEADER,
    CHANNEL_HEADER,
    SOURCE_HEADER,
    calibration_rows,
    channel_rows,
    model_rows,
    source_rows,
)
from multilode.structures.elements import chemical_symbol


def run_inspect(model: Path, *, as_json: bool) -> None:
    """Print the contents of a model file.

    Args:
        model: the model file.
        as_json: print all metadata as JSON.

    Raises:
        UserError: if the file cannot be used.
    """
    metadata = read_metadata(model)
    if as_json:
        print(json.dumps(metadata, indent=2))
        return
    predictor = load(model)
    try:
        tables = [
            _summary(metadata, predictor),
            _fields(metadata),
            Table(header=CHANNEL_HEADER, rows=tuple(channel_rows(predictor.representation))),
            Table(header=SOURCE_HEADER, rows=tuple(source_rows(predictor.representation))),
            _terms(predictor),
            _bars(predictor),
            _errors(metadata),
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(
            f"{model}: is incomplete ({type(error).__name__}: {error}); train the model again"
        ) from error
    for table in tables:
        if table.rows:
            print_table(table)
            print()


def _summary(metadata: dict[str, Any], predictor: Predictor) -> Table:
    target, training = metadata["target"], metadata["training"]
    representation = metadata["representation"]
    tolerance = representation.get("tolerance")  # files of format version 1 have none
    rows = [
        ("model", _kind(predictor.model)),
        ("format", f"{metadata['format_version']}, multilode {metadata['package_version']}"),
        ("target", f"{with_unit(target['key'], target['unit'])}, {target['reduce']} over centers"),
        ("tensor", target.get("tensor") or "no"),
        ("species", _symbols(representation["species"])),
        ("centers", _symbols(representation.get("centers", representation["species"]))),
        ("method", representation.get("method", "auto")),
        ("tolerance", "default" if tolerance is None else f"{tolerance:g}"),
    ]
    other = model_of(predictor.baseline.model)
    if other is not None:
        rows.append(("baseline", f"another model, {other.name}"))
    if "structures" in training:  # a training from Python may say anything else
        rows.append(("training structures", str(training["structures"])))
    if "target_range" in training:
        low, high = training["target_range"]
        rows.append(("training targets", f"{low:.6g} to {high:.6g} {target['unit']}".rstrip()))
    return Table(header=("what", "value"), rows=tuple(rows))


def _kind(model: AbstractModel) -> str:
    kinds = {cls.__name__: kind for kind, cls in MODELS.items()}
    own = kinds[type(model).__name__]
    bars = [part.bars for part in model.summary().parts if part.bars is not None]
    if not bars:
        return own
    if bars[0].members is None:
        return f"{own} with error bars"
    return f"{own}, {bars[0].n_members} members of kind {kinds[bars[0].members]}"


def _fields(metadata: dict[str, Any]) -> Table:
    kept = {row["field"]: row["kept"] for row in metadata["training"].get("bases", ())}
    rows = []
    for name, part in metadata["representation"]["fields"].items():
        field, radial = part["field"], part["basis"]
        others = {k: v for k, v in field.items() if k not in ("kind", "smearing")}
        texts = {k: f"{v:g}" if isinstance(v, int | float) else v for k, v in others.items()}
        named = [f"{'p' if k == 'exponent' else k} = {text}" for k, text in texts.items()]
        kind = ", ".join([field["kind"], *named])
        size = kept.get(name, radial.get("n_radial", len(radial.get("values", ()))))
        basis = f"{radial['kind']}, {size} radial, l to {part['max_angular']}"
        rows.append((name, kind, field["smearing"], basis, radial["radius"], _reach(part)))
    header = ("field", "kind", "smearing (Å)", "basis", "radius (Å)", "neighbors")
    return Table(header=header, rows=tuple(rows))


def _reach(part: dict[str, Any]) -> str:
    """Which atoms make a field."""
    if part["neighbor_cutoff"] is not None:
        return f"{part['neighbor_cutoff']:g} Å"
    if part.get("range", "all") == "all":  # files of format version 1 know no ranges
        return "all atoms"
    return f"{part['range']}, {part['near_radius']:g} Å"


def _terms(predictor: Predictor) -> Table:
    """Settings of each irrep of a tensor, or of the only part of other models."""
    rows = model_rows(predictor.model.summary(), predictor.representation)
    return Table(header=("part", "regularization", "term", "weight"), rows=tuple(rows))


def _bars(predictor: Predictor) -> Table:
    """Calibration of the error bars of committees."""
    rows = calibration_rows(predictor.model.summary())
    return Table(header=CALIBRATION_HEADER, rows=tuple(rows))


def _errors(metadata: dict[str, Any]) -> Table:
    unit = metadata["target"]["unit"]
    columns = ("n", "rmse", "mae", "rmse_percent")
    rows = metadata["training"].get("errors", ())
    return Table(
        header=("errors", "structures", with_unit("RMSE", unit), with_unit("MAE", unit), "RMSE%"),
        rows=tuple((_error_name(row, unit), *(row[c] for c in columns)) for row in rows),
    )


def _error_name(row: dict[str, Any], unit: str) -> str:
    """Set and component, with a unit of their own."""
    name = ", ".join([row["split"], *filter(None, [row.get("component")])])
    own = row.get("unit", unit)
    return name if own == unit else with_unit(name, own)


def _symbols(numbers: list[int]) -> str:
    return ", ".join(chemical_symbol(number) for number in numbers)
