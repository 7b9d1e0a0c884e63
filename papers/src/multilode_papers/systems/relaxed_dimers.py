"""Six classes of dimers near their minima: the difficulty of the paper's Table 1 (2021).

For each class linear models of `rho x rho`, `rho x V` and `V x V` on features of which those of the
monomers are subtracted, tested on curves of other dimers; and `rho x V` with sources beside.
"""

from collections.abc import Sequence

import torch

from multilode.data import Dataset
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import Ridge
from multilode.radial import GaussianTypeOrbitals
from multilode.report import Table
from multilode_papers.systems.dimer_classes import (
    CLASSES,
    CUTOFF,
    PAPER,
    PAPER_POINTS,
    PRODUCTS,
    TARGET,
)
from multilode_papers.systems.dimer_sources import NAME as WITH_SOURCES
from multilode_papers.systems.dimer_sources import learn_with_sources, settings
from multilode_papers.systems.dimers import DimerSource, first_curves, of_classes
from multilode_papers.systems.interaction import learn_interaction
from multilode_papers.systems.models import Model, error_row, species_of
from multilode_papers.systems.outcome import Outcome, Row
from multilode_papers.systems.study import Study

SOURCES = (
    DimerSource(name="relaxed-dimers", key="dimer", origin="made: HF/def2-SVPD + D3(BJ)"),
    DimerSource(name="relaxed-neutral-dimers", key="dimer", origin="made: GFN2-xTB"),
)
# Table 1: standard deviation (eV) of the test curves, number of training curves
PAPER_SPREAD = {"CC": 1.86, "CP": 0.379, "CA": 0.083, "PP": 0.131, "PA": 0.046, "AA": 0.063}
PAPER_CURVES = {"CC": 100, "CP": 200, "CA": 150, "PP": 100, "PA": 350, "AA": 950}
_QUICK = 40  # training curves of a class
_FEWEST = 10  # of a class that is learned at all


def run(study: Study) -> Outcome:
    """All classes of which there are curves."""
    rows, used, lines, config = [], [], {}, {}
    for source in SOURCES:
        if not study.has(source.name):
            continue
        dataset = study.load(source.name)
        present = set(dataset.labels("label"))
        for label in [one for one in CLASSES if one in present]:
            train, test = source.split(of_classes(dataset, label), study.seed)
            if study.quick:
                train = first_curves(train, source.key, _QUICK)
            counts = [len(set(part.labels(source.key))) for part in (train, test)]
            if counts[0] < _FEWEST or not counts[1]:  # a class whose labels have just begun
                continue
            study.stage(f"{source.name} {label}")
            found = _learn(source, label, train, test)
            rows += found
            config |= {f"{label}: {m.name}": m.settings(species_of(train)) for m in models()}
            lines[label] = _line(label, counts, found)
        used.append(source.used(dataset, PAPER_POINTS))
    own = (*PRODUCTS, WITH_SOURCES)
    header = ("class", "curves", "test curves", *own, "paper: curves", *PRODUCTS)
    ordered = tuple(lines[label] for label in CLASSES if label in lines)
    return Outcome(
        rows=tuple(rows),
        data=tuple(used),
        config={
            "models": config,
            "with sources": settings(CUTOFF, CLASSES),
            "cutoff": CUTOFF,
            "split": "in the files, by dimer",
        },
        seed=study.seed,
        tables={"RMSE in % of the standard deviation": Table(header=header, rows=ordered)},
        notes=_notes(rows),
    )


def models() -> list[Model]:
    """The three products on one basis; the regularization is chosen by cross-validation."""
    basis = GaussianTypeOrbitals(4, CUTOFF)
    fields = {
        "rho": FieldExpansion(GaussianDensity(0.3), basis, 3, neighbor_cutoff=CUTOFF),
        "V": FieldExpansion(SmearedPotential(0.3, 1.0), basis, 3),
    }
    return [Model.of(name, fields, (pair,), Ridge()) for name, pair in PRODUCTS.items()]


def _learn(source: DimerSource, label: str, train: Dataset, test: Dataset) -> list[Row]:
    reference = torch.from_numpy(test.column(TARGET.key))
    species, found = species_of(train, test), {}
    for model in models():
        _, values = learn_interaction(
            [model], train, test, TARGET, species=species, group=source.key
        )
        found[model.name] = values[:, 0]
    given = {"cutoff": CUTOFF, "group": source.key, "label": label}
    found[WITH_SOURCES] = learn_with_sources(train, test, TARGET, **given)
    return [
        error_row(
            name,
            reference,
            values,
            data=source.name,
            subset=label,
            n_train=len(train),
            unit=TARGET.unit,
            paper=paper,
            paper_unit="eV",
        )
        for (name, values), paper in zip(found.items(), (*PAPER[label], None), strict=True)
    ]


def _line(label: str, counts: Sequence[int], rows: Sequence[Row]) -> tuple[object, ...]:
    """Errors of a class in %, and those of the paper by the spread of its own test curves."""
    ours = [f"{row.rmse_percent:.3g}" for row in rows]
    paper = [f"{100 * error / PAPER_SPREAD[label]:.2g}" for error in PAPER[label]]
    return (label, *counts, *ours, PAPER_CURVES[label], *paper)


def _notes(rows: Sequence[Row]) -> tuple[str, ...]:
    errors = {(row.subset, row.model): row.rmse for row in rows}
    ratios = [
        f"{label} {errors[label, 'rho x rho'] / errors[label, 'rho x V']:.2g}"
        for label in CLASSES
        if (label, "rho x V") in errors
    ]
    return (
        f"RMSE of rho x rho over that of rho x V: {', '.join(ratios)} (paper: CC 15, CP 3.4, "
        "CA 1.4, PP 1.6, PA 2.5, AA 6.5).",
        "Test dimers have other orientations than those of the training, but the same fifteen "
        "molecules, and often the same minimum turned otherwise.",
    )
