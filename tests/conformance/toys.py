"""A field, and a radial basis, as a stranger would write them; in no table but for a test."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float

from multilode.fields import AbstractField, ParameterRange, check_parameters, log_quadrature
from multilode.fields.measure import Mixture, higher, lower, rate_of
from multilode.numerics.special import Parameter, number
from multilode.radial import AbstractRadialBasis
from multilode.radial.basis import check_size


@final
@dataclass(frozen=True)
class SlaterDensity(AbstractField):
    """exp(-r / b), its cusp smeared away: no closed form, only a measure."""

    smearing: Parameter
    length: Parameter = 1.0

    ranges: ClassVar[Mapping[str, ParameterRange]] = {
        "smearing": ParameterRange(0.01, 100.0, 0.05),
        "length": ParameterRange(0.1, 50.0, 0.05),
    }

    def __post_init__(self) -> None:
        check_parameters(self)

    def measure(self, lowest: Parameter, highest: Parameter) -> Mixture:
        """exp(-1 / 4 t b^2) / sqrt(4 pi b^2 t) dln t up to t = 1 / 2 s^2."""
        rate = 0.25 / torch.as_tensor(self.length, dtype=torch.float64) ** 2
        start, stop = higher(lowest, number(rate) / 60), lower(highest, rate_of(self.smearing))
        return log_quadrature(
            lambda t: torch.sqrt(rate / (math.pi * t)) * torch.exp(-rate / t), start, stop
        )

    @property
    def tail(self) -> Parameter | None:
        """None."""
        return None

    @property
    def widest(self) -> float:
        """Infinite."""
        return math.inf


@final
@dataclass(frozen=True)
class CosineBasis(AbstractRadialBasis):
    """Cosines under a power of another one, which falls to zero at the radius."""

    n_radial: int
    radius: float
    sharpness: float = 2.0

    def __post_init__(self) -> None:
        check_size(self.n_radial, self.radius)

    @property
    def support(self) -> float:
        """The radius."""
        return self.radius

    def primitives(
        self,
        r: Float[np.ndarray, " point"],
        l: int,
    ) -> Float[np.ndarray, "n point"]:
        """cos(n pi r / 2 radius) cos(pi r / 2 radius)^sharpness."""
        angle = 0.5 * np.pi * np.minimum(r / self.radius, 1.0)
        envelope = np.cos(angle).clip(0.0) ** self.sharpness
        return np.cos(np.arange(self.n_radial)[:, None] * angle) * envelope
