"""Ridge regression whose many term weights maximise the likelihood of the training targets.

Cross-validation can choose a handful of weights. When every pair of species and every l gets a
weight of its own there are a hundred of them, and the marginal likelihood of the equivalent
Gaussian process, which has a gradient, takes the place of the search.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.features import Features
from multilode.models import PooledFeatures, Ridge, RidgeModel
from multilode.models.model import AbstractEstimator, Learner
from multilode.targets import Reduce

_FIRST_NOISE = 1e-4  # relative to the mean diagonal of the kernel


@final
@dataclass(frozen=True, kw_only=True)
class LikelihoodRidge(AbstractEstimator[PooledFeatures]):
    """Term weights by restricted marginal likelihood, then `Ridge` with these weights.

    The search starts from the norms that the terms have as they come, so their units should be
    comparable. The regularization is chosen by `ridge`, by cross-validation.

    Args:
        ridge: with an intercept, for a mean over centers.
        steps: of the Adam optimiser, a fixed number, so that runs repeat.
        rate: of the optimiser, in the logarithm of the weights.
    """

    ridge: Ridge = field(default_factory=lambda: Ridge(reduce="mean"))
    steps: int = 80
    rate: float = 0.15
    reduce: Reduce = "mean"

    def collect(self, batches: Iterable[Features], centers: tuple[int, ...]) -> PooledFeatures:
        """Pool each batch."""
        return self.ridge.collect(batches, centers)

    def fit(
        self,
        design: PooledFeatures,
        y: Float[Tensor, "structure target"],
        *,
        groups: Int[Tensor, " structure"] | None = None,
    ) -> RidgeModel:
        """Choose the weights on these structures and fit."""
        weights = likelihood_weights(design.terms, y, steps=self.steps, rate=self.rate)
        return replace(self.ridge, term_weights=weights).fit(design, y, groups=groups)

    def learner(
        self,
        train: PooledFeatures,
        test: PooledFeatures,
        groups: Int[Tensor, " structure"] | None = None,
    ) -> Learner:
        """Everything is chosen again on each subset."""

        def predict(
            indices: Int[Tensor, " chosen"], y: Float[Tensor, "chosen target"]
        ) -> Float[Tensor, "test target"]:
            chosen = None if groups is None else groups[indices]
            return self.fit(train.select(indices), y, groups=chosen).predict_pooled(test)

        return predict


def likelihood_weights(
    terms: tuple[Float[Tensor, "structure _"], ...],
    y: Float[Tensor, "structure target"],
    *,
    steps: int,
    rate: float,
) -> tuple[float, ...]:
    """Weights w_c of K = sum_c w_c K_c, each K_c of unit mean diagonal; the largest is 1.

    Maximises the likelihood of the targets less their mean under K + noise, the constant integrated
    out.
    """
    centered = [term - term.mean(dim=0) for term in terms]
    norms = torch.stack([x.square().sum(dim=1).mean() for x in centered]).clamp(min=1e-300)
    kernels = torch.stack([x @ x.T / n for x, n in zip(centered, norms, strict=True)])
    targets = y - y.mean(dim=0)
    targets = targets / targets.square().mean().sqrt()
    logarithms = (norms / norms.sum()).log().requires_grad_()
    scale = torch.zeros((), dtype=y.dtype, requires_grad=True)
    noise = torch.tensor(_FIRST_NOISE, dtype=y.dtype).log().requires_grad_()
    optimiser = torch.optim.Adam([logarithms, scale, noise], lr=rate)
    identity = torch.eye(len(y), dtype=y.dtype)
    for _ in range(steps):
        optimiser.zero_grad()
        covariance = torch.tensordot(logarithms.exp(), kernels, dims=1) + noise.exp() * identity
        factor = torch.linalg.cholesky(covariance)
        # the constant is an eigenvector with the eigenvalue of the noise: its share is taken out
        volume = factor.diagonal().log().sum() - 0.5 * noise
        solved = torch.linalg.solve_triangular(factor, targets, upper=False)
        count = y.shape[1] * (len(y) - 1)
        loss = 0.5 * (-scale).exp() * solved.square().sum() + y.shape[1] * volume
        loss = loss + 0.5 * count * scale
        loss.backward()
        optimiser.step()
    best = logarithms.detach()
    return tuple((best - best.max()).exp().tolist())
