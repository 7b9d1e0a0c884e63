"""Gain of each extension of SOAP + rho x V for the trace of bulk water, one at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.correlations import ContractionSettings
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import FeatureDesign, Ridge, training_rows
from multilode.prediction import pooled_features, rmse_percent
from multilode.progress import Stage
from multilode.radial import GaussianTypeOrbitals
from multilode.report import Table
from multilode.representation import Representation, optimized_basis
from multilode.structures import Structures
from multilode_papers.systems.learning import Task
from multilode_papers.systems.models import Model, error_row
from multilode_papers.systems.outcome import Row

CUTOFF, DEGREE, N_RADIAL, N_PRIMITIVE = 3.0, 3, 4, 12
EXPONENTS = (1, 2, 4)
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
    for model in variants(examples):
        stage(f"{model.name}, {data}")
        train, test = _features(model, task, examples)
        solution = model.estimator.solve(training_rows(train, y))
        predicted = solution.predict(test.beside(train))
        chosen = solution.model(train).summary()
        rows.append(_row(model.name, reference, predicted, data, len(y)))
        percent = rmse_percent(reference, predicted)
        width = sum(term.shape[1] for term in train.terms)
        lines.append((model.name, width, chosen.cv_rmse, percent))
        config[f"{model.name}, {data}"] = {
            "terms": [list(names) for names in model.products],
            "fields": {name: _said(field) for name, field in model.fields.items()},
            "term_weights": list(chosen.parts[0].term_weights or ()),
            "regularization": chosen.parts[0].regularization,
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


def variants(examples: Structures) -> list[Model]:
    """The plain model and one change of it at a time.

    Args:
        examples: boxes for which radial functions are optimized.
    """
    few, many = _fields(N_RADIAL), _fields(N_PRIMITIVE)
    far = few | {f"V{p}": _potential(p, N_RADIAL, "far") for p in EXPONENTS}
    optimized = {name: optimized_basis(many[name], examples, N_RADIAL)[0] for name in ("rho", "V1")}
    more = N_PRIMITIVE // 2
    exponents = (("rho", "rho"), *(("rho", f"V{p}") for p in EXPONENTS))
    return [
        _variant("plain: rho x rho + rho x V1", few, _PLAIN),
        _variant("three exponents: V1, V2, V4", few, exponents),
        _variant("far field only: V1 beyond 3 Å", far, _PLAIN),
        _variant("three exponents, far field only", far, exponents),
        _variant("nu = 3: and rho x rho x V1", few, (*_PLAIN, ("rho", "rho", "V1"))),
        _variant(f"{N_RADIAL} optimized radial functions", optimized, _PLAIN),
        _variant(f"{more} Gaussian orbitals", _fields(more), _PLAIN),
    ]


def _fields(n_radial: int) -> dict[str, FieldExpansion]:
    basis = GaussianTypeOrbitals(n_radial, CUTOFF)
    rho = FieldExpansion(GaussianDensity(0.3), basis, DEGREE, neighbor_cutoff=CUTOFF)
    return {"rho": rho} | {f"V{p}": _potential(p, n_radial, "all") for p in EXPONENTS}


def _potential(exponent: int, n_radial: int, part: Literal["all", "far"]) -> FieldExpansion:
    return FieldExpansion(
        SmearedPotential(1.0, float(exponent)),
        GaussianTypeOrbitals(n_radial, CUTOFF),
        DEGREE,
        range=part,
        near_radius=CUTOFF if part == "far" else None,
    )


def _variant(
    name: str, fields: dict[str, FieldExpansion], terms: tuple[tuple[str, ...], ...]
) -> Model:
    estimator = Ridge(folds=10, term_weights=(1.0,) * len(terms))
    return Model.of(name, fields, terms, estimator)


def _features(model: Model, task: Task, examples: Structures) -> Sequence[FeatureDesign]:
    recipe: Representation = model.representation(task.species)
    if any(len(names) > 2 for names in model.products):
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
    name = type(field.basis).__name__
    size = f"{field.basis.n_radial} {name}, max_angular {field.max_angular}"
    return f"{field.field}, {size}, range {field.range}"
