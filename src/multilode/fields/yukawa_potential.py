"""The screened Coulomb potential."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.fields.field import (
    SMEARING_RANGE,
    AbstractField,
    ClosedForms,
    ParameterRange,
    check_parameters,
    far_moments_by_measure,
)
from multilode.fields.measure import Mixture, higher, log_quadrature, lower, rate_of
from multilode.fields.moments import scaled_bessel_i, scaled_bessel_k
from multilode.numerics.special import Parameter, number

SCREENING_RANGE = ParameterRange(0.1, 1e4, 0.05)
_SMALL = 0.5  # over the smearing: nearer, the difference of two error functions cancels
_SERIES_TERMS = 14
_WIDEST_CHARGE = 2.0  # over the screening length
_NEGLIGIBLE = 60.0  # exp(-60) is nothing beside what is left


def _profile(field: "YukawaPotential", r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """(exp(-r / L) erfc(a - y) - exp(r / L) erfc(a + y)) exp(a^2) / 2 r, without overflow.

    With a = s / sqrt2 L and y = r / sqrt2 s; near the charge the moments of the measure.
    """
    border = _SMALL * number(field.smearing)
    a, far = field.smearing / (math.sqrt(2) * field.screening_length), r.clamp(min=border)
    y = far / (math.sqrt(2) * field.smearing)
    apart = torch.special.erfcx((a - y).abs())
    gaussian = torch.exp(-(y**2))
    screened = 2 * torch.exp((a * (a - 2 * y)).clamp(max=0.0)) - gaussian * apart
    first = torch.where(y < a, gaussian * apart, screened)
    outside = (first - gaussian * torch.special.erfcx(a + y)) / (2 * far)
    t, weight = (part.to(r) for part in field.measure(0.0, math.inf))
    near = r < border  # few points, if any: a series for all of them would take most of the time
    square, total, moment = r[near] ** 2, torch.zeros_like(r[near]), weight
    power = torch.ones_like(square)
    for n in range(_SERIES_TERMS):
        total = total + moment.sum() * power
        moment, power = moment * t, power * square / -(n + 1)
    return outside.index_put((near,), total)


def _fourier(field: "YukawaPotential", k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """v^(k) = 4 pi exp(-k^2 s^2 / 2) / (k^2 + 1 / L^2)."""
    damping = torch.exp(-0.5 * (k * field.smearing) ** 2)
    return 4 * math.pi * damping / (k**2 + field.screening_length**-2)


def _fourier_origin(field: "YukawaPotential") -> Parameter:
    """v^(0) = 4 pi L^2, kept: the sum over a lattice converges."""
    return 4 * math.pi * field.screening_length**2


def _far_moments(
    field: "YukawaPotential", smaller: np.ndarray, larger: np.ndarray, max_angular: int
) -> Float[np.ndarray, " l *shape"]:
    """2 i_l(x / L) k_l(r / L) exp(s^2 / 2 L^2) / L, the addition theorem."""
    s, length = number(field.smearing), number(field.screening_length)
    if s > _WIDEST_CHARGE * length:  # it reaches farther than nine widths
        return far_moments_by_measure(field, smaller, larger, max_angular)
    front = 2 / length * np.exp(0.5 * (s / length) ** 2 - (larger - smaller) / length)
    return np.stack(
        [
            front * scaled_bessel_i(l, smaller / length) * scaled_bessel_k(l, larger / length)
            for l in range(max_angular + 1)
        ]
    )


@final
@dataclass(frozen=True)
class YukawaPotential(AbstractField):
    """Screened Coulomb potential exp(-r / L) / r of a Gaussian charge.

    Its Fourier transform is 4 pi exp(-k^2 s^2 / 2) / (k^2 + 1 / L^2); for L to infinity it is the
    `SmearedPotential` of p = 1. All lattice sums converge: nothing is left out at k = 0.

    Source: theory#screened; DebyeHuckel1923.

    Args:
        smearing: Gaussian width s in Å of the charge.
        screening_length: L in Å, from 0.1 to 1e4.

    Raises:
        ValueError: if a length is out of range.
        TypeError: if one is no number.
    """

    smearing: Parameter
    screening_length: Parameter

    ranges: ClassVar[Mapping[str, ParameterRange]] = {
        "smearing": SMEARING_RANGE,
        "screening_length": SCREENING_RANGE,
    }
    closed_forms: ClassVar[ClosedForms] = ClosedForms(
        profile=_profile,
        fourier=_fourier,
        fourier_origin=_fourier_origin,
        far_moments=_far_moments,
    )

    def __post_init__(self) -> None:
        check_parameters(self)

    def measure(self, lowest: Parameter, highest: Parameter) -> Mixture:
        """exp(s^2 / 2 L^2 - 1 / 4 t L^2) t^(1/2) dln t / sqrt(pi) up to t = 1 / 2 s^2."""
        rate = 0.25 / torch.as_tensor(self.screening_length, dtype=torch.float64) ** 2
        top = torch.as_tensor(rate_of(self.smearing), dtype=torch.float64, device=rate.device)

        def density(t: Float[Tensor, " node"]) -> Float[Tensor, " node"]:
            screening = rate.to(t.device) * (1 / top.to(t.device) - 1 / t)
            return torch.sqrt(t / math.pi) * torch.exp(screening)

        faintest = number(rate) / (_NEGLIGIBLE + number(rate / top))
        return log_quadrature(density, higher(lowest, faintest), lower(highest, top))

    @property
    def tail(self) -> Parameter | None:
        """None: it falls faster than any power."""
        return None

    @property
    def widest(self) -> float:
        """Infinite."""
        return math.inf
