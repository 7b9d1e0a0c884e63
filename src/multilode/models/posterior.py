"""Posterior variance of a Gaussian process with an optional unknown constant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from multilode.models.spectrum import Spectrum


@final
@dataclass(frozen=True, kw_only=True)
class Posterior:
    """What the variance of a prediction needs of the training structures.

    With an intercept the process is known about the mean of the training structures, so that
    the contrast f_* - mean(y) is conditioned on the contrasts of the data (universal kriging).

    Args:
        half: U (e + g)^(-1/2), with eigenpairs of the kernel orthogonal to the intercept.
        shift: G l, with G = K + g and l = 1/n for every structure, or 0 without an intercept.
        offset: l^T G l.
        share: 1/n, or 0 without an intercept.
        amplitude: variance of the process per unit of kernel, for each target.
    """

    half: Float[Tensor, "structure rank"]
    shift: Float[Tensor, " structure"]
    offset: Float[Tensor, ""]
    share: Float[Tensor, ""]
    amplitude: Float[Tensor, " target"]

    def variance(
        self, cross: Float[Tensor, "new structure"], own: Float[Tensor, " new"]
    ) -> Float[Tensor, "new target"]:
        """Variance of the noise-free function.

        Args:
            cross: kernel between new and training structures.
            own: kernel of each new structure with itself.
        """
        prior = own - 2 * self.share * cross.sum(dim=1) + self.offset
        explained = ((cross - self.shift) @ self.half).square().sum(dim=1)
        return (prior - explained).clamp(min=0)[:, None] * self.amplitude

    def tensors(self) -> dict[str, Tensor]:
        """All numbers by name."""
        return {f"posterior.{name}": getattr(self, name) for name in _NAMES}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> "Posterior | None":
        """The posterior back from `tensors()`; None if there is none among them."""
        if "posterior.half" not in tensors:
            return None
        return Posterior(**{name: tensors[f"posterior.{name}"] for name in _NAMES})


_NAMES = ("half", "shift", "offset", "share", "amplitude")


def condition(
    spectrum: Spectrum,
    kernel: Float[Tensor, "structure structure"],
    y: Float[Tensor, "structure target"],
    regularization: float,
    *,
    with_intercept: bool,
) -> Posterior:
    """Posterior for a complete spectrum of `kernel`; the amplitude is the most likely one.

    Args:
        regularization: absolute, the noise variance in units of the amplitude.
    """
    n_structures = len(y)
    share = kernel.new_tensor(1 / n_structures if with_intercept else 0.0)
    shift = share * (kernel.sum(dim=1) + regularization)
    half = spectrum.vectors / (spectrum.eigenvalues + regularization).sqrt()
    freedom = max(n_structures - int(with_intercept), 1)
    return Posterior(
        half=half,
        shift=shift,
        offset=share * shift.sum(),
        share=share,
        amplitude=(half.T @ y).square().sum(dim=0) / freedom,
    )
