"""Energy of a gas of point charges: local features against a long-range field (2019, Fig. 1).

Cubic boxes of 12 to 20 Å with 32 positive and 32 negative charges at random, 1500 for training and
500 for the test; the target is their Ewald energy. LODE(1) is linear in the potential at the
centers, four weights in all. For SOAP and LODE(2), kernel and regularization are chosen by
cross-validation on the training boxes. RMSE% is relative to the test boxes' standard deviation.

    MULTILODE_DATA=<folder with point_charges/> python studies/point_charges.py -o DIR
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.analysis import LearningData, error_table, learning_curve
from multilode.expand import FieldExpansion
from multilode.features import Features
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.io import read
from multilode.models import AbstractEstimator, KernelRidge, Ridge, RidgeModel
from multilode.plots import CurveSeries, learning_curves
from multilode.predictor import as_columns, feature_batches
from multilode.radial import GaussianTypeOrbitals, Monomials
from multilode.representation import Representation
from multilode.structures import Structures

SIZES = (5, 10, 20, 50, 100, 200, 500, 1000)
REPEATS = 4
SODIUM, CHLORINE = 11, 17
RADIUS = 0.5  # Å, of the sphere in which LODE(1) sees the potential: smaller than any distance
COULOMB = 14.399645  # eV Å, with which the energies were made
EDGES = (12.0, 14.7, 17.4, 20.0)  # Å, classes of box sizes

# Every box has the same 64 atoms, so the intercept is the energy of the composition.
ESTIMATORS: dict[str, AbstractEstimator] = {
    "linear, raw": Ridge(intercept=True),
    "linear, normalized": KernelRidge(zeta=1, normalize=True, intercept=True, uncertainty=False),
    "quadratic, raw": KernelRidge(zeta=2, normalize=False, intercept=True, uncertainty=False),
    "quadratic, normalized": KernelRidge(zeta=2, normalize=True, intercept=True, uncertainty=False),
}


@final
@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Structures with their energies in eV."""

    structures: Structures
    y: Float[Tensor, "structure 1"]

    @property
    def size_class(self) -> list[str]:
        """The class of edges that each box belongs to."""
        inner = torch.tensor(EDGES[1:-1], dtype=self.structures.cell.dtype)
        place = torch.bucketize(self.structures.volumes ** (1 / 3), inner)
        return [f"{EDGES[k]:g}-{EDGES[k + 1]:g} Å" for k in place.tolist()]


@final
@dataclass(frozen=True, kw_only=True)
class Case:
    """One representation with the estimators that compete for it.

    Args:
        curve: whether the learning curve of the chosen estimator is drawn.
    """

    name: str
    field: FieldExpansion
    names: tuple[str, ...]
    estimators: dict[str, AbstractEstimator]
    curve: bool = True

    @property
    def representation(self) -> Representation:
        """The features of both species."""
        return Representation(
            expansions={"field": self.field},
            correlations=(self.names,),
            species=(SODIUM, CHLORINE),
            centers=(SODIUM, CHLORINE),
        )


def cases() -> list[Case]:
    """What the study compares."""
    return [
        *(soap(cutoff, n_radial) for cutoff, n_radial in ((3.0, 5), (6.0, 5), (9.0, 6))),
        *(first_order(smearing) for smearing in (1.0, 0.5)),
        second_order("LODE(2)", 6, ESTIMATORS),
        second_order("LODE(2), 4 radial functions", 4, linear(), curve=False),
        second_order("LODE(2), no own field", 6, linear(), curve=False, center_weight=0.0),
    ]


def linear() -> dict[str, AbstractEstimator]:
    """The linear estimator alone."""
    return {"linear, raw": ESTIMATORS["linear, raw"]}


def soap(cutoff: float, n_radial: int) -> Case:
    """Density correlations up to a cutoff in Å."""
    basis = GaussianTypeOrbitals(n_radial, cutoff)
    field = FieldExpansion(GaussianDensity(1.0), basis, 3, cutoff=cutoff)
    return Case(
        name=f"SOAP, {cutoff:g} Å", field=field, names=("field", "field"), estimators=ESTIMATORS
    )


def first_order(smearing: float) -> Case:
    """The potential of all other charges at a center, and one weight per pair of species."""
    field = FieldExpansion(
        SmearedPotential(smearing, 1.0), Monomials(1, RADIUS), 0, center_weight=0.0
    )
    return Case(
        name=f"LODE(1), smearing {smearing} Å",
        field=field,
        names=("field",),
        estimators={"linear, raw": Ridge()},
    )


def second_order(
    name: str,
    n_radial: int,
    estimators: dict[str, AbstractEstimator],
    *,
    curve: bool = True,
    center_weight: float = 1.0,
) -> Case:
    """Products of the potential with itself in a sphere of 3 Å."""
    basis = GaussianTypeOrbitals(n_radial, 3.0)
    field = FieldExpansion(SmearedPotential(1.0, 1.0), basis, 3, center_weight=center_weight)
    return Case(
        name=name, field=field, names=("field", "field"), estimators=estimators, curve=curve
    )


def load(folder: Path, part: str) -> Boxes:
    """The boxes of one part, `train` or `test`."""
    dataset = read(folder / "point_charges" / f"point_charges_{part}.xyz.gz")
    return Boxes(
        structures=dataset.structures,
        y=as_columns(torch.from_numpy(dataset.column("ewald_energy"))),
    )


