"""Fitted sparse kernel models."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.active import ActiveEnvironments, project
from multilode.models.environments import EnvironmentTerms
from multilode.models.kernel_model import compared_rows
from multilode.models.kernels import AbstractKernel
from multilode.models.kernels.stored import kernel_settings, kernels_from
from multilode.models.model import AbstractModel
from multilode.models.posterior import ProjectedPosterior
from multilode.models.row_kernels import kernel_between, kernel_diagonal, prepare_terms
from multilode.models.summary import ModelSummary, PartSummary
from multilode.models.reduce import Reduce
from multilode.models.term_weights import Trial, cv_rmse
from multilode.symmetry.irrep import Irrep

_NAMES = ("half", "mean", "noise", "amplitude")


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class SparseKernelModel(AbstractModel):
    """y_A = sum_j a_j k_Aj + b over active environments j of each term.

    Args:
        kernels: kernel of each correlation term.
        active: active environments of each term; None for a term that is linear in its features.
        weights: a of each term, all scales inside; for a linear term the weights of its features.
        intercept: b; zeros if the model has none.
        factors: term weight over the mean diagonal of the term's projected kernel.
        term_weights: chosen or given weights of the scaled kernels.
        regularization: relative to the mean eigenvalue of the weighted kernel about its mean.
        reduce: sum or mean over centers.
        centers: center species that are compared with their own kind only; None compares all.
        irrep: what the rows are components of.
        posterior: for standard deviations; None if they were not asked for.
        cv_table: trials of the cross-validation.
    """

    kernels: tuple[AbstractKernel, ...]
    active: tuple[ActiveEnvironments | None, ...]
    weights: tuple[Float[Tensor, "_ target"], ...]
    intercept: Float[Tensor, " target"]
    factors: tuple[float, ...]
    term_weights: tuple[float, ...]
    regularization: float
    reduce: Reduce
    centers: tuple[int, ...] | None
    posterior: ProjectedPosterior | None
    irrep: Irrep = Irrep(0)
    cv_table: tuple[Trial, ...] = ()

    def __repr__(self) -> str:
        sizes = ("linear" if a is None else f"{len(a.rows.slots)} active" for a in self.active)
        return f"SparseKernelModel({self.n_targets} targets, terms {', '.join(sizes)})"

    @property
    def n_targets(self) -> int:
        """Number of predicted columns."""
        return len(self.intercept)

    def predict(self, features: Features) -> Float[Tensor, "row target"]:
        """Predictions, differentiable in the features."""
        return self._mean(self._compared(self._prepare(features)))

    def predict_with_std(
        self, features: Features
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row target"]]:
        """Mean and standard deviation of the projected process, noise of the data not included.

        Raises:
            ValueError: if the model was trained with `uncertainty=False`.
        """
        if self.posterior is None:
            raise ValueError(
                "this sparse kernel model was trained without standard deviations; "
                "train it with uncertainty=True"
            )
        new = self._prepare(features)
        compared, phi, own = self._compared(new), [], 0.0
        for number, (active, factor) in enumerate(zip(self.active, self.factors, strict=True)):
            part = compared[number]
            phi.append(factor**0.5 * (part if active is None else active.features(part)))
            own = own + factor * kernel_diagonal(self.kernels[number], new.terms[number])
        variance = self.posterior.variance(torch.cat(phi, dim=1), own)
        return self._mean(compared), variance.sqrt()

    def deviations(self, features: Features) -> None:  # noqa: ARG002 - the interface of a model
        """None: there are no members."""

    def combined(self, matrix: Float[Tensor, "target new"]) -> "SparseKernelModel":
        """The model whose columns are linear combinations of the columns of this one."""
        weights = tuple(weight @ matrix for weight in self.weights)
        return replace(self, weights=weights, intercept=self.intercept @ matrix, posterior=None)

    def summary(self) -> ModelSummary:
        """Regularization, term weights and powers."""
        part = PartSummary(
            irrep=self.irrep,
            regularization=self.regularization,
            term_weights=self.term_weights,
            kernels=self.kernels,
            cv_rmse=cv_rmse(self.cv_table),
        )
        return ModelSummary(parts=(part,), cv_rmse=part.cv_rmse)

    def tensors(self) -> dict[str, Tensor]:
        """The numbers of the model, by name, for a file."""
        named = {"intercept": self.intercept}
        for number, (active, weight) in enumerate(zip(self.active, self.weights, strict=True)):
            named[f"weights.{number}"] = weight
            own = {} if active is None else active.tensors()
            named |= {f"active.{number}.{name}": tensor for name, tensor in own.items()}
        posterior = self.posterior
        if posterior is not None:
            named |= {f"posterior.{name}": getattr(posterior, name) for name in _NAMES}
        return named

    def settings(self) -> dict[str, Any]:
        """Everything else, in types that JSON knows."""
        return {
            "kernels": [kernel_settings(kernel) for kernel in self.kernels],
            "factors": list(self.factors),
            "term_weights": list(self.term_weights),
            "regularization": self.regularization,
            "pooling": self.reduce,
            "centers": None if self.centers is None else list(self.centers),
            "irrep": list(self.irrep),
            "cv_table": [asdict(trial) for trial in self.cv_table],
        }

    @classmethod
    def from_parts(
        cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
    ) -> "SparseKernelModel":
        """The model back from `tensors()` and `settings()`."""
        centers, irrep = settings["centers"], Irrep(*settings.get("irrep", Irrep(0)))
        kernels, components = kernels_from(settings), 2 * irrep.degree + 1
        prefixes = [f"active.{number}." for number in range(len(kernels))]
        own = [
            {name.removeprefix(p): t for name, t in tensors.items() if name.startswith(p)}
            for p in prefixes
        ]
        posterior = None
        if "posterior.half" in tensors:
            named = {name: tensors[f"posterior.{name}"] for name in _NAMES}
            posterior = ProjectedPosterior(**named)
        return cls(
            kernels=kernels,
            active=tuple(ActiveEnvironments.from_tensors(part, components) for part in own),
            weights=tuple(tensors[f"weights.{number}"] for number in range(len(kernels))),
            intercept=tensors["intercept"],
            factors=tuple(settings["factors"]),
            term_weights=tuple(settings["term_weights"]),
            regularization=settings["regularization"],
            reduce=settings["pooling"],
            centers=None if centers is None else tuple(centers),
            irrep=irrep,
            posterior=posterior,
            cv_table=tuple(Trial.of(row) for row in settings["cv_table"]),
        )

    def _prepare(self, features: Features) -> EnvironmentTerms:
        rows = compared_rows(features, self.kernels, self.irrep).to(self.intercept.device)
        return prepare_terms(rows, self.kernels, reduce=self.reduce, centers=self.centers)

    def _compared(self, new: EnvironmentTerms) -> list[Float[Tensor, "row _"]]:
        """Kernels with the active environments, or the features of a linear term."""
        triples = zip(new.terms, self.kernels, self.active, strict=True)
        return [
            project(rows, kernel, None)
            if active is None
            else kernel_between(kernel, rows, active.rows)
            for rows, kernel, active in triples
        ]

    def _mean(
        self, compared: list[Float[Tensor, "row _"]]
    ) -> Float[Tensor, "row target"]:
        pairs = zip(compared, self.weights, strict=True)
        return self.intercept + sum(part @ weight for part, weight in pairs)
