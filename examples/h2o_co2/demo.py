"""Train local and multi-scale models of H2O...CO2, extrapolate far beyond their distances.

Prints a table, and writes report.html and metrics.json.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from multilode.cli import print_table, progress_stages
from multilode.config import config_from_dict
from multilode.data import Dataset, concatenate
from multilode.datasets import file_paths, load
from multilode.files import write_json
from multilode.prediction.evaluation import Errors, compare, predict, target_values
from multilode.report import Guide, Plot, Section, Series, Table, write_report
from multilode.workflow.experiment import TrainingRun, run_training
from multilode.workflow.sets import Sets

DATA = "water-co2"  # ships with multilode
SEED = 0
N_HELD_OUT = 7  # of 33 relative orientations
SHOWN_CURVES = 2
SPLITS = ("train", "new orientations", "extrapolation")  # new and far in the table

RADIAL = {"kind": "monomial", "n_radial": 1, "radius": 2.0}


def model_settings(max_angular: int, features: list[list[str]]) -> dict[str, Any]:
    """Fields on bases with one angular cutoff, and which of them are multiplied."""
    potential = {
        "kind": "potential",
        "smearing": 0.5,
        "basis": {**RADIAL, "max_angular": max_angular},
    }
    fields = {
        "rho": {"kind": "density", "basis": {"n_radial": 4, "max_angular": max_angular}},
        "V1": {**potential, "exponent": 1.0},
        "V6": {**potential, "exponent": 6.0},
    }
    used = {name for pair in features for name in pair}
    return {
        "data": {
            "train": [str(file_paths(DATA, part)[0]) for part in ("train", "dissociated")],
            "group": "orientation",
        },
        "target": {"key": "interaction_energy", "unit": "eV", "baseline": "none"},
        "cutoff": 3.0,
        "fields": {name: part for name, part in fields.items() if name in used},
        "features": features,
        "estimator": {"kind": "ridge", "seed": SEED},
    }


MODELS = {
    "rho x rho (local)": model_settings(3, [["rho", "rho"]]),
    "rho x V1, l = 0": model_settings(0, [["rho", "V1"]]),
    "rho x V1, l <= 1": model_settings(1, [["rho", "V1"]]),
    "rho x V1, l <= 2": model_settings(2, [["rho", "V1"]]),
    "rho x (V1, V6), l <= 2": model_settings(2, [["rho", "V1"], ["rho", "V6"]]),
}


def load_splits() -> tuple[Dataset, Dataset, Dataset]:
    """Training set with its dissociation limit, orientations held out, and far distances."""
    near = load(DATA, "train")
    labels = np.array(near.labels("orientation"))
    chosen = np.random.default_rng(SEED).choice(np.unique(labels), N_HELD_OUT, replace=False)
    held_out = np.isin(labels, chosen)
    dissociated = load(DATA, "dissociated")
    kept = ~np.isin(np.array(dissociated.labels("orientation")), chosen)
    train_set = concatenate(
        [near.select(np.flatnonzero(~held_out)), dissociated.select(np.flatnonzero(kept))]
    )
    return train_set, near.select(np.flatnonzero(held_out)), load(DATA, "extrapolation")


def evaluate_splits(
    name: str, run: TrainingRun, splits: dict[str, Dataset]
) -> tuple[list[Errors], dict[str, np.ndarray]]:
    """Errors of one model and its predictions (eV) on every split."""
    errors, predictions = [], {}
    for split, part in splits.items():
        reference = target_values(part, "interaction_energy")
        predicted = predict(run.predictor, part)
        errors.append(compare(predicted, reference, run.predictor.target, model=name, split=split))
        predictions[split] = predicted.values.numpy()
    return errors, predictions


def error_table(rows: list[dict[str, Any]]) -> Table:
    """One line per model, RMSE in meV and RMSE% of each split."""
    short = ("train", "new", "far")
    header = ("RMSE", *[f"{split} {unit}" for split in short for unit in ("meV", "%")])
    lines = []
    for name in MODELS:
        mine = {row["split"]: row for row in rows if row["model"] == name}
        numbers = [(1e3 * mine[s]["rmse"], mine[s]["rmse_percent"]) for s in SPLITS]
        lines.append((name, *[value for pair in numbers for value in pair]))
    return Table(header=header, rows=tuple(lines))


def join(parts: dict[str, np.ndarray]) -> np.ndarray:
    """Near and far values of orientations that no model has seen."""
    return np.concatenate([parts["new orientations"], parts["extrapolation"]])


def curves(splits: dict[str, Dataset], predictions: dict[str, dict[str, np.ndarray]]) -> list[Plot]:
    """Binding curves of orientations that no model has seen, near and far distances joined."""
    unseen = splits["new orientations"]
    labels = join({name: np.array(part.labels("orientation")) for name, part in splits.items()})
    distance = join({name: part.column("distance") for name, part in splits.items()})
    energy = join({name: part.column("interaction_energy") for name, part in splits.items()})
    strength = {
        label: np.abs(energy[labels == label]).max()
        for label in dict.fromkeys(unseen.labels("orientation"))
    }
    plots = []
    x, y = "distance (Å)", "interaction energy (meV)"
    for label in sorted(strength, key=strength.get, reverse=True)[:SHOWN_CURVES]:
        mine = np.flatnonzero(labels == label)
        mine = mine[np.argsort(distance[mine])]
        models = {name: join(predictions[name])[mine] for name in MODELS}
        lines = {name: {x: distance[mine], y: 1e3 * energies} for name, energies in models.items()}
        reference = Series(name="reference", columns={x: distance[mine], y: 1e3 * energy[mine]})
        plots.append(
            Plot(
                name=f"binding {label}",
                caption=f"Orientation {label}, which was held out; shaded: distances of the "
                "training set.",
                x=(x,),
                y=y,
                series=(
                    *[Series(name=n, columns=columns, line=True) for n, columns in lines.items()],
                    reference,
                ),
                bands=((6.5, 9.0),),
            )
        )
    return plots


def main() -> None:
    """Train, evaluate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/demo"))
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # molecules of six atoms: more threads would wait for each other
    start = time.perf_counter()
    train_set, new, far = load_splits()
    splits = dict(zip(SPLITS, (train_set, new, far), strict=True))
    rows, predictions, settings = [], {}, {}
    with progress_stages() as stage:
        for name, raw in MODELS.items():
            config = config_from_dict(raw)
            report = stage(name)
            run = run_training(config, Sets(train=train_set, test=None))
            errors, predictions[name] = evaluate_splits(name, run, splits)
            report(1, 1)
            rows += [e.as_dicts()[0] for e in errors]
            settings[name] = raw | {"data": {"train": [f"{DATA} train", f"{DATA} dissociated"]}}
    seconds = time.perf_counter() - start
    table = error_table(rows)
    print_table(table)
    write_json(folder / "metrics.json", {"rows": rows, "settings": settings, "seed": SEED})
    write_report(
        folder / "report.html",
        "Water and carbon dioxide: from 9 Å to 20 Å",
        f"Interaction energies (MP2/aug-cc-pVDZ) of {len(train_set)} structures at 6.5 to 9 Å, "
        "the dissociation limit included, teach five models; the same models then predict "
        "orientations they have not seen and distances up to 20 Å.",
        sections(table, rows, splits, predictions),
    )
    print(f"Written to {folder}: report.html and metrics.json ({seconds:.0f} s).")


