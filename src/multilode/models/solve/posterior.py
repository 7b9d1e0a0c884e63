"""Posterior variances of Gaussian processes with an optional unknown constant."""

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from multilode.models.solve.spectrum import Spectrum


@final
@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Posterior of the training rows, for variances of predictions.

    With an intercept the process is known about the mean of the training rows, so that
    the contrast f_* - mean(y) is conditioned on the contrasts of the data (universal kriging).

    Source: theory#posterior; Rasmussen2006.

    Args:
        half: U (e + g)^(-1/2), with eigenpairs of the kernel orthogonal to the intercept.
        shift: G l, with G = K + g and l = 1/n for every row, or 0 without an intercept.
        offset: l^T G l.
        share: 1/n, or 0 without an intercept.
        amplitude: variance of the process per unit of kernel, for each target.
    """

    half: Float[Tensor, "row rank"]
    shift: Float[Tensor, " row"]
    offset: Float[Tensor, ""]
    share: Float[Tensor, ""]
    amplitude: Float[Tensor, " target"]

    def variance(
        self, cross: Float[Tensor, "new row"], own: Float[Tensor, " new"]
    ) -> Float[Tensor, "new target"]:
        """Variance of the noise-free function.

        Args:
            cross: kernel between new and training rows.
            own: kernel of each new row with itself.
        """
        prior = own - 2 * self.share * cross.sum(dim=1) + self.offset
        explained = ((cross - self.shift) @ self.half).square().sum(dim=1)
        return (prior - explained).clamp(min=0)[:, None] * self.amplitude


@final
@dataclass(frozen=True, kw_only=True)
class ProjectedPosterior:
    """Variance of a projected process: that of the kernel itself less what the data explain.

    The features phi are those of all terms side by side, weighted. What the active environments
    do not describe of a structure, k - |phi|^2, stays uncertain.

    Source: theory#posterior; Quinonero2005.

    Args:
        half: V s (s^2 + g)^(-1/2), from the singular values of the training features.
        mean: of the training features; zero without an intercept.
        noise: g / n, the variance of the mean of the training targets; zero without an intercept.
        amplitude: variance of the process per unit of kernel, for each target.
    """

    half: Float[Tensor, "column rank"]
    mean: Float[Tensor, " column"]
    noise: Float[Tensor, ""]
    amplitude: Float[Tensor, " target"]

    def variance(
        self, phi: Float[Tensor, "new column"], own: Float[Tensor, " new"]
    ) -> Float[Tensor, "new target"]:
        """Variance of the noise-free function.

        Args:
            phi: features of new rows.
            own: kernel of each new row with itself.
        """
        prior = own - 2 * phi @ self.mean + self.mean @ self.mean + self.noise
        explained = ((phi - self.mean) @ self.half).square().sum(dim=1)
        return (prior - explained).clamp(min=0)[:, None] * self.amplitude


def condition(
    spectrum: Spectrum,
    kernel: Float[Tensor, "row row"],
    y: Float[Tensor, "row target"],
    regularization: float,
    *,
    with_intercept: bool,
) -> Posterior:
    """Posterior for a complete spectrum of `kernel`; the amplitude is the most likely one.

    Args:
        regularization: absolute, the noise variance in units of the amplitude.
    """
    n_rows = len(y)
    share = kernel.new_tensor(1 / n_rows if with_intercept else 0.0)
    shift = share * (kernel.sum(dim=1) + regularization)
    half = spectrum.vectors / (spectrum.eigenvalues + regularization).sqrt()
    freedom = max(n_rows - int(with_intercept), 1)
    return Posterior(
        half=half,
        shift=shift,
        offset=share * shift.sum(),
        share=share,
        amplitude=(half.T @ y).square().sum(dim=0) / freedom,
    )
