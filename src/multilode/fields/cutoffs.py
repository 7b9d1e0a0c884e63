"""Cutoff functions: how the neighbors of a short-ranged field fade out towards the cutoff."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor


class AbstractCutoff(ABC):
    """A weight for each neighbor, a function of its distance. Source: theory#cutoff-function."""

    @abstractmethod
    def __call__(self, r: Float[Tensor, "*shape"], cutoff: float) -> Float[Tensor, "*shape"]:
        """Weights at distances r in Å, zero beyond the cutoff."""


@final
@dataclass(frozen=True)
class StepCutoff(AbstractCutoff):
    """1 inside, 0 outside and on the cutoff: forces jump when an atom crosses it."""

    def __call__(self, r: Float[Tensor, "*shape"], cutoff: float) -> Float[Tensor, "*shape"]:
        """Weights at distances r in Å."""
        return (r < cutoff).to(r.dtype)


@final
@dataclass(frozen=True)
class ShiftedCosine(AbstractCutoff):
    """1 up to cutoff - width, then (1 + cos(pi (r - cutoff + width) / width)) / 2 down to 0.

    Args:
        width: length in Å over which the weight falls.

    Raises:
        ValueError: if the width is not positive.
    """

    width: float = 0.5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.width) and self.width > 0):
            raise ValueError(
                f"the width of a cutoff function is {self.width} Å; it must be positive"
            )

    def __call__(self, r: Float[Tensor, "*shape"], cutoff: float) -> Float[Tensor, "*shape"]:
        """Weights at distances r in Å."""
        t = ((r - cutoff) / self.width + 1).clamp(0, 1)
        return 0.5 * (1 + torch.cos(torch.pi * t))


@final
@dataclass(frozen=True)
class RadialScaling(AbstractCutoff):
    """Shifted cosine times rate / (rate + (r / scale)^exponent): far neighbors count less.

    Source: theory#cutoff-function; Willatt2018.

    Args:
        scale: distance in Å at which the scaling sets in.
        exponent: power by which far neighbors fade.
        rate: larger values let neighbors inside of `scale` count fully.
        width: length in Å over which the cosine falls to zero.

    Raises:
        ValueError: if a value is not positive.
    """

    scale: float = 2.0
    exponent: float = 4.0
    rate: float = 1.0
    width: float = 0.5

    def __post_init__(self) -> None:
        for name in ("scale", "exponent", "rate", "width"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} of a radial scaling is {value}; it must be positive")

    def __call__(self, r: Float[Tensor, "*shape"], cutoff: float) -> Float[Tensor, "*shape"]:
        """Weights at distances r in Å."""
        fade = self.rate / (self.rate + (r / self.scale) ** self.exponent)
        return fade * ShiftedCosine(self.width)(r, cutoff)


CUTOFF_FUNCTIONS: dict[str, type[AbstractCutoff]] = {
    "step": StepCutoff,
    "shifted_cosine": ShiftedCosine,
    "radial_scaling": RadialScaling,
}
