"""Dielectric response of liquid water: SOAP, LODE and both together (2019, Fig. 3).

Boxes of 32 water molecules, 800 for training and 200 for the test. The dielectric tensor is
learned as a mean over atoms by ridge regression on raw features; no model of the response is put
in. Its trace is the paper's target; the rest, l = 2, is learned as a tensor.
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode import Target
from multilode.data import Dataset
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import Ridge
from multilode.prediction import rmse_percent
from multilode.radial import GaussianTypeOrbitals
from multilode.report import Picture, Table
from multilode.symmetry import Irrep, tensor_kind
from multilode_papers.systems.bulk_water_extensions import extension_note, extensions
from multilode_papers.systems.curves import curve_picture, curve_table
from multilode_papers.systems.learning import Learned, Task
from multilode_papers.systems.models import Model, error_row, species_of
from multilode_papers.systems.outcome import DataUsed, Outcome, Row
from multilode_papers.systems.study import Study

SOURCES = {
    "water-dielectric": "model data: atomic polarizabilities with dipole coupling, periodic",
    "bulk-water": "third-party: density-functional theory, Grisafi et al. 2018",
}
TRACE = Target(key="trace", reduce="mean")
TENSOR = Target(key="epsilon", reduce="mean", tensor="symmetric")
ESTIMATORS = {
    "one weight vector per species": Ridge(folds=10),
    "one weight vector": Ridge(folds=10, per_species=False),
}
BEST = "SOAP + rho x (V2, V4), 3 Å"


@final
@dataclass(frozen=True, kw_only=True)
class OneSet:
    """Contribution of one data set."""

    rows: list[Row]
    pictures: dict[str, Picture]
    tables: dict[str, Table]
    notes: list[str]


def run(study: Study) -> Outcome:
    """The trace with all models, and the anisotropic part with some, for each data set."""
    found, used, config = [], [], {}
    for name, origin in SOURCES.items():
        if study.has(name):
            sets = _sets(study, name)
            found.append(_learn(study, name, *sets, config))
            count = sum(len(part) for part in sets)
            used.append(DataUsed(name=name, structures=count, paper=1000, origin=origin))
    return Outcome(
        rows=tuple(row for one in found for row in one.rows),
        data=tuple(used),
        config={"models": config, "folds": 10},
        seed=study.seed,
        pictures={key: picture for one in found for key, picture in one.pictures.items()},
        tables={key: table for one in found for key, table in one.tables.items()},
        notes=tuple(note for one in found for note in one.notes),
    )


def _learn(study: Study, name: str, train: Dataset, test: Dataset, config: dict) -> OneSet:
    task = Task(
        train=train,
        test=test,
        species=species_of(train),
        target=TRACE,
        sizes=(50, 100) if study.quick else (50, 100, 200, 400, 800),
        repeats=2 if study.quick else 4,
        seed=study.seed,
    )
    found = _scalar(study, task, config)
    more = extensions(task, name, study.stage)
    config |= more.config
    series = {model: f.series() for model, f in found.items()}
    traces = {"straight line in 1/volume": _line(train, test)} | {
        model: (f.reference, f.predicted) for model, f in found.items()
    }
    return OneSet(
        rows=[
            *(_trace_row(model, *pair, name, len(train)) for model, pair in traces.items()),
            *([] if study.quick else _anisotropic(study, task, name, config)),
            *more.rows,
        ],
        pictures={
            f"learning-curves-{name}": curve_picture(
                series, f"Learning curves of the trace, {name}."
            )
        },
        tables={
            f"Learning curves of the trace, {name} (test RMSE%)": curve_table(series),
            f"What each extension adds, {name} (linear models of the trace)": more.table,
        },
        notes=[*_notes(name, found), extension_note(more, name)],
    )


def models(*, quick: bool) -> list[Model]:
    """Models to compare; the short form has smaller bases and leaves out the largest cutoff."""
    n_radial, degree = (4, 3) if quick else (6, 4)
    basis = GaussianTypeOrbitals(n_radial, 3.0)
    rho = FieldExpansion(GaussianDensity(0.3), basis, degree, neighbor_cutoff=3.0)
    powers = {
        f"V{p}": FieldExpansion(SmearedPotential(1.0, float(p)), basis, degree) for p in (1, 2, 4)
    }
    fields = {"rho": rho, **powers}
    products = {
        "LODE, 3 Å": (("V1", "V1"),),
        "SOAP + LODE, 3 Å": (("rho", "rho"), ("V1", "V1")),
        "rho x V, 3 Å": (("rho", "V1"),),
        "SOAP + rho x V, 3 Å": (("rho", "rho"), ("rho", "V1")),
        BEST: (("rho", "rho"), ("rho", "V2"), ("rho", "V4")),
    }
    local = [soap(3.0, n_radial, degree), soap(4.0, n_radial, degree)]
    if not quick:
        local = [soap(3.0, 6, 4), soap(4.0, 8, 6), soap(6.0, 8, 6)]
    return local + [
        Model.of(name, fields, terms, Ridge(folds=10)) for name, terms in products.items()
    ]


def soap(cutoff: float, n_radial: int, degree: int) -> Model:
    """Power spectrum of the density up to a cutoff in Å."""
    basis = GaussianTypeOrbitals(n_radial, cutoff)
    rho = FieldExpansion(GaussianDensity(0.3), basis, degree, neighbor_cutoff=cutoff)
    return Model.of(f"SOAP, {cutoff:g} Å", {"rho": rho}, (("rho", "rho"),), Ridge(folds=10))


def _sets(study: Study, name: str) -> tuple[Dataset, Dataset]:
    """Training and test boxes with the trace of their tensors."""
    dataset = study.load(name)
    tensors = dataset.column("epsilon").reshape(-1, 3, 3)
    dataset = dataset.with_values({TRACE.key: np.trace(tensors, axis1=1, axis2=2).tolist()})
    split = np.array(dataset.labels("split"))
    train, test = (dataset.select(np.flatnonzero(split == part)) for part in ("train", "test"))
    return (train.select(range(100)), test.select(range(80))) if study.quick else (train, test)


def _scalar(study: Study, task: Task, config: dict) -> dict[str, Learned]:
    found = {}
    for model in models(quick=study.quick):
        study.stage(model.name)
        found[model.name] = task.learn(model, ESTIMATORS)
        config[model.name] = model.settings(task.species)
    return found


def _anisotropic(study: Study, task: Task, data: str, config: dict) -> list[Row]:
    """The whole tensor with some of the models; its l = 2 part is what is reported."""
    rows = []
    tensorial = replace(task, target=TENSOR, sizes=())
    for model in tensor_models():
        study.stage(f"{model.name}, tensor")
        found = tensorial.learn(model)
        reference, predicted = (_anisotropy(v) for v in (found.reference, found.predicted))
        rows.append(
            error_row(
                model.name,
                reference,
                predicted,
                data=data,
                subset="test, l = 2",
                n_train=len(task.train),
                unit="",
            )
        )
        config[f"{model.name}, tensor"] = model.settings(task.species)
    return rows


def tensor_models() -> list[Model]:
    """Smaller bases, since products that couple to l = 2 are several times as many."""
    basis = GaussianTypeOrbitals(4, 3.0)
    fields = {
        "rho": FieldExpansion(GaussianDensity(0.3), basis, 3, neighbor_cutoff=3.0),
        "V1": FieldExpansion(SmearedPotential(1.0, 1.0), basis, 3),
    }
    products = {
        "LODE, 3 Å": (("V1", "V1"),),
        "SOAP + LODE, 3 Å": (("rho", "rho"), ("V1", "V1")),
        "SOAP + rho x V, 3 Å": (("rho", "rho"), ("rho", "V1")),
    }
    return [
        soap(3.0, 4, 3),
        *(Model.of(name, fields, terms, Ridge(folds=10)) for name, terms in products.items()),
    ]


def _anisotropy(tensors: Float[Tensor, "structure 9"]) -> Float[Tensor, "structure _"]:
    return tensor_kind("symmetric").to_spherical(tensors)[Irrep(2)].flatten(start_dim=1)


def _line(train: Dataset, test: Dataset) -> tuple[Tensor, Tensor]:
    """References and predictions of a straight line in 1 / volume."""
    columns = [
        torch.stack([torch.ones(len(p), dtype=torch.float64), 1 / p.structures.volumes], dim=1)
        for p in (train, test)
    ]
    targets = [torch.from_numpy(part.column(TRACE.key))[:, None] for part in (train, test)]
    weights = torch.linalg.lstsq(columns[0], targets[0]).solution
    return targets[1], columns[1] @ weights


def _trace_row(name: str, reference: Tensor, predicted: Tensor, data: str, n_train: int) -> Row:
    return error_row(
        name, reference, predicted, data=data, subset="test, trace", n_train=n_train, unit=""
    )


def _notes(data: str, found: dict[str, Learned]) -> list[str]:
    percent = {name: rmse_percent(f.reference, f.predicted) for name, f in found.items()}
    local = [name for name in percent if name.startswith("SOAP,")]
    return [
        f"{data}: at 3 Å LODE has {percent['LODE, 3 Å']:.3g} %, SOAP "
        f"{percent['SOAP, 3 Å']:.3g} %, both {percent['SOAP + LODE, 3 Å']:.3g} %; SOAP "
        f"with {local[-1].split(', ')[1]} has {percent[local[-1]]:.3g} %.",
        f"{data}: the best model, {BEST}, has {percent[BEST]:.3g} %.",
    ]
