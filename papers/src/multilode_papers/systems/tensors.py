"""Dipoles, polarizabilities and hyperpolarizabilities, with local and with multi-scale models.

Every irreducible component of a tensor has its own regression: linear in raw features, or with
kernels of normalized ones. Term weights, regularization and, for liquid water, the species of the
centers are chosen by cross-validation on training structures. All data are third-party.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import multilode as ml
from multilode import Target
from multilode.data import Dataset
from multilode.prediction import rmse, rmse_percent, target_values
from multilode.report import CurveSeries, Table
from multilode.symmetry import Irrep, irrep_name, tensor_kind
from multilode_papers.systems.curves import curve_picture, curve_table
from multilode_papers.systems.learning import Task
from multilode_papers.systems.models import Model, species_of
from multilode_papers.systems.outcome import DataUsed, Outcome, Row
from multilode_papers.systems.study import Study
from multilode_papers.systems.tensor_models import Family, Split, families

Blocks = dict[Irrep, Float[Tensor, "structure _"]]


@final
@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Components of one split's test tensors, as they are and as one model has them.

    Args:
        reference: by irrep.
        found: by irrep.
        centers: atomic numbers of the centers, by irrep.
    """

    reference: Blocks
    found: Blocks
    centers: dict[Irrep, tuple[int, ...]]


@final
@dataclass(frozen=True, kw_only=True)
class Found:
    """Result of one tensor of one family.

    Args:
        rows: errors of all components and of each irrep, by model.
        series: learning curves by model; empty where there are none.
        spread: standard errors over the splits (RMSE%), by model and irrep.
    """

    rows: list[Row]
    series: dict[str, CurveSeries]
    spread: list[tuple[str, str, float, float]]


def run(study: Study) -> Outcome:
    """All families whose data are here; the notes name the others."""
    rows, used, config, pictures, tables, notes = [], [], {}, {}, {}, []
    for family in families(quick=study.quick):
        if not study.has(family.data):
            notes.append(f"{family.data} is left out: its data are not here.")
            continue
        dataset = study.load(family.data)
        splits = list(family.splits(dataset))
        species = species_of(dataset)
        for target in family.targets:
            found = _learn(study, family, target, splits, species)
            name = f"{family.data}, {target.key}"
            rows += found.rows
            if found.series:
                tables[f"Learning curves, {name} (test RMSE%)"] = curve_table(found.series)
                caption = f"Learning curves, {name}."
                key = f"learning-curves-{family.data}-{target.key}"
                pictures[key] = curve_picture(found.series, caption)
            if found.spread:
                header = ("model", "component", "RMSE%", "standard error")
                tables[f"{len(splits)} splits, {name}"] = Table(
                    header=header, rows=tuple(found.spread)
                )
            notes.append(_note(name, found.rows))
        count = len(splits[0][0]) + len(splits[0][1])
        used.append(DataUsed(name=family.data, structures=count, paper=None, origin=family.origin))
        config[family.data] = {
            name: choices[0].settings(species) for name, choices in family.models.items()
        }
    return Outcome(
        rows=tuple(rows),
        data=tuple(used),
        config={"models": config, "folds": 5},
        seed=study.seed,
        pictures=pictures,
        tables=tables,
        notes=tuple(notes),
    )


def _learn(
    study: Study, family: Family, target: Target, splits: list[Split], species: tuple[int, ...]
) -> Found:
    rows, series, spread = [], {}, []
    for name, choices in family.models.items():
        study.stage(f"{family.data}, {target.key}, {name}")
        if target.tensor == "vector" and family.sizes:
            predicted, curve = _with_curve(study, family, target, splits[0], species, choices[0])
            series[name] = curve
            parts = [predicted]
        else:
            parts = [_predicted(target, choices, split, species) for split in splits]
        for row, error in _rows(family, target, name, parts, len(splits[0][0])):
            rows.append(row)
            if len(parts) > 1:
                spread.append((name, row.subset, row.rmse_percent, error))
    return Found(rows=rows, series=series, spread=spread)


