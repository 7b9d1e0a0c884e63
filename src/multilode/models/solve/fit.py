"""Weights from a spectrum, and dual weights of a kernel matrix or of parts of it."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.model import Subsets
from multilode.models.solve.posterior import ProjectedPosterior
from multilode.models.solve.search import Settled
from multilode.models.solve.spectrum import KernelTermSpectra, Spectrum
from multilode.scheduling import mapped


@final
@dataclass(frozen=True, kw_only=True)
class Fit:
    """Weights w of |y - X w - b|^2 + g |w|^2 in the spectrum that the settings were chosen from.

    Args:
        spectrum: of X X^T.
        regularization: g.
        features: X, terms side by side and weighted.
        y: targets.
        weights: w.
        intercept: whether there is a constant b.
    """

    spectrum: Spectrum
    regularization: float
    features: Float[Tensor, "row feature"]
    y: Float[Tensor, "row target"]
    weights: Float[Tensor, "feature target"]
    intercept: bool

    @staticmethod
    def of(
        settled: Settled,
        features: Float[Tensor, "row feature"],
        y: Float[Tensor, "row target"],
        *,
        intercept: bool,
    ) -> "Fit":
        """Solve with the chosen settings."""
        spectrum, g = settled.spectrum, settled.regularization
        along, values = spectrum.vectors.T @ y, spectrum.eigenvalues
        if spectrum.right is not None:
            weights = spectrum.right @ ((values.sqrt() / (values + g))[:, None] * along)
        else:
            # what is not larger than rounding has no features, but would be divided by g
            shares = torch.where(values > spectrum.floor, 1 / (values + g), 0.0)
            weights = features.T @ (spectrum.vectors @ (shares[:, None] * along))
        return Fit(
            spectrum=spectrum,
            regularization=g,
            features=features,
            y=y,
            weights=weights,
            intercept=intercept,
        )

    @property
    def offset(self) -> Float[Tensor, " target"]:
        """The constant; zeros without an intercept."""
        return (self.y.mean(dim=0) - self._mean @ self.weights) * int(self.intercept)

    @property
    def _mean(self) -> Float[Tensor, " feature"]:
        return self.features.mean(dim=0) * int(self.intercept)

    def posterior(self) -> ProjectedPosterior:
        """For standard deviations; the amplitude is the most likely one."""
        spectrum, g, n = self.spectrum, self.regularization, len(self.y)
        along, values = spectrum.vectors.T @ self.y, spectrum.eigenvalues
        variances = values + g
        if spectrum.right is not None:
            half = spectrum.right * (values / variances).sqrt()
        else:
            half = self.features.T @ (spectrum.vectors * variances.rsqrt())
        explained = (along.square() / variances[:, None]).sum(dim=0)
        outside = spectrum.outside(self.y).square().sum(dim=0)
        return ProjectedPosterior(
            half=half,
            mean=self._mean,
            noise=half.new_tensor(g / n * int(self.intercept)),
            amplitude=(explained + outside / g) / max(n - int(self.intercept), 1),
        )


def dual_weights(
    spectrum: Spectrum,
    kernel: Float[Tensor, "row row"],
    y: Float[Tensor, "row target"],
    regularization: float,
    *,
    with_intercept: bool,
) -> tuple[Float[Tensor, "row target"], Float[Tensor, " target"]]:
    """Dual weights a of (K + g) a + b = y, and the intercept b."""
    projected = spectrum.vectors.T @ y / (spectrum.eigenvalues + regularization)[:, None]
    dual = spectrum.vectors @ projected
    # K a + g a + b = y, and the mean of a is zero where there is an intercept
    return dual, (y - kernel @ dual).mean(dim=0) * int(with_intercept)


def solve_kernel_subsets(
    kernel: Float[Tensor, "row row"],
    y: Float[Tensor, "row target"],
    regularization: float,
    subsets: Subsets,
    *,
    intercept: bool,
) -> tuple[Float[Tensor, "row column"], Float[Tensor, " column"]]:
    """Dual weights and intercepts of one regression for each subset, columns [subset, target]."""
    parts = list(mapped(_member, subsets, kernel, y, regularization, intercept))
    return torch.cat([dual for dual, _ in parts], dim=1), torch.cat([b for _, b in parts])


def _member(
    rows: Int[Tensor, " chosen"],
    kernel: Float[Tensor, "row row"],
    y: Float[Tensor, "row target"],
    regularization: float,
    with_intercept: bool,  # noqa: FBT001 - tasks have no keywords
) -> tuple[Float[Tensor, "row target"], Float[Tensor, " target"]]:
    """The same for some of the rows; the others get zeros."""
    own, some = kernel[rows][:, rows], y[rows]
    part, intercept = _factorized(own, some, regularization, with_intercept=with_intercept)
    return torch.zeros_like(y).index_copy(0, rows, part), intercept


def _factorized(
    kernel: Float[Tensor, "row row"],
    y: Float[Tensor, "row target"],
    regularization: float,
    *,
    with_intercept: bool,
) -> tuple[Float[Tensor, "row target"], Float[Tensor, " target"]]:
    """By one Cholesky factor, or by eigenvectors where the regularization is lost in rounding."""
    constant = y.new_ones(len(y), int(with_intercept))
    factor, failed = torch.linalg.cholesky_ex(kernel + regularization * torch.eye(len(y)).to(y))
    if int(failed):
        spectrum = KernelTermSpectra((kernel,), constant).spectrum((1.0,))
        g = max(regularization, spectrum.floor)
        return dual_weights(spectrum, kernel, y, g, with_intercept=with_intercept)
    solved = torch.cholesky_solve(torch.cat([y, constant], dim=1), factor)
    dual, ones = solved[:, : y.shape[1]], solved[:, y.shape[1] :]
    if not with_intercept:
        return dual, y.new_zeros(y.shape[1])
    offset = dual.sum(dim=0) / ones.sum()
    return dual - ones * offset, offset
