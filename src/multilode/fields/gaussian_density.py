"""The density of atoms: one Gaussian each."""

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
from multilode.fields.measure import Mixture, rate_of, single_gaussian
from multilode.numerics.special import Parameter, number


def _profile(field: "GaussianDensity", r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    norm = (math.pi * field.smearing**2) ** -0.75
    return norm * torch.exp(-0.5 * (r / field.smearing) ** 2)


def _fourier(field: "GaussianDensity", k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """v^(k) = (4 pi s^2)^(3/4) exp(-k^2 s^2 / 2)."""
    return _fourier_origin(field) * torch.exp(-0.5 * (k * field.smearing) ** 2)


def _fourier_origin(field: "GaussianDensity") -> Parameter:
    return (4 * math.pi * field.smearing**2) ** 0.75


@final
@dataclass(frozen=True)
class GaussianDensity(AbstractField):
    """Gaussian of unit L2 norm, (pi s^2)^(-3/4) exp(-r^2 / 2 s^2).

    Source: theory#density; Grisafi2019 Eq. 1; Grisafi2021 Eq. 1.

    Args:
        smearing: Gaussian width s in Å.

    Raises:
        ValueError: if the smearing is outside of [0.01, 100] Å.
    """

    smearing: Parameter

    ranges: ClassVar[Mapping[str, ParameterRange]] = {"smearing": SMEARING_RANGE}
    closed_forms: ClassVar[ClosedForms] = ClosedForms(
        profile=_profile, fourier=_fourier, fourier_origin=_fourier_origin
    )
    neighbors_within_cutoff: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_parameters(self)

    def measure(self, lowest: Parameter, highest: Parameter) -> Mixture:
        """The one Gaussian."""
        norm = (math.pi * self.smearing**2) ** -0.75
        return single_gaussian(rate_of(self.smearing), norm, lowest, highest)

    @property
    def tail(self) -> Parameter | None:
        """None."""
        return None

    @property
    def widest(self) -> float:
        """The smearing."""
        return number(self.smearing)
