"""What each extension adds to SOAP + rho x V for the trace of bulk water, one at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.analysis import rmse_percent
from multilode.basis_optimization import optimized_basis
from multilode.correlations import ContractionSettings
from multilode.designs import pooled_features
from multilode.expand import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import PooledFeatures, Ridge
from multilode.radial import GaussianTypeOrbitals
from multilode.report import Table
from multilode.representation import Representation
from multilode.reproduce.learning import Task
from multilode.reproduce.models import Model, error_row
from multilode.reproduce.outcome import Row
from multilode.reproduce.study import Stage
from multilode.structures import Structures

CUTOFF, DEGREE, N_RADIAL, N_PRIMITIVE = 3.0, 3, 4, 12
EXAMPLES = 20  # boxes to which bases and contractions are fitted
KEPT = 200  # features of a product of three fields
PREFIX = "extension: "
_PLAIN = (("rho", "rho"), ("rho", "V1"))


@final
@dataclass(frozen=True, kw_only=True)
class Extensions:
    """Errors of all variants.

    Args:
        rows: one for each.
        table: the same in one place, with numbers of features.
        config: every hyper-parameter.
    """

    rows: tuple[Row, ...]
    table: Table
    config: dict[str, Any]


def extensions(task: Task, data: str, stage: Stage) -> Extensions:
    """Fit each variant to all training boxes, with the regularization of cross-validation.

    Args:
        task: boxes and the trace.
        data: name of the data set.
        stage: starts a progress report.
    """
    examples = task.train.structures.select(range(EXAMPLES))
    y, reference = (
        torch.from_numpy(part.column(task.target.key))[:, None] for part in (task.train, task.test)
    )
    rows, lines, config = [], [], {}
    for model in variants(task):
        stage(f"{model.name}, {data}")
        train, test = _features(model, task, examples)
        fitted = model.estimator.fit(train, y)
        predicted = fitted.predict_pooled(test)
        rows.append(_row(model.name, reference, predicted, data, len(y)))
        percent = rmse_percent(reference, predicted)
        width = sum(term.shape[1] for term in train.terms)
        lines.append((model.name, width, min(t["rmse"] for t in fitted.cv_table), percent))
        config[f"{model.name}, {data}"] = {
            "terms": [list(names) for names in model.correlations],
            "fields": {name: _said(field) for name, field in model.expansions.items()},
            "term_weights": list(fitted.term_weights),
            "regularization": fitted.regularization,
        }
    header = ("variant", "features", "RMSE in cross-validation", "test RMSE%")
    return Extensions(
        rows=tuple(rows), table=Table(header=header, rows=tuple(lines)), config=config
    )


def extension_note(found: Extensions, data: str) -> str:
    """All of them in one sentence."""
    first, *others = found.rows
    said = [f"{row.model.removeprefix(PREFIX)} {row.rmse_percent:.3g} %" for row in others]
    return (
        f"{data}, one extension at a time of {first.model.removeprefix(PREFIX)} with small bases "
        f"({first.rmse_percent:.3g} %): {'; '.join(said)}."
    )


def variants(task: Task) -> list[Model]:
    """The plain model and one change of it at a time."""
    basis = GaussianTypeOrbitals(N_RADIAL, CUTOFF)
    rho = FieldExpansion(GaussianDensity(0.3), basis, DEGREE, cutoff=CUTOFF)

    def potential(exponent: float, **given: Any) -> FieldExpansion:
        field = SmearedPotential(1.0, exponent)
        return FieldExpansion(field, given.pop("radial", basis), DEGREE, **given)

    fields = {"rho": rho} | {f"V{p}": potential(float(p)) for p in (1, 2, 4)}
    far = {f"V{p}": potential(float(p), range="far", range_cutoff=CUTOFF) for p in (1, 2, 4)}
    exponents = (("rho", "rho"), ("rho", "V1"), ("rho", "V2"), ("rho", "V4"))
    return [
        _variant("plain: rho x rho + rho x V1", fields, _PLAIN),
        _variant("three exponents: V1, V2, V4", fields, exponents),
        _variant("far field only: V1 beyond 3 Å", {"rho": rho, **far}, _PLAIN),
        _variant("three exponents, far field only", {"rho": rho, **far}, exponents),
        _variant("nu = 3: and rho x rho x V1", fields, (*_PLAIN, ("rho", "rho", "V1"))),
        _variant(f"{N_RADIAL} optimized radial functions", _optimized(task), _PLAIN),
        _variant(f"{N_PRIMITIVE // 2} Gaussian orbitals", _larger(N_PRIMITIVE // 2), _PLAIN),
    ]


def _optimized(task: Task) -> dict[str, FieldExpansion]:
    """As many functions as in the plain model, made of more for these boxes."""
    examples = task.train.structures.select(range(EXAMPLES))
    return {
        name: optimized_basis(field, examples, N_RADIAL)[0]
        for name, field in _larger(N_PRIMITIVE).items()
    }


def _larger(n_radial: int) -> dict[str, FieldExpansion]:
    basis = GaussianTypeOrbitals(n_radial, CUTOFF)
    return {
        "rho": FieldExpansion(GaussianDensity(0.3), basis, DEGREE, cutoff=CUTOFF),
        "V1": FieldExpansion(SmearedPotential(1.0, 1.0), basis, DEGREE),
    }


def _variant(
    name: str, fields: dict[str, FieldExpansion], terms: tuple[tuple[str, ...], ...]
) -> Model:
    estimator = Ridge(folds=10, reduce="mean", term_weights=(1.0,) * len(terms))
    return Model.of(name, fields, terms, estimator)


def _features(model: Model, task: Task, examples: Structures) -> Sequence[PooledFeatures]:
    recipe: Representation = model.representation(task.species)
    if any(len(names) > 2 for names in model.correlations):
        recipe = recipe.contracted([examples], ContractionSettings(max_features=KEPT))
    return [
        pooled_features(recipe, part.structures, reduce="mean") for part in (task.train, task.test)
    ]


def _row(
    name: str,
    reference: Float[Tensor, "structure 1"],
    predicted: Float[Tensor, "structure 1"],
    data: str,
    n_train: int,
) -> Row:
    return error_row(
        f"{PREFIX}{name}",
        reference,
        predicted,
        data=data,
        subset="test, trace",
        n_train=n_train,
        unit="",
    )


def _said(field: FieldExpansion) -> str:
    """Without the values of a table, which are many."""
    name = type(field.radial).__name__
    size = f"{field.radial.n_radial} {name}, max_angular {field.max_angular}"
    return f"{field.field}, {size}, range {field.range}"
