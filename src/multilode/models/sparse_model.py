"""Fitted sparse kernel models."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.active import ActiveEnvironments, project
from multilode.models.environments import EnvironmentTerms
from multilode.models.model import AbstractModel
from multilode.models.polynomial_kernel import PolynomialKernel, prepare_terms
from multilode.models.primal import Thin
from multilode.models.targets import Reduce

_NAMES = ("half", "mean", "noise", "amplitude")


@final
@dataclass(frozen=True, kw_only=True)
class ProjectedPosterior:
    """Variance of a projected process: that of the kernel itself less what the data explain.

    The features phi are those of all terms side by side, weighted. What the active environments
    do not describe of a structure, k - |phi|^2, stays uncertain.

    Args:
        half: V s (s^2 + g)^(-1/2), from the singular values of the training features.
        mean: of the training features; zero without an intercept.
        noise: g / n, what the mean of the training targets varies; zero without an intercept.
        amplitude: variance of the process per unit of kernel, for each target.
    """

    half: Float[Tensor, "column rank"]
    mean: Float[Tensor, " column"]
    noise: Float[Tensor, ""]
    amplitude: Float[Tensor, " target"]

    @staticmethod
    def of(thin: Thin, n: int, regularization: float, *, intercept: bool) -> "ProjectedPosterior":
        """From the decomposition that the fit has made; the amplitude is the most likely one."""
        variances = thin.singular.square() + regularization
        explained = (thin.along.square() / variances[:, None]).sum(dim=0)
        outside = (thin.total - thin.along.square().sum(dim=0)).clamp(min=0)
        return ProjectedPosterior(
            half=thin.right * (thin.singular / variances.sqrt()),
            mean=thin.mean,
            noise=thin.mean.new_tensor(regularization / n * int(intercept)),
            amplitude=(explained + outside / regularization) / max(n - int(intercept), 1),
        )

    def variance(
        self, phi: Float[Tensor, "new column"], own: Float[Tensor, " new"]
    ) -> Float[Tensor, "new target"]:
        """Variance of the noise-free function.

        Args:
            phi: features of new structures.
            own: kernel of each new structure with itself.
        """
        prior = own - 2 * phi @ self.mean + self.mean @ self.mean + self.noise
        explained = ((phi - self.mean) @ self.half).square().sum(dim=1)
        return (prior - explained).clamp(min=0)[:, None] * self.amplitude


@final
@dataclass(frozen=True, kw_only=True)
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
        pooling: sum or mean over centers.
        centers: center species that are compared with their own kind only; None compares all.
        posterior: for standard deviations; None if they were not asked for.
        cv_table: rows of the cross-validation, plain types.
    """

    kernels: tuple[PolynomialKernel, ...]
    active: tuple[ActiveEnvironments | None, ...]
    weights: tuple[Float[Tensor, "_ target"], ...]
    intercept: Float[Tensor, " target"]
    factors: tuple[float, ...]
    term_weights: tuple[float, ...]
    regularization: float
    pooling: Reduce
    centers: tuple[int, ...] | None
    posterior: ProjectedPosterior | None
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
        return self._mean(self._compared(self._prepare(features)))

    def predict_with_std(
        self, features: Features
    ) -> tuple[Float[Tensor, "structure target"], Float[Tensor, "structure target"]]:
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
            own = own + factor * self.kernels[number].diagonal(new.terms[number])
        variance = self.posterior.variance(torch.cat(phi, dim=1), own)
        return self._mean(compared), variance.sqrt()

    def combined(self, matrix: Float[Tensor, "target new"]) -> "SparseKernelModel":
        """The model whose columns are linear combinations of the columns of this one."""
        weights = tuple(weight @ matrix for weight in self.weights)
        return replace(self, weights=weights, intercept=self.intercept @ matrix, posterior=None)

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
            "zeta": [kernel.zeta for kernel in self.kernels],
            "normalize": [kernel.normalize for kernel in self.kernels],
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
    ) -> "SparseKernelModel":
        """The model back from `tensors()` and `settings()`."""
        pairs = list(zip(settings["zeta"], settings["normalize"], strict=True))
        centers = settings["centers"]
        prefixes = [f"active.{number}." for number in range(len(pairs))]
        own = [
            {name.removeprefix(p): t for name, t in tensors.items() if name.startswith(p)}
            for p in prefixes
        ]
        posterior = None
        if "posterior.half" in tensors:
            named = {name: tensors[f"posterior.{name}"] for name in _NAMES}
            posterior = ProjectedPosterior(**named)
        return cls(
            kernels=tuple(PolynomialKernel(zeta=z, normalize=n) for z, n in pairs),
            active=tuple(ActiveEnvironments.from_tensors(part) for part in own),
            weights=tuple(tensors[f"weights.{number}"] for number in range(len(pairs))),
            intercept=tensors["intercept"],
            factors=tuple(settings["factors"]),
            term_weights=tuple(settings["term_weights"]),
            regularization=settings["regularization"],
            pooling=settings["pooling"],
            centers=None if centers is None else tuple(centers),
            posterior=posterior,
            cv_table=tuple(settings["cv_table"]),
        )

    def _prepare(self, features: Features) -> EnvironmentTerms:
        here = features.to(self.intercept.device)
        return prepare_terms(here, self.kernels, reduce=self.pooling, centers=self.centers)

    def _compared(self, new: EnvironmentTerms) -> list[Float[Tensor, "structure _"]]:
        """Kernels with the active environments, or the features of a linear term."""
        triples = zip(new.terms, self.kernels, self.active, strict=True)
        return [
            project(rows, kernel, None) if active is None else kernel.between(rows, active.rows)
            for rows, kernel, active in triples
        ]

    def _mean(
        self, compared: list[Float[Tensor, "structure _"]]
    ) -> Float[Tensor, "structure target"]:
        pairs = zip(compared, self.weights, strict=True)
        return self.intercept + sum(part @ weight for part, weight in pairs)
