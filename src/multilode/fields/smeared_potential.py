"""Smooth potentials with the tail 1/r^p."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.fields.field import (
    SMEARING_RANGE,
    AbstractField,
    ClosedForms,
    ParameterRange,
    check_parameters,
)
from multilode.fields.measure import Mixture, log_quadrature, lower, rate_of
from multilode.numerics.special import (
    Parameter,
    gamma,
    generalized_exponential_integral,
    lower_gamma_ratio,
    number,
)

EXPONENT_RANGE = ParameterRange(1e-4, 20.0, 0.1, logarithmic=False, unit="")


def _profile(field: "SmearedPotential", r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The lower incomplete gamma function, by its series where r is small."""
    a = 0.5 * field.exponent
    x = 0.5 * (r / field.smearing) ** 2
    if isinstance(a, Tensor):  # PyTorch has no derivative of gammainc with respect to a
        return lower_gamma_ratio(a, x) * (2 * field.smearing**2) ** -a
    safe = x.clamp(min=1e-12)
    if a == 0.5:  # charges: ten times faster
        smooth = torch.erf(torch.sqrt(safe))
    else:
        smooth = torch.special.gammainc(torch.tensor(a, dtype=r.dtype, device=r.device), safe)
    inside = 1 / math.gamma(a + 1) - x / ((a + 1) * math.gamma(a))  # two terms of the series
    value = torch.where(x < 1e-12, inside, smooth / safe**a)
    return value * (2 * field.smearing**2) ** -a


def _fourier(field: "SmearedPotential", k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """v^(k) = C E_((p-1)/2)(k^2 s^2 / 2), the upper incomplete gamma form without its poles."""
    a = 0.5 * (3 - field.exponent)
    # not (2 s^2)^a: PyTorch's second derivative of a power is wrong where its exponent is 0
    twice = 2 * field.smearing**2
    log_power = a * (torch.log(twice) if isinstance(twice, Tensor) else math.log(twice))
    power = torch.exp(log_power) if isinstance(log_power, Tensor) else math.exp(log_power)
    prefactor = math.pi**1.5 * power / gamma(0.5 * field.exponent)
    x = 0.5 * (k * field.smearing) ** 2
    return prefactor * generalized_exponential_integral(0.5 * (field.exponent - 1), x)


def _fourier_origin(field: "SmearedPotential") -> Parameter:
    """v^(0) for p > 3, else 0: a neutralising background for each species."""
    p = field.exponent
    if number(p) <= 3:
        return 0.0
    front = math.pi**1.5 * 2 ** (3 - p) / gamma(0.5 * p)
    return front * 2 / (p - 3) * (0.5 * field.smearing**2) ** (0.5 * (3 - p))


def _wider(field: "SmearedPotential", width: float) -> "SmearedPotential":
    """Rates up to 1 / 2 s'^2 are those of the smearing s'."""
    return SmearedPotential(width, field.exponent)


@final
@dataclass(frozen=True)
class SmearedPotential(AbstractField):
    """Smooth potential with the tail 1/r^p, gamma(p/2, r^2 / 2 s^2) / (Gamma(p/2) r^p).

    For p = 1 it is the electrostatic potential of a unit Gaussian charge, erf(r / sqrt2 s) / r.

    Source: theory#potential; theory#exponential-integral; Grisafi2019 Eq. 2; Grisafi2021 Eq. 2;
    Huguenin2023.

    Args:
        smearing: Gaussian width s in Å.
        exponent: p, any real number from 1e-4 to 20. Where p equals the number of periodic axes
            (1 for wires, 2 for layers, 3 for crystals) the finite part of a lattice sum jumps: it
            has a value there but no slope, and `expand` refuses to differentiate it.

    Raises:
        ValueError: if the smearing or the exponent is out of range.
        TypeError: if one is no number.
    """

    smearing: Parameter
    exponent: Parameter = 1.0

    ranges: ClassVar[Mapping[str, ParameterRange]] = {
        "smearing": SMEARING_RANGE,
        "exponent": EXPONENT_RANGE,
    }
    closed_forms: ClassVar[ClosedForms] = ClosedForms(
        profile=_profile, fourier=_fourier, fourier_origin=_fourier_origin, wider=_wider
    )

    def __post_init__(self) -> None:
        check_parameters(self)

    def measure(self, lowest: Parameter, highest: Parameter) -> Mixture:
        """t^(p/2) dln t / Gamma(p/2) up to t = 1 / 2 s^2."""
        half = 0.5 * torch.as_tensor(self.exponent, dtype=torch.float64)

        def density(t: Float[Tensor, " node"]) -> Float[Tensor, " node"]:
            a = half.to(t.device)
            return t**a * torch.exp(-torch.lgamma(a))

        return log_quadrature(density, lowest, lower(highest, rate_of(self.smearing)))

    @property
    def tail(self) -> Parameter | None:
        """The exponent p."""
        return self.exponent

    @property
    def widest(self) -> float:
        """Infinite."""
        return math.inf
