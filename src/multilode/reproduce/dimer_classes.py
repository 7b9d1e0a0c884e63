"""Six classes of dimers: products of density and potential, with error bars (2021, Table I).

For each class its own linear models of `rho x rho`, `rho x V` and `V x V`, trained on binding
curves and their dissociated limit, tested on curves of other dimers. Committees of eight members
on 80 % of the curves give the error bars.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from multilode.dataset import Dataset
from multilode.expand import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import Committee, Ridge
from multilode.plots import binding_curve, learning_curves
from multilode.predictor import Prediction
from multilode.radial import GaussianTypeOrbitals
from multilode.report import Picture, Table
from multilode.reproduce.dimers import SOURCES, of_classes, split_by_dimer, with_limit
from multilode.reproduce.interaction import InteractionModel
from multilode.reproduce.learning import Task
from multilode.reproduce.models import Model, error_row, fit, species_of
from multilode.reproduce.outcome import DataUsed, Outcome, Row
from multilode.reproduce.study import Study
from multilode.targets import Target

CLASSES = ("CC", "CP", "CA", "PP", "PA", "AA")
TARGET = Target(key="interaction_energy", unit="eV")
CUTOFF = 3.0  # Å, as in the paper
PRODUCTS = {"rho x rho": ("rho", "rho"), "rho x V": ("rho", "V"), "V x V": ("V", "V")}
# Table I: RMSE in eV of rho x rho, rho x V, V x V; training curves and dimers of each class
PAPER = {
    "CC": (0.72, 0.049, 0.058),
    "CP": (0.25, 0.074, 0.092),
    "CA": (0.056, 0.041, 0.034),
    "PP": (0.10, 0.062, 0.125),
    "PA": (0.032, 0.013, 0.021),
    "AA": (0.026, 0.004, 0.006),
}
MEMBERS, FRACTION = 8, 0.8
BEST = "rho x (rho + V1 + V6), fragments subtracted"


@final
@dataclass(frozen=True, kw_only=True)
class ClassResult:
    """What the models of one class say of its test curves."""

    label: str
    train: Dataset
    test: Dataset
    predictions: dict[str, Prediction]


def run(study: Study) -> Outcome:
    """All classes of all data sets that are here."""
    rows, used, pictures, tables, notes, config = [], [], {}, {}, [], {}
    for source in SOURCES.values():
        if not study.has(source.name) or (study.quick and source.name != "dimers"):
            continue
        dataset = study.load(source.name)
        found = []
        for label in CLASSES:
            chosen = of_classes(dataset, label)
            if len(set(chosen.labels(source.key))) >= 9:
                found.append(_learn(study, source.split(chosen, study.seed), label, config))
        for result in found:
            rows += _rows(result, source.name)
        tables[f"Error bars, {source.name}"] = _bars_table(found)
        notes += _notes(found, source.name)
        if source.name == "dimers":
            pictures |= {f"median-{r.label}": _median_curve(r, source.key) for r in found}
            pictures["learning-curves"] = _curves(study, found, source.key)
        used.append(source.used(dataset))
    return Outcome(
        rows=tuple(rows),
        data=tuple(used),
        config={"models": config, "members": MEMBERS, "fraction": FRACTION, "cutoff": CUTOFF},
        seed=study.seed,
        pictures=pictures,
        tables=tables,
        notes=tuple(notes),
    )


def models(*, quick: bool) -> list[Model]:
    """The three products."""
    n_radial, degree = (4, 3) if quick else (6, 4)
    basis = GaussianTypeOrbitals(n_radial, CUTOFF)
    fields = {
        "rho": FieldExpansion(GaussianDensity(0.3), basis, degree, cutoff=CUTOFF),
        "V": FieldExpansion(SmearedPotential(0.3, 1.0), basis, degree),
    }
    return [
        Model(
            name=name,
            expansions={part: fields[part] for part in set(pair)},
            correlations=(pair,),
            estimator=Committee(estimator=Ridge(), n_members=MEMBERS, fraction=FRACTION),
        )
        for name, pair in PRODUCTS.items()
    ]
