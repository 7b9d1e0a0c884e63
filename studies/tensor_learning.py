"""All models of a family: choices, predictions, errors, learning curves, and a turned test set."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation
from tensor_families import Family, Row
from tensor_kernels import IrrepKernels, all_kernels
from tensor_regression import MORE_COMPONENTS, Regression, cross_validated
from torch import Tensor

from multilode.models import KernelRidge
from multilode.models.targets import Target
from multilode.models.term_weights import Choice
from multilode.prediction.analysis import rmse_percent, standard_deviation
from multilode.prediction.evaluation import evaluate
from multilode.prediction.predictor import Prediction, baseline_of
from multilode.report.plots import CurveSeries
from multilode.structures.batch import Structures
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import Irrep, irrep_name

N_TURNED = 10


@final
@dataclass(frozen=True, kw_only=True)
class Result:
    """One line of the table.

    Args:
        property: what is learned.
        model: name of the row.
        unit: of RMSE and MAE.
        errors: of all components together and of each irrep: mean over the splits of RMSE, MAE and
            RMSE%, and the standard error of the mean of RMSE%, zero for one split.
        choices: per irrep, of the first split: cross-validated RMSE% (of the standard deviation of
            the training targets), weights of the terms, regularization, species of the centers.
        turned: largest deviation of a component of the prediction of a turned structure from the
            turned prediction, over the standard deviation of the test targets.
    """

    property: str
    model: str
    unit: str
    errors: dict[str, dict[str, float]]
    choices: dict[str, dict[str, object]]
    turned: float


@final
@dataclass(frozen=True, kw_only=True)
class Learned:
    """What came out of a family.

    Args:
        family: its name.
        note: how the data were split.
        results: all lines of the table.
        curves: by property and irrep, then by model.
    """

    family: str
    note: str
    results: list[Result]
    curves: dict[str, dict[str, CurveSeries]]


@final
@dataclass(frozen=True, kw_only=True)
class Task:
    """One irrep of one property.

    Args:
        family: what it belongs to.
        key: name of the property.
        structures: those of the family, and turned ones.
        kernels: of the irrep.
    """

    family: Family
    key: str
    structures: Structures
    kernels: IrrepKernels

    def targets(self) -> Float[Tensor, "structure m copy"]:
        """Components of the tensors."""
        return self._spherical(self.family.data.properties[self.key].values)

    def regression(self, row: Row, centers: tuple[int, ...], base: Tensor) -> Regression:
        """The regression of what the baseline leaves."""
        intercept = None if self.kernels.irrep == Irrep(0) else False
        return Regression(
            estimator=KernelRidge(
                zeta=row.zeta,
                normalize=row.zeta > 1,
                reduce=self.family.reduce,
                intercept=intercept,
                uncertainty=False,
            ),
            kernels=self.kernels.of(row.terms, row.zeta, centers),
            columns=self.kernels.columns,
            targets=self.targets() - base[: len(self.targets())],
        )

    def baseline(self, subset: Int[Tensor, " chosen"]) -> Float[Tensor, "structure m copy"]:
        """The library's baseline of tensors, fitted to the subset, for all structures."""
        known = self.family.data.properties[self.key]
        target = Target(
            key=self.key, unit=known.unit, reduce=self.family.reduce, tensor=known.tensor
        )
        fitted = baseline_of(target).fit(
            self.structures.select(subset),
            known.values[subset],
            reduce=self.family.reduce,
            species=tuple(self.structures.species.unique().tolist()),
        )
        return self._spherical(fitted.predict(self.structures))

    def percent(self, test: list[int], predicted: Float[Tensor, "structure m copy"]) -> float:
        """RMSE% of predictions, all components pooled."""
        reference = self.targets()[test].flatten(start_dim=1)
        return rmse_percent(reference, predicted.flatten(start_dim=1))

    def _spherical(self, values: Float[Tensor, "structure _"]) -> Float[Tensor, "structure m copy"]:
        known = self.family.data.properties[self.key]
        return tensor_kind(known.tensor).to_spherical(values)[self.kernels.irrep]


def study(family: Family, folder: Path) -> Learned:
    """Learn every property of a family with every model."""
    data = family.data
    rotations = torch.from_numpy(Rotation.random(N_TURNED, random_state=7).as_matrix())
    structures = _with_turned(data.structures, data.splits[0][1][:N_TURNED], rotations)
    predicted: dict[tuple[str, str], dict[Irrep, list[Tensor]]] = {}
    choices: dict[tuple[str, str], dict[str, dict[str, object]]] = {}
    curves: dict[str, dict[str, CurveSeries]] = {}
    for kernels in all_kernels(family, structures, folder):
        name = irrep_name(kernels.irrep)
        for key, known in data.properties.items():
            if kernels.irrep not in tensor_kind(known.tensor).irreps:
                continue
            task = Task(family=family, key=key, structures=structures, kernels=kernels)
            for row in family.rows:
                blocks, choice, curve = _learn(task, row)
                predicted.setdefault((key, row.name), {})[kernels.irrep] = blocks
                choices.setdefault((key, row.name), {})[name] = choice
                curves.setdefault(f"{key}, {name}", {})[row.name] = curve
    results = [
        _result(family, key, model, blocks, choices[key, model], rotations)
        for (key, model), blocks in predicted.items()
    ]
    return Learned(family=family.name, note=data.note, results=results, curves=curves)


