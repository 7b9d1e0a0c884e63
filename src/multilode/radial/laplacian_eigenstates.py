"""Spherical Bessel functions."""

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import spherical_jn

from multilode.radial.basis import AbstractRadialBasis, check_size


@final
@dataclass(frozen=True)
class LaplacianEigenstates(AbstractRadialBasis):
    """R_nl(r) ~ j_l(z_nl r / radius), z_nl the zeros of j_l: the smoothest functions in a sphere.

    Source: theory#radial-bases; Bigi2022.

    Args:
        n_radial: number of functions per l.
        radius: radius of the sphere in Å, on which they vanish.

    Raises:
        ValueError: if a value is out of range.
    """

    n_radial: int
    radius: float

    def __post_init__(self) -> None:
        check_size(self.n_radial, self.radius)

    @property
    def support(self) -> float:
        """The radius."""
        return self.radius

    def primitives(self, r: Float[np.ndarray, " point"], l: int) -> Float[np.ndarray, "n point"]:
        """Spherical Bessel functions."""
        zeros = spherical_bessel_zeros(l, self.n_radial)
        return spherical_jn(l, zeros[:, None] * (r / self.radius))


def spherical_bessel_zeros(l: int, count: int) -> Float[np.ndarray, " zero"]:
    """The first positive zeros of j_l; those of j_(l-1) bracket them."""
    zeros = np.pi * np.arange(1, count + l + 1)
    for order in range(1, l + 1):
        brackets = pairwise(zeros)
        zeros = np.array(
            [brentq(lambda x, o=order: spherical_jn(o, x), *b, xtol=1e-14) for b in brackets]
        )
    return zeros[:count]
