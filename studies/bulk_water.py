"""Dielectric response of liquid water: SOAP, LODE and both together (2019, Fig. 3).

The target is the trace of the high-frequency dielectric tensor of boxes of 32 water molecules,
with 800 boxes for training and 200 for the test. It is learned as a mean over atoms, from raw
features. Everything that has to be chosen (which candidate, weights of the terms, regularization)
is chosen by cross-validation on the training boxes; the test boxes are predicted once per row.

    MULTILODE_DATA=<folder with bulk_water/> python studies/bulk_water.py -o build/bulk_water

Features are kept in the output folder, so that an interrupted run goes on where it stopped.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from bulk_water_rows import ESTIMATOR, Block, Row, table
from jaxtyping import Float
from torch import Tensor

from multilode.analysis import LearningData, error_table, learning_curve, rmse_percent
from multilode.io import read
from multilode.models import PooledFeatures, RidgeModel
from multilode.plots import CurveSeries, learning_curves
from multilode.predictor import as_columns, pooled_features
from multilode.structures import Structures

SIZES = (50, 100, 200, 400)
REPEATS = 4


@final
@dataclass(frozen=True, kw_only=True)
class Data:
    """Boxes with their targets, and which of them are for training."""

    structures: Structures
    y: Float[Tensor, " structure"]
    train: list[int]
    test: list[int]


def load(folder: Path) -> Data:
    """The boxes, from the folder that MULTILODE_DATA names."""
    dataset = read(folder / "bulk_water" / "bulk_water.xyz.gz")
    tensors = torch.from_numpy(dataset.column("epsilon")).reshape(-1, 3, 3)
    split = dataset.labels("split")
    return Data(
        structures=dataset.structures,
        y=tensors.diagonal(dim1=1, dim2=2).sum(dim=1).double(),
        train=[i for i, s in enumerate(split) if s == "train"],
        test=[i for i, s in enumerate(split) if s == "test"],
    )


def cached(folder: Path, key: str, make: Callable[[], Tensor]) -> Tensor:
    """An array from the folder, or made and kept there under a name that tells its recipe."""
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, make().numpy())
        partial.replace(path)  # an interrupted run leaves no half array under the final name
    return torch.from_numpy(np.load(path))


def matrix(block: Block, data: Data, folder: Path) -> Float[Tensor, "structure feature"]:
    """Features of the boxes for one block."""
    recipe = block.representation
    if recipe is None:
        return 1 / data.structures.volumes[:, None]

    def pooled() -> Tensor:
        return pooled_features(recipe, data.structures, reduce="mean").terms[0]

    x = cached(folder, f"{recipe!r} pooled {data.structures.n_structures}", pooled)
    # the mean divides by all centers, so that the blocks of the species add up to the mean over all
    return x.reshape(len(x), len(recipe.centers), -1).sum(dim=1) if block.shared else x


def design(blocks: tuple[Block, ...], data: Data, folder: Path) -> PooledFeatures:
    """All terms, one per block."""
    return PooledFeatures(terms=tuple(matrix(block, data, folder) for block in blocks))


def cross_validated(model: RidgeModel) -> float:
    """Lowest error of the cross-validation."""
    return min(float(row["rmse"]) for row in model.cv_table)


def fit_row(row: Row, data: Data, folder: Path) -> tuple[dict[str, object], PooledFeatures]:
    """Choose among the candidates by cross-validation, then predict the test boxes."""
    y = as_columns(data.y)
    fitted = []
    for blocks in row.candidates:
        x = design(blocks, data, folder)
        fitted.append((ESTIMATOR.fit(x.select(data.train), y[data.train]), blocks, x))
    model, blocks, x = min(fitted, key=lambda item: cross_validated(item[0]))
    errors = error_table(y[data.test], model.predict_pooled(x.select(data.test)))[0]
    deviation = float(data.y[data.train].std(correction=0))
    result = {
        "model": row.name,
        "split": "test",
        "rmse": errors.rmse,
        "rmse_percent": errors.rmse_percent,
        "unit": "",
        "mae": errors.mae,
        "cv_percent": cross_validated(model) / deviation * 100,
        "regularization": model.regularization,
        "n_features": sum(term.shape[1] for term in x.terms),
        "terms": describe(model, blocks),
        "term_weights": list(model.term_weights),
        "candidates_cv_percent": [cross_validated(m) / deviation * 100 for m, _, _ in fitted],
    }
    return result, x


def describe(model: RidgeModel, blocks: tuple[Block, ...]) -> list[str]:
    """Blocks with their weights."""
    names = [f"[{b.name}{', one weight vector' if b.shared else ''}]" for b in blocks]
    if len(blocks) != len(model.term_weights):
        return [f"{len(model.term_weights)} terms of {names[0]}", *names[1:]]
    return [f"{w:.3g} {name}" for w, name in zip(model.term_weights, names, strict=True)]


def curve(x: PooledFeatures, data: Data, full: float) -> CurveSeries:
    """RMSE% on random subsets, with the weights and the regularization chosen on each of them."""
    train, test = (
        LearningData(
            structures=data.structures.select(chosen),
            design=x.select(chosen),
            y=as_columns(data.y[chosen]),
        )
        for chosen in (data.train, data.test)
    )
    found = learning_curve(ESTIMATOR, train, test, sizes=SIZES, repeats=REPEATS, seed=1)
    return CurveSeries(
        sizes=(*SIZES, len(data.train)),
        errors=(*found.mean_percent.tolist(), full),
        spreads=(*found.standard_error_percent.tolist(), 0.0),
    )


def line_in_volume(data: Data) -> float:
    """RMSE% of a straight line in 1 / volume, by plain least squares."""
    x = torch.stack([torch.ones_like(data.y), 1 / data.structures.volumes], dim=1)
    weights = torch.linalg.lstsq(x[data.train], data.y[data.train, None]).solution
    return rmse_percent(data.y[data.test, None], x[data.test] @ weights)


def run(data: Data, output: Path) -> None:
    """The whole study."""
    begin = time.perf_counter()
    rows, curves = [], {}
    print(f"{'model':38s} {'CV %':>7s} {'test %':>7s}  terms with their weights", flush=True)
    for row in table():
        result, x = fit_row(row, data, output / "features")
        rows.append(result)
        print(
            f"{row.name:38s} {result['cv_percent']:7.2f} {result['rmse_percent']:7.2f}  "
            + " + ".join(result["terms"]),
            flush=True,
        )
        if row.curve:
            curves[row.name] = curve(x, data, result["rmse_percent"])
    seconds = time.perf_counter() - begin
    drawn = {name: vars(series) for name, series in curves.items()}
    metrics = {"rows": rows, "learning_curves": drawn, "seconds": seconds}
    metrics["line_in_inverse_volume_percent"] = line_in_volume(data)
    (output / "metrics.json").write_text(json.dumps(metrics, indent=1, ensure_ascii=False))
    draw(curves, output / "bulk_water.png")
    print_curves(curves)
    print(f"{seconds:.0f} s; RMSE% is relative to the test boxes' standard deviation (ddof 0)")


def draw(curves: dict[str, CurveSeries], path: Path) -> None:
    """Learning curves with the legend above, where it hides none of them."""
    figure = learning_curves(curves, unit="% of the test standard deviation")
    figure.axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    figure.savefig(path, dpi=130)


def print_curves(curves: dict[str, CurveSeries]) -> None:
    """Learning curves as text; the largest size, all training boxes, has no spread."""
    print("\nRMSE% against the number of training boxes (mean of random subsets ± standard error)")
    for name, series in curves.items():
        entries = zip(series.sizes, series.errors, series.spreads, strict=True)
        shown = [f"{n}: {e:.2f}" + (f" ± {s:.2f}" if s else "") for n, e, s in entries]
        print(f"{name:38s} " + "  ".join(shown))


def main() -> int:
    """Run the study, or say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the results")
    arguments = parser.parse_args()
    folder = os.environ.get("MULTILODE_DATA")
    if not folder:
        print(
            "set MULTILODE_DATA to the folder that holds bulk_water/bulk_water.xyz.gz "
            "(see studies/README.md)",
            file=sys.stderr,
        )
        return 2
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    run(load(Path(folder)), arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
