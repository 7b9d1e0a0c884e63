"""The contract of a radial basis: functions R_n(r) around each center."""

import math
from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float
from scipy.special import roots_legendre


class AbstractRadialBasis(ABC):
    """Primitive radial functions; normalisation happens in `orthonormalize`, outside of them.

    Attributes:
        n_radial: number of functions per l.
        radius: radius in Å of the local environment.
    """

    n_radial: int
    radius: float

    @property
    @abstractmethod
    def support(self) -> float:
        """Radius in Å beyond which every function is zero to double precision."""

    @abstractmethod
    def primitives(self, r: Float[np.ndarray, " point"], l: int) -> Float[np.ndarray, "n point"]:
        """Unnormalised functions of angular momentum l at radii r in Å."""

    def quadrature(
        self, k_max: float
    ) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
        """Gauss-Legendre nodes and weights on the support that also resolve j_l(k_max r)."""
        return gauss_legendre_on(128 + math.ceil(0.6 * k_max * self.support), self.support)


def gauss_legendre_on(
    count: int, upper: float
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Nodes and weights on [0, upper]."""
    nodes, weights = roots_legendre(count)
    return 0.5 * upper * (nodes + 1), 0.5 * upper * weights


def check_size(n_radial: int, radius: float) -> None:
    """Check the number of functions and the radius.

    Raises:
        ValueError: if a value is out of range.
    """
    if not isinstance(n_radial, int) or not 1 <= n_radial <= 64:
        raise ValueError(f"n_radial is {n_radial}; it is a whole number of functions, from 1 to 64")
    if not (math.isfinite(radius) and radius > 0):
        raise ValueError(f"the radius of a radial basis is {radius} Å; it must be positive")