def sections(
    table: Table,
    rows: list[dict[str, Any]],
    splits: dict[str, Dataset],
    predictions: dict[str, dict[str, np.ndarray]],
) -> list[Section]:
    """The report."""
    far = splits["extrapolation"]
    x, y = "reference interaction energy (meV)", "predicted interaction energy (meV)"
    shown = []
    for name in ("rho x V1, l <= 2", "rho x (V1, V6), l <= 2"):
        columns = {
            x: 1e3 * far.column("interaction_energy"),
            y: 1e3 * predictions[name]["extrapolation"],
            "distance (Å)": far.column("distance"),
        }
        shown.append(Series(name=name, columns=columns, labels=far.labels("orientation")))
    parity = Plot(
        name="extrapolation",
        caption="Energies at 9.5 to 20 Å, predicted from 6.5 to 9 Å.",
        x=(x,),
        y=y,
        series=tuple(shown),
        equal=True,
        guides=(Guide(1.0),),
    )
    percent = "RMSE of 9.5 to 20 Å (% of the deviation)"
    bars = Table(
        header=("model", percent),
        rows=tuple((r["model"], r["rmse_percent"]) for r in rows if r["split"] == SPLITS[2]),
        bar=percent,
    )
    return [
        Section(
            heading="Errors",
            text="RMSE in meV, and in percent of the standard deviation of the energies of that "
            "split (100: no better than the mean). Train: 6.5 to 9 Å; new: the same distances in "
            f"{N_HELD_OUT} orientations that were held out; far: 9.5 to 20 Å, all orientations. A "
            "local model with a cutoff of 3 Å cannot see the other molecule at all. V1 decays as "
            "1/r: with centers on all atoms, l = 0 knows charges and l = 1 adds dipoles. V6 decays "
            "as 1/r^6 and adds the dispersion and induction that these energies contain.",
            tables=(table,),
        ),
        Section(heading="Binding curves", plots=tuple(curves(splits, predictions))),
        Section(heading="Extrapolation", tables=(bars,), plots=(parity,)),
    ]


if __name__ == "__main__":
    main()