def _with_curve(
    study: Study,
    family: Family,
    target: Target,
    split: Split,
    species: tuple[int, ...],
    model: Model,
) -> tuple[Predicted, CurveSeries]:
    """A vector has no baseline, so that its kernels serve the curve and the last point alike."""
    task = Task(
        train=split[0],
        test=split[1],
        species=species,
        target=target,
        sizes=family.sizes,
        repeats=family.repeats,
        seed=study.seed,
    )
    found = task.learn(model)
    reference, values = (_spherical(target, v) for v in (found.reference, found.predicted))
    centers = dict.fromkeys(reference, model.centers or species)
    last = rmse_percent(found.reference, found.predicted)
    curve = found.series()
    longer = CurveSeries(
        sizes=(*curve.sizes, len(split[0])),
        errors=(*curve.errors, last),
        spreads=(*curve.spreads, 0.0),
    )
    return Predicted(reference=reference, found=values, centers=centers), longer


def _predicted(
    target: Target, choices: tuple[Model, ...], split: Split, species: tuple[int, ...]
) -> Predicted:
    """Each irrep with the centers that cross-validation prefers for it."""
    train, test = split
    best: dict[Irrep, float] = {}
    found: Blocks = {}
    centers: dict[Irrep, tuple[int, ...]] = {}
    for model in choices:
        with train.naming_frames():
            predictor = ml.train(
                model.representation(species),
                train.structures,
                y=_values(train, target),
                target=target,
                estimator=model.estimator,
            )
        blocks = _spherical(target, predictor.predict(test.structures).values)
        for irrep, part in predictor.model.parts.items():
            error = part.summary().cv_rmse if len(choices) > 1 else 0.0
            if irrep not in best or error < best[irrep]:
                best[irrep], found[irrep] = error, blocks[irrep]
                centers[irrep] = model.centers or species
    return Predicted(
        reference=_spherical(target, _values(test, target)), found=found, centers=centers
    )


def _rows(
    family: Family, target: Target, name: str, parts: list[Predicted], n_train: int
) -> list[tuple[Row, float]]:
    """Mean errors over the splits, of all components and of each irrep, with standard errors."""
    irreps = tensor_kind(target.tensor).irreps
    groups: list[tuple[str, tuple[Irrep, ...]]] = [("all", irreps)]
    groups += [(irrep_name(irrep), (irrep,)) for irrep in irreps if len(irreps) > 1]
    rows = []
    for label, own in groups:
        pairs = [
            tuple(torch.cat([blocks[irrep] for irrep in own], dim=1) for blocks in sides)
            for sides in ((part.reference, part.found) for part in parts)
        ]
        percents = [rmse_percent(*pair) for pair in pairs]
        spread = np.std(percents, ddof=1) / len(percents) ** 0.5 if len(percents) > 1 else 0.0
        row = Row(
            model=name,
            data=family.data,
            subset=f"test, {target.key}, {label}",
            n_train=n_train,
            rmse=_per_component(target, own, float(np.mean([rmse(*pair) for pair in pairs]))),
            rmse_percent=float(np.mean(percents)),
            unit=target.unit,
        )
        rows.append((row, float(spread)))
    return rows


def _per_component(target: Target, irreps: tuple[Irrep, ...], spherical: float) -> float:
    """RMSE of Cartesian components where all irreps are meant; of spherical ones otherwise."""
    kind = tensor_kind(target.tensor)
    if irreps != kind.irreps:
        return spherical
    count = sum(columns.shape[1:].numel() for columns in kind.columns.values())
    return spherical * (count / kind.size) ** 0.5


def _spherical(target: Target, values: Float[Tensor, "structure ..."]) -> Blocks:
    blocks = tensor_kind(target.tensor).to_spherical(values.flatten(start_dim=1))
    return {irrep: block.flatten(start_dim=1) for irrep, block in blocks.items()}


def _values(dataset: Dataset, target: Target) -> Float[Tensor, "structure cartesian"]:
    return target_values(dataset, target.key, None, target.tensor, target.per)


def _note(name: str, rows: list[Row]) -> str:
    whole = {row.model: row.rmse_percent for row in rows if row.subset.endswith("all")}
    best = min(whole, key=lambda model: whole[model] or 0.0)
    return f"{name}: the best model, {best}, has {whole[best]:.3g} % of all components."
