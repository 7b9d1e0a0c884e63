"""Linear models on pooled features."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.force_rows import Rows, regression_rows
from multilode.models.model import (
    AbstractEstimator,
    AbstractModel,
    Draw,
    Learner,
    Some,
    check_targets,
)
from multilode.models.pooling import PooledFeatures, pool_features
from multilode.models.primal import Subsets, Thin, absolute_regularization, solve_subsets
from multilode.models.spectrum import term_spectra
from multilode.models.targets import Reduce, check_reduce
from multilode.models.term_weights import Choice, check_settings, choose

_ROUNDING = 1e-13  # what a sum over structures leaves of features that are all the same


@final
@dataclass(frozen=True, kw_only=True)
class RidgeModel(AbstractModel):
    """y_A = sum_c x_Ac . w_c + b, with the pooled features x_Ac of correlation term c.

    Args:
        weights: one matrix per term, for features as they come (all scales are inside).
        intercept: b; zeros if the model has none.
        scales: root mean squared norm of the pooled rows of each term, about their mean if there is
            an intercept; features are divided by it before the term weights act.
        term_weights: w_c of K = sum_c w_c X_c X_c^T.
        regularization: relative to the mean eigenvalue of K about its mean.
        pooling: sum or mean over centers.
        centers: center species with weights of their own; None if all centers share them.
        cv_table: rows of the cross-validation, plain types.
    """

    weights: tuple[Float[Tensor, "_ target"], ...]
    intercept: Float[Tensor, " target"]
    scales: tuple[float, ...]
    term_weights: tuple[float, ...]
    regularization: float
    pooling: Reduce
    centers: tuple[int, ...] | None
    cv_table: tuple[dict[str, Any], ...] = ()

    @property
    def n_targets(self) -> int:
        """Number of predicted columns."""
        return len(self.intercept)

    @property
    def reduce(self) -> Reduce:
        """Sum over centers (extensive) or mean (intensive)."""
        return self.pooling

    def predict_pooled(self, pooled: PooledFeatures) -> Float[Tensor, "structure target"]:
        """Predictions from features that are pooled already.

        Raises:
            ValueError: if number or width of the terms are not those of the training.
        """
        widths = [term.shape[1] for term in pooled.terms]
        expected = [len(weight) for weight in self.weights]
        if widths != expected:
            raise ValueError(
                f"pooled features have {widths} columns per term, the model was fitted with "
                f"{expected}; compute them with the representation of the training"
            )
        parts = zip(pooled.terms, self.weights, strict=True)
        return self.intercept + sum(x.to(w) @ w for x, w in parts)

    def predict(self, features: Features) -> Float[Tensor, "structure target"]:
        """Predictions, differentiable in the features."""
        return self.predict_pooled(
            pool_features(features, reduce=self.pooling, centers=self.centers)
        )

    def predict_with_std(
        self,
        features: Features,  # noqa: ARG002 - the interface of a model
    ) -> tuple[Float[Tensor, "structure target"], Float[Tensor, "structure target"]]:
        """Not available.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "a ridge model has no standard deviations for its predictions; "
            "train a committee, or the kernel model (zeta = 1 is the same linear model, as a "
            "Gaussian process)"
        )

    def combined(self, matrix: Float[Tensor, "target new"]) -> "RidgeModel":
        """The model whose columns are linear combinations of the columns of this one."""
        weights = tuple(weight @ matrix for weight in self.weights)
        return replace(self, weights=weights, intercept=self.intercept @ matrix)

    def tensors(self) -> dict[str, Tensor]:
        """The numbers of the model, by name, for a file."""
        weights = {f"weights.{k}": weight for k, weight in enumerate(self.weights)}
        return {**weights, "intercept": self.intercept}

    def settings(self) -> dict[str, Any]:
        """Everything else, in types that JSON knows."""
        return {
            "scales": list(self.scales),
            "term_weights": list(self.term_weights),
            "regularization": self.regularization,
            "pooling": self.pooling,
            "centers": None if self.centers is None else list(self.centers),
            "cv_table": list(self.cv_table),
        }

    @classmethod
    def from_parts(cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> "RidgeModel":
        """The model back from `tensors()` and `settings()`."""
        centers = settings["centers"]
        scales = tuple(settings["scales"])
        return cls(
            weights=tuple(tensors[f"weights.{k}"] for k in range(len(scales))),
            intercept=tensors["intercept"],
            scales=scales,
            term_weights=tuple(settings["term_weights"]),
            regularization=settings["regularization"],
            pooling=settings["pooling"],
            centers=None if centers is None else tuple(centers),
            cv_table=tuple(settings["cv_table"]),
        )


@final
@dataclass(frozen=True, kw_only=True)
class Ridge(AbstractEstimator[PooledFeatures]):
    """Ridge regression on pooled features, several correlation terms with weights w_c >= 0.

    The penalty is that of the kernel K = sum_c w_c X_c X_c^T, where X_c are the pooled features of
    a term divided by their root mean squared norm. Source: Grisafi2021 section 4.3.

    Args:
        regularization: relative to the mean eigenvalue of K about its mean; None for
            cross-validation.
        term_weights: one per term; None for cross-validation.
        folds: number of folds, None for leave-one-out.
        seed: of the folds.
        per_species: one weight vector per center species.
        reduce: "sum" for extensive, "mean" for intensive targets.
        intercept: unpenalized constant; None means only for `reduce="mean"`.

    Raises:
        ValueError: if a setting is out of range.
    """

    regularization: float | None = None
    term_weights: tuple[float, ...] | None = None
    folds: int | None = 5
    seed: int = 0
    per_species: bool = True
    reduce: Reduce = "sum"
    intercept: bool | None = None

    def __post_init__(self) -> None:
        check_settings(self.regularization, self.term_weights, self.folds)
        check_reduce(self.reduce)

    def explore(self, some: Some[Features], centers: tuple[int, ...]) -> None:
        """Nothing: this method needs no look at the structures before it collects them."""

    def collect(
        self,
        batches: Iterable[Features],
        centers: tuple[int, ...],
        known: None = None,  # noqa: ARG002 - the interface of an estimator
    ) -> PooledFeatures:
        """Pool each batch, keep the result on the CPU in float64, and forget its centers."""
        pooled = (self.design_of(batch, centers) for batch in batches)
        return PooledFeatures.concatenate(
            replace(own, terms=tuple(term.detach().cpu().double() for term in own.terms))
            for own in pooled
        )

    def design_of(
        self,
        features: Features,
        centers: tuple[int, ...],
        known: None = None,  # noqa: ARG002 - the interface of an estimator
    ) -> PooledFeatures:
        """Pooled features of one batch."""
        chosen = centers if self.per_species else None
        return pool_features(features, reduce=self.reduce, centers=chosen)

    def fit(
        self,
        design: PooledFeatures,
        y: Float[Tensor, "structure target"],
        *,
        groups: Int[Tensor, " structure"] | None = None,
    ) -> RidgeModel:
        """Fit by one singular value decomposition, after the choice of what was left open.

        Args:
            groups: structures with equal numbers are never split between folds.

        Raises:
            ValueError: if shapes disagree, numbers are not finite or data are too few.
        """
        fitting = self._prepare(design, y, groups)
        thin = Thin.of(fitting.stack, fitting.rows.y, intercept=fitting.intercept)
        return self._model(fitting, design, *thin.solve(fitting.regularization))

    def fit_members(
        self,
        design: PooledFeatures,
        y: Float[Tensor, "structure target"],
        *,
        subsets: Subsets,
        groups: Int[Tensor, " structure"] | None = None,
    ) -> tuple[RidgeModel, Float[Tensor, "structure column"]]:
        """One regression for each subset, with what was chosen on all.

        Returns:
            A model with columns [subset, target], and what it says of all structures.

        Raises:
            ValueError: as for `fit`.
        """
        fitting = self._prepare(design, y, groups)
        solution = solve_subsets(
            fitting.stack,
            fitting.rows.y,
            fitting.regularization,
            [fitting.rows.of(subset) for subset in subsets],
            intercept=fitting.intercept,
        )
        model = self._model(fitting, design, *solution)
        return model, model.predict_pooled(design)

    def _prepare(
        self,
        design: PooledFeatures,
        y: Float[Tensor, "structure target"],
        groups: Int[Tensor, " structure"] | None,
    ) -> "_Fitting":
        """Scale the features and choose what was left open."""
        y = check_targets(y, design.n_structures)
        intercept = self.reduce == "mean" if self.intercept is None else self.intercept
        raw = tuple(term.detach().double() for term in design.terms)
        rows = regression_rows(raw, y, design.forces, groups=groups, intercept=intercept)
        constant = y.new_ones(len(rows.y), int(intercept))  # no column without an intercept
        means = tuple(term.mean(dim=0) * int(intercept) for term in rows.terms)
        centered = tuple(_about(term, mean) for term, mean in zip(rows.terms, means, strict=True))
        scales = tuple(_root_mean_squared_norm(term) for term in centered)
        scaled = tuple(term / scale for term, scale in zip(centered, scales, strict=True))
        choice = choose(
            term_spectra(scaled, constant),
            len(scaled),
            rows.y,
            regularization=self.regularization,
            term_weights=self.term_weights,
            folds=self.folds,
            seed=self.seed,
            groups=rows.groups,
            n_targets=rows.n_structures,
        )
        roots = [weight**0.5 for weight in choice.term_weights]
        stack = torch.cat([term * r for term, r in zip(scaled, roots, strict=True)], dim=1)
        return _Fitting(
            stack=stack,
            rows=rows,
            means=means,
            scales=scales,
            choice=choice,
            regularization=absolute_regularization(stack, choice.regularization, rows.n_structures),
            intercept=intercept,
        )

    def _model(
        self,
        fitting: "_Fitting",
        design: PooledFeatures,
        weights: Float[Tensor, "feature column"],
        offsets: Float[Tensor, " column"],
    ) -> RidgeModel:
        """Back to features as they come."""
        parts = weights.split([len(mean) for mean in fitting.means])
        factors = zip(fitting.choice.term_weights, fitting.scales, strict=True)
        unscaled = tuple(p * (w**0.5 / s) for p, (w, s) in zip(parts, factors, strict=True))
        explained = sum(mean @ own for mean, own in zip(fitting.means, unscaled, strict=True))
        return RidgeModel(
            weights=unscaled,
            intercept=offsets - explained,
            scales=fitting.scales,
            term_weights=fitting.choice.term_weights,
            regularization=fitting.choice.regularization,
            pooling=self.reduce,
            centers=design.centers,
            cv_table=tuple(trial.as_row() for trial in fitting.choice.table),
        )

    def learner(
        self,
        train: PooledFeatures,
        test: PooledFeatures,
        groups: Int[Tensor, " structure"] | None = None,
        *,
        draw: Draw | None = None,
    ) -> Learner:
        """Fit to a subset, predict `test`; everything is chosen again on each subset."""

        def predict(
            indices: Int[Tensor, " chosen"], y: Float[Tensor, "chosen target"]
        ) -> Float[Tensor, "test column"]:
            chosen, some = None if groups is None else groups[indices], train.select(indices)
            if draw is None:
                return self.fit(some, y, groups=chosen).predict_pooled(test)
            subsets = draw(len(indices), chosen)
            return self.fit_members(some, y, subsets=subsets, groups=chosen)[0].predict_pooled(test)

        return predict

    def with_settings(self, **settings: Any) -> "Ridge":
        """The same with other settings."""
        return replace(self, **settings)


@final
@dataclass(frozen=True, kw_only=True)
class _Fitting:
    """Features scaled and weighted, and what they are regressed with."""

    stack: Float[Tensor, "row feature"]
    rows: Rows
    means: tuple[Float[Tensor, " _"], ...]
    scales: tuple[float, ...]
    choice: Choice
    regularization: float
    intercept: bool


def _about(
    rows: Float[Tensor, "structure feature"], mean: Float[Tensor, " feature"]
) -> Float[Tensor, "structure feature"]:
    """Rows less `mean`; exactly zero if they differ by rounding, which no scale may blow up."""
    centered = rows - mean
    if bool(centered.norm() <= _ROUNDING * rows.norm()):
        return torch.zeros_like(rows)
    return centered


def _root_mean_squared_norm(rows: Float[Tensor, "structure feature"]) -> float:
    norm = float(rows.square().sum(dim=1).mean().sqrt())
    return norm if norm > 0 else 1.0