def _learn(task: Task, row: Row) -> tuple[list[Tensor], dict[str, object], CurveSeries]:
    """Predictions of each split's test set (the first with turned structures), and the curve."""
    family = task.family
    errors: dict[int, list[float]] = {size: [] for size in family.sizes}
    n_train = len(family.data.splits[0][0])
    errors[n_train], blocks, described = [], [], []
    for number, (train, test) in enumerate(family.data.splits):
        orders = [_order(train, seed) for seed in range(family.orders)]
        base = task.baseline(orders[0])
        fits = {centers: task.regression(row, centers, base) for centers in row.centers}
        choices = {}
        for centers, fit in fits.items():
            weights = fit.choose(orders[0], None).term_weights
            choices[centers] = fit.choose(orders[0], weights, MORE_COMPONENTS)
        centers = min(choices, key=lambda c: cross_validated(choices[c]))
        choice = choices[centers]
        n_real = family.data.structures.n_structures
        turned = range(n_real, n_real + N_TURNED) if number == 0 else ()
        others = torch.tensor([*test, *turned])
        block = fits[centers].predict(orders[0], choice, others) + base[others]
        blocks.append(block)
        errors[n_train].append(task.percent(test, block[: len(test)]))
        described.append(_described(choice, centers, task.targets()[orders[0]]))
        for order in orders:
            for size in family.sizes:
                subset = order[:size]
                base = task.baseline(subset)
                fit = replace(fits[centers], targets=task.targets() - base[:n_real])
                own = fit.choose(subset, choice.term_weights)
                guess = fit.predict(subset, own, torch.tensor(test)) + base[test]
                errors[size].append(task.percent(test, guess))
    curve = CurveSeries(
        sizes=tuple(errors),
        errors=tuple(float(np.mean(e)) for e in errors.values()),
        spreads=tuple(_standard_error(e) for e in errors.values()),
    )
    return blocks, described[0], curve


def _described(
    choice: Choice, centers: tuple[int, ...], targets: Float[Tensor, "structure m copy"]
) -> dict[str, object]:
    deviation = standard_deviation(targets.flatten(start_dim=1))
    return {
        "cv_percent": cross_validated(choice) / deviation * 100,
        "term_weights": list(choice.term_weights),
        "regularization": choice.regularization,
        "centers": list(centers),
    }


def _result(
    family: Family,
    key: str,
    model: str,
    blocks: dict[Irrep, list[Tensor]],
    choices: dict[str, dict[str, object]],
    rotations: Float[Tensor, "turned 3 3"],
) -> Result:
    known = family.data.properties[key]
    kind = tensor_kind(known.tensor)
    tables: dict[str, list] = {}
    for number, (_, test) in enumerate(family.data.splits):
        values = kind.to_cartesian({irrep: parts[number] for irrep, parts in blocks.items()})
        if number == 0:
            turned, values = values[len(test) :], values[: len(test)]
            own = values[:N_TURNED].reshape(-1, *kind.shape)
            for axis in range(1, kind.rank + 1):
                own = torch.einsum("sxy,s...y->s...x", rotations, own.movedim(axis, -1))
                own = own.movedim(-1, axis)
            deviation = standard_deviation(known.values[test])
            worst = float((own.flatten(start_dim=1) - turned).abs().max()) / deviation
        errors = evaluate(
            Prediction(values=values),
            known.values[test],
            model=model,
            split="test",
            unit=known.unit,
            tensor=known.tensor,
        )
        for row in (errors.rows[0], *errors.components):
            tables.setdefault(row.group, []).append(row)
    return Result(
        property=key,
        model=model,
        unit=known.unit,
        errors={
            group: {
                **{n: float(np.mean([getattr(r, n) for r in rows])) for n in _MEASURES},
                "standard_error_percent": _standard_error([r.rmse_percent for r in rows]),
            }
            for group, rows in tables.items()
        },
        choices=choices,
        turned=worst,
    )


_MEASURES = ("rmse", "mae", "rmse_percent")


def _standard_error(values: list[float]) -> float:
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0


def _order(train: list[int], seed: int) -> Int[Tensor, " structure"]:
    shuffled = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return torch.tensor(train)[shuffled]


def _with_turned(
    structures: Structures, chosen: list[int], rotations: Float[Tensor, "turned 3 3"]
) -> Structures:
    """The structures, then the chosen ones turned with their cells, each in its own way."""
    some = structures.select(chosen)
    of_atoms = rotations[some.structure_index]
    n = structures.n_structures
    return Structures(
        positions=torch.cat(
            [structures.positions, torch.einsum("axy,ay->ax", of_atoms, some.positions)]
        ),
        species=torch.cat([structures.species, some.species]),
        cell=torch.cat([structures.cell, torch.einsum("sxy,scy->scx", rotations, some.cell)]),
        pbc=torch.cat([structures.pbc, some.pbc]),
        structure_index=torch.cat([structures.structure_index, some.structure_index + n]),
    )
