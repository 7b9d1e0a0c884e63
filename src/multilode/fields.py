"""Fields: what each atom puts into the space around it."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import poch
from torch import Tensor

from multilode.special import generalized_exponential_integral

SMALLEST_EXPONENT, LARGEST_EXPONENT = 1e-4, 20.0


class AbstractField(ABC):
    """A spherical profile v(r) with its Fourier transform v^(k). Source: theory, section 1."""

    smearing: float

    @abstractmethod
    def profile(self, r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v(r) for distances r >= 0 in Å."""

    @abstractmethod
    def fourier(self, k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v^(k), the integral of v(r) exp(-i k.r) over space, for wave numbers k > 0 in 1/Å."""

    @abstractmethod
    def fourier_origin(self) -> float:
        """What enters the lattice sum at k = 0: the limit of v^ if it is finite, else 0."""

    @abstractmethod
    def far_moments(
        self, ratio: Float[np.ndarray, "*shape"], max_angular: int
    ) -> Float[np.ndarray, " l *shape"]:
        """Integral of P_l(c) v(|x - r|) over c in [-1, 1], beyond the reach of the smearing.

        A function of ratio = x / r < 1 alone, in units of r^-decay.
        """

    @property
    @abstractmethod
    def decay(self) -> float:
        """Exponent of the algebraic tail of v(r); infinite for a field of Gaussian range."""


def _check_smearing(smearing: float) -> None:
    if not (math.isfinite(smearing) and 0.01 <= smearing <= 100):
        raise ValueError(f"smearing is {smearing} Å; it must lie between 0.01 and 100 Å")


@final
@dataclass(frozen=True)
class GaussianDensity(AbstractField):
    """Gaussian of unit L2 norm, (pi s^2)^(-3/4) exp(-r^2 / 2 s^2). Source: 2019 Eq. 1, 2021 Eq. 1.

    Args:
        smearing: Gaussian width s in Å.

    Raises:
        ValueError: if the smearing is outside of [0.01, 100] Å.
    """

    smearing: float

    def __post_init__(self) -> None:
        _check_smearing(self.smearing)

    def profile(self, r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v(r) for distances r >= 0 in Å."""
        norm = (math.pi * self.smearing**2) ** -0.75
        return norm * torch.exp(-0.5 * (r / self.smearing) ** 2)

    def fourier(self, k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v^(k) = (4 pi s^2)^(3/4) exp(-k^2 s^2 / 2)."""
        return self.fourier_origin() * torch.exp(-0.5 * (k * self.smearing) ** 2)

    def fourier_origin(self) -> float:
        """v^(0), kept."""
        return (4 * math.pi * self.smearing**2) ** 0.75

    def far_moments(
        self, ratio: Float[np.ndarray, "*shape"], max_angular: int
    ) -> Float[np.ndarray, " l *shape"]:
        """Zero: beyond nine widths a Gaussian is below 1e-17."""
        return np.zeros((max_angular + 1, *ratio.shape))

    @property
    def decay(self) -> float:
        """Infinite: no algebraic tail."""
        return math.inf


@final
@dataclass(frozen=True)
class SmearedPotential(AbstractField):
    """Smooth potential with the tail 1/r^p, gamma(p/2, r^2 / 2 s^2) / (Gamma(p/2) r^p).

    For p = 1 it is the electrostatic potential of a unit Gaussian charge, erf(r / sqrt2 s) / r.
    Source: 2019 Eq. 2 with its ref. 34; 2021 Eq. 2.

    Args:
        smearing: Gaussian width s in Å.
        exponent: p, any real number from 1e-4 to 20.

    Raises:
        ValueError: if the smearing or the exponent is out of range.
    """

    smearing: float
    exponent: float = 1.0

    def __post_init__(self) -> None:
        _check_smearing(self.smearing)
        if not SMALLEST_EXPONENT <= self.exponent <= LARGEST_EXPONENT:
            raise ValueError(
                f"exponent is {self.exponent}; a potential needs one between {SMALLEST_EXPONENT:g} "
                f"and {LARGEST_EXPONENT:g}, and the density is a field of its own"
            )

    def profile(self, r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v(r) for distances r >= 0 in Å."""
        a = 0.5 * self.exponent
        x = 0.5 * (r / self.smearing) ** 2
        safe = x.clamp(min=1e-12)
        smooth = torch.special.gammainc(torch.tensor(a, dtype=r.dtype, device=r.device), safe)
        inside = 1 / math.gamma(a + 1) - x / ((a + 1) * math.gamma(a))  # two terms of the series
        value = torch.where(x < 1e-12, inside, smooth / safe**a)
        return value * (2 * self.smearing**2) ** -a

    def fourier(self, k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v^(k) = C E_((p-1)/2)(k^2 s^2 / 2), the upper incomplete gamma form without its poles."""
        a = 0.5 * (3 - self.exponent)
        prefactor = (
            math.pi**1.5
            * 2 ** (3 - self.exponent)
            * (0.5 * self.smearing**2) ** a
            / math.gamma(0.5 * self.exponent)
        )
        x = 0.5 * (k * self.smearing) ** 2
        return prefactor * generalized_exponential_integral(0.5 * (self.exponent - 1), x)

    def fourier_origin(self) -> float:
        """v^(0) for p > 3, else 0: a neutralising background for each species."""
        p = self.exponent
        if p <= 3:
            return 0.0
        front = math.pi**1.5 * 2 ** (3 - p) / math.gamma(0.5 * p)
        return front * 2 / (p - 3) * (0.5 * self.smearing**2) ** (0.5 * (3 - p))

    def far_moments(
        self, ratio: Float[np.ndarray, "*shape"], max_angular: int
    ) -> Float[np.ndarray, " l *shape"]:
        """Legendre moments of |x - r|^-p, a Gegenbauer series (p = 1: Laplace, 2021 Eq. 14)."""
        alpha = 0.5 * self.exponent
        square = ratio**2
        moments = []
        for l in range(max_angular + 1):
            term = 2 * poch(alpha, l) / poch(1.5, l) * ratio**l
            total, k = term.copy(), 0
            while (np.abs(term) > 1e-17 * np.abs(total)).any():
                factor = (alpha + l + k) * (alpha - 0.5 + k) / ((1.5 + l + k) * (1 + k))
                term *= factor * square
                total += term
                k += 1
            moments.append(total)
        return np.stack(moments)

    @property
    def decay(self) -> float:
        """The exponent p."""
        return self.exponent


FIELDS: dict[str, type[AbstractField]] = {
    "density": GaussianDensity,
    "potential": SmearedPotential,
}
