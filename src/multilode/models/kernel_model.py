"""Fitted kernel models."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.environments import Environments, EnvironmentTerms
from multilode.models.model import AbstractModel
from multilode.models.polynomial_kernel import PolynomialKernel, prepare_terms
from multilode.models.posterior import Posterior
from multilode.models.targets import Reduce


@final
@dataclass(frozen=True, kw_only=True)
class KernelModel(AbstractModel):
    """y_A = sum_B a_B sum_c f_c K^c_AB + b over the training structures B.

    Args:
        kernels: kernel of each correlation term.
        environments: training environments of each term; without any row where they are not needed.
        moments: for zeta = 1 and 2 the training set summed into one vector or matrix per slot, with
            which a prediction costs no more than a linear model; an empty tensor for larger zeta.
        dual: a.
        intercept: b; zeros if the model has none.
        factors: f_c, the term weight over the mean diagonal of the term's kernel.
        term_weights: chosen or given weights of the scaled kernels.
        regularization: relative to the mean eigenvalue of the weighted kernel about its mean.
        pooling: sum or mean over centers.
        centers: center species that are compared with their own kind only; None compares all.
        posterior: for standard deviations; None if they were not asked for.
        cv_table: rows of the cross-validation, plain types.
    """

    kernels: tuple[PolynomialKernel, ...]
    environments: tuple[Environments, ...]
    moments: tuple[Float[Tensor, "..."], ...]
    dual: Float[Tensor, "structure target"]
    intercept: Float[Tensor, " target"]
    factors: tuple[float, ...]
    term_weights: tuple[float, ...]
    regularization: float
    pooling: Reduce
    centers: tuple[int, ...] | None
    posterior: Posterior | None
    cv_table: tuple[dict[str, Any], ...] = ()

    @property
    def n_targets(self) -> int:
        """Number of predicted columns."""
        return len(self.intercept)

    @property
    def reduce(self) -> Reduce:
        """Sum over centers (extensive) or mean (intensive)."""
        return self.pooling

    def predict(self, features: Features) -> Float[Tensor, "structure target"]:
        """Predictions, differentiable in the features."""
        return self.predict_environments(self._prepare(features))

    def predict_environments(self, new: EnvironmentTerms) -> Float[Tensor, "structure target"]:
        """Predictions from environments that are prepared already."""
        total = self.intercept.expand(new.n_structures, -1)
        for number, factor in enumerate(self.factors):
            if factor > 0:
                total = total + factor * self._term(number, new.terms[number])
        return total

    def predict_with_std(
        self, features: Features
    ) -> tuple[Float[Tensor, "structure target"], Float[Tensor, "structure target"]]:
        """Mean and standard deviation of the Gaussian process, noise of the data not included.

        Raises:
            ValueError: if the model was trained with `uncertainty=False`.
        """
        if self.posterior is None:
            raise ValueError(
                "this kernel model was trained without standard deviations; "
                "train it with uncertainty=True"
            )
        new = self._prepare(features)
        cross, own = 0.0, 0.0
        for number, (kernel, factor) in enumerate(zip(self.kernels, self.factors, strict=True)):
            cross = cross + factor * kernel.between(new.terms[number], self.environments[number])
            own = own + factor * kernel.diagonal(new.terms[number])
        variance = self.posterior.variance(cross, own)
        return self.predict_environments(new), variance.sqrt()

    def combined(self, matrix: Float[Tensor, "target new"]) -> "KernelModel":
        """The model whose columns are linear combinations of the columns of this one."""
        return replace(
            self,
            moments=tuple(_combined_moments(moments, matrix) for moments in self.moments),
            dual=self.dual @ matrix,
            intercept=self.intercept @ matrix,
            posterior=None,
        )

    def tensors(self) -> dict[str, Tensor]:
        """The numbers of the model, by name, for a file."""
        named = {"dual": self.dual, "intercept": self.intercept}
        for number, (rows, moments) in enumerate(zip(self.environments, self.moments, strict=True)):
            named[f"values.{number}"] = rows.values
            named[f"structure_index.{number}"] = rows.structure_index
            named[f"slots.{number}"] = rows.slots
            named[f"moments.{number}"] = moments
            if rows.invariants is not None:
                named[f"invariants.{number}"] = rows.invariants
        return named if self.posterior is None else {**named, **self.posterior.tensors()}

    def settings(self) -> dict[str, Any]:
        """Everything else, in types that JSON knows."""
        return {
            "zeta": [kernel.zeta for kernel in self.kernels],
            "normalize": [kernel.normalize for kernel in self.kernels],
            "n_structures": [rows.n_structures for rows in self.environments],
            "factors": list(self.factors),
            "term_weights": list(self.term_weights),
            "regularization": self.regularization,
            "pooling": self.pooling,
            "centers": None if self.centers is None else list(self.centers),
            "cv_table": list(self.cv_table),
        }

    @classmethod
    def from_parts(
        cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
    ) -> "KernelModel":
        """The model back from `tensors()` and `settings()`."""
        pairs = zip(settings["zeta"], settings["normalize"], strict=True)
        centers = settings["centers"]
        return cls(
            kernels=tuple(PolynomialKernel(zeta=z, normalize=n) for z, n in pairs),
            environments=tuple(
                Environments(
                    values=tensors[f"values.{number}"],
                    structure_index=tensors[f"structure_index.{number}"],
                    slots=tensors[f"slots.{number}"],
                    n_structures=n_structures,
                    invariants=tensors.get(f"invariants.{number}"),
                )
                for number, n_structures in enumerate(settings["n_structures"])
            ),
            moments=tuple(tensors[f"moments.{k}"] for k in range(len(settings["zeta"]))),
            dual=tensors["dual"],
            intercept=tensors["intercept"],
            factors=tuple(settings["factors"]),
            term_weights=tuple(settings["term_weights"]),
            regularization=settings["regularization"],
            pooling=settings["pooling"],
            centers=None if centers is None else tuple(centers),
            posterior=Posterior.from_tensors(tensors),
            cv_table=tuple(settings["cv_table"]),
        )

    def _prepare(self, features: Features) -> EnvironmentTerms:
        here = features.to(self.dual.device)
        return prepare_terms(here, self.kernels, reduce=self.pooling, centers=self.centers)

    def _term(self, number: int, new: Environments) -> Float[Tensor, "structure target"]:
        """sum_B a_B K_AB of one term."""
        kernel, moments = self.kernels[number], self.moments[number]
        if needs_environments(kernel.zeta, new):
            trained = self.environments[number]
            cross = kernel.between(new, trained)
            return cross @ self.dual
        total = new.values.new_zeros(new.n_structures, self.n_targets)
        for slot in new.slots.unique().tolist():
            rows = new.of_slot(slot)
            values = _apply_moments(rows.values, moments[slot], kernel.zeta)
            total = total.index_add(0, rows.structure_index, values)
        return total


def needs_environments(zeta: int, rows: Environments) -> bool:
    """Whether predictions need all training environments, and not only sums over them."""
    return zeta > 2 or (zeta > 1 and rows.invariants is not None)


def summed_environments(
    rows: Environments, dual: Float[Tensor, "structure target"], zeta: int, n_slots: int
) -> Float[Tensor, "..."]:
    """Training environments with their weights, summed where the kernel allows it.

    Returns:
        sum_i a_i x_i as [slot, feature, target] for zeta = 1, sum_i a_i x_i x_i^T as
        [slot, target, feature, feature] for zeta = 2, nothing for larger zeta.
    """
    if needs_environments(zeta, rows):
        return dual.new_zeros(0)
    parts = []
    for slot in range(n_slots):
        chosen = rows.of_slot(slot)
        x, a = chosen.values, dual[chosen.structure_index]
        if zeta == 1:
            parts.append(x.T @ a)
        else:
            parts.append(torch.stack([(x * column[:, None]).T @ x for column in a.T]))
    return torch.stack(parts)


def _apply_moments(
    x: Float[Tensor, "row feature"], moments: Float[Tensor, "..."], zeta: int
) -> Float[Tensor, "row target"]:
    if zeta == 1:
        return x @ moments
    return torch.stack([((x @ matrix) * x).sum(dim=1) for matrix in moments], dim=1)


def _combined_moments(
    moments: Float[Tensor, "..."], matrix: Float[Tensor, "target new"]
) -> Float[Tensor, "..."]:
    """Targets are the last axis for zeta = 1, the second for zeta = 2; otherwise there is none."""
    if moments.ndim == 4:
        return torch.einsum("stfg,tn->snfg", moments, matrix)
    return moments @ matrix if moments.ndim == 3 else moments