def study(case: Case, train: Boxes, test: Boxes) -> tuple[list[dict], CurveSeries | None]:
    """Fit all estimators of a case, choose one by cross-validation, and draw its curve."""
    begin = time.process_time()
    recipe = case.representation
    features, test_features = (
        list(feature_batches(recipe, boxes.structures)) for boxes in (train, test)
    )
    spent = time.process_time() - begin
    rows = [
        {"model": case.name, "estimator": name, "feature_seconds": spent}
        | fitted(estimator, features, train, test_features, test)
        for name, estimator in case.estimators.items()
    ]
    chosen = min(rows, key=lambda row: row["cv_rmse"])
    for row in rows:
        row["chosen"] = row is chosen
    if not case.curve:
        return rows, None
    estimator = case.estimators[chosen["estimator"]]
    sides = [
        LearningData(
            structures=boxes.structures,
            design=estimator.collect(batches, recipe.centers),
            y=boxes.y,
        )
        for boxes, batches in ((train, features), (test, test_features))
    ]
    found = learning_curve(estimator, *sides, sizes=SIZES, repeats=REPEATS)
    return rows, CurveSeries(
        sizes=(*SIZES, len(train.y)),
        errors=(*found.mean_percent.tolist(), chosen["rmse_percent"]),
        spreads=(*found.standard_error_percent.tolist(), 0.0),
    )


def fitted(
    estimator: AbstractEstimator,
    features: Iterable[Features],
    train: Boxes,
    test_features: Iterable[Features],
    test: Boxes,
) -> dict:
    """Errors after training with all training boxes."""
    begin = time.process_time()
    model = estimator.fit(estimator.collect(features, (SODIUM, CHLORINE)), train.y)
    with torch.no_grad():
        predicted = torch.cat([model.predict(batch) for batch in test_features])
    table = error_table(test.y, predicted, test.size_class)
    result = {
        "cv_rmse": min(row["rmse"] for row in model.cv_table),
        "regularization": model.regularization,
        "rmse": table[0].rmse,
        "rmse_percent": table[0].rmse_percent,
        "unit": "eV",
        "rmse_by_edge": {row.group: row.rmse for row in sorted(table[1:], key=lambda r: r.group)},
        "fit_seconds": time.process_time() - begin,
    }
    if isinstance(model, RidgeModel) and len(model.weights[0]) == 4:
        result["coulomb_constants"] = coulomb_constants(model)
    return result


def coulomb_constants(model: RidgeModel) -> list[float]:
    """The weights of LODE(1) as e^2 / 4 pi epsilon_0 times the product of the charges, in eV Å.

    A constant field v has the coefficient v sqrt(4 pi R^3 / 3) on the constant in a sphere of
    radius R, and the energy is half of the sum of charge times potential. Source: 2021 Eq. 19.
    """
    return (2 * math.sqrt(4 * math.pi * RADIUS**3 / 3) * model.weights[0][:, 0]).tolist()


def run(train: Boxes, test: Boxes, output: Path) -> None:
    """The whole study."""
    begin, wall = time.process_time(), time.perf_counter()
    rows, curves = [], {}
    print(f"{'model':30s} {'estimator':22s} {'CV eV':>10s} {'test eV':>10s} {'test %':>10s}")
    for case in cases():
        found, series = study(case, train, test)
        rows += found
        for row in found:
            mark = " <- chosen" if row["chosen"] and len(found) > 1 else ""
            print(
                f"{case.name:30s} {row['estimator']:22s} {row['cv_rmse']:10.5f} "
                f"{row['rmse']:10.5f} {row['rmse_percent']:10.5f}{mark}",
                flush=True,
            )
        if series is not None:
            curves[case.name] = series
    seconds = {"cpu": time.process_time() - begin, "wall": time.perf_counter() - wall}
    drawn = {name: vars(series) for name, series in curves.items()}
    metrics = {"rows": rows, "learning_curves": drawn, "seconds": seconds, "coulomb": COULOMB}
    (output / "metrics.json").write_text(json.dumps(metrics, indent=1, ensure_ascii=False))
    draw(curves, output / "point_charges.png")
    print_curves(curves)
    print(f"{seconds['cpu']:.0f} s of processor time, {seconds['wall']:.0f} s on the clock")


def draw(curves: dict[str, CurveSeries], path: Path) -> None:
    """Learning curves with the legend above, where it hides none of them."""
    figure = learning_curves(curves, unit="% of the test standard deviation")
    axes = figure.axes[0]
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    last = max(size for series in curves.values() for size in series.sizes)
    axes.set_xticks([*SIZES[:-1], last])  # a label at the largest but one has no room
    figure.savefig(path, dpi=110)


def print_curves(curves: dict[str, CurveSeries]) -> None:
    """Learning curves as text; all training boxes, the last size, are one set without spread."""
    print("\nRMSE% against the number of training boxes (mean of random subsets ± standard error)")
    for name, series in curves.items():
        entries = zip(series.sizes, series.errors, series.spreads, strict=True)
        shown = [f"{n}: {e:.3g}" + (f" ± {s:.1g}" if s else "") for n, e, s in entries]
        print(f"{name:24s} " + "  ".join(shown))


def main() -> int:
    """Run the study, or say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the results")
    arguments = parser.parse_args()
    folder = os.environ.get("MULTILODE_DATA")
    if not folder:
        print(
            "set MULTILODE_DATA to the folder that holds point_charges/point_charges_train.xyz.gz "
            "and point_charges_test.xyz.gz",
            file=sys.stderr,
        )
        return 2
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    run(load(Path(folder), "train"), load(Path(folder), "test"), arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
