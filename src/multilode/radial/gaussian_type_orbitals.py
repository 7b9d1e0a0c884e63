"""Gaussian-type orbitals."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from multilode.radial.basis import AbstractRadialBasis, check_size


@final
@dataclass(frozen=True)
class GaussianTypeOrbitals(AbstractRadialBasis):
    """R_n(r) ~ r^n exp(-r^2 / 2 s_n^2), s_n = radius max(sqrt(n), 1) / n_radial; to infinity.

    Source: theory#radial-bases; Grisafi2019 SI.

    Args:
        n_radial: number of functions.
        radius: radius in Å that sets the widths.

    Raises:
        ValueError: if a value is out of range.
    """

    n_radial: int
    radius: float

    def __post_init__(self) -> None:
        check_size(self.n_radial, self.radius)

    @property
    def support(self) -> float:
        """Distance at which the widest Gaussian has fallen below 1e-17 of its maximum."""
        n = np.arange(self.n_radial)
        return float(np.max(self._widths() * (np.sqrt(n) + 9)))

    def _widths(self) -> np.ndarray:
        n = np.arange(self.n_radial)
        return self.radius * np.maximum(np.sqrt(n), 1) / self.n_radial

    def primitives(
        self,
        r: Float[np.ndarray, " point"],
        l: int,  # noqa: ARG002 - the same for every l
    ) -> Float[np.ndarray, "n point"]:
        """The same functions for every l."""
        n, widths = np.arange(self.n_radial)[:, None], self._widths()[:, None]
        return (r / widths) ** n * np.exp(-0.5 * (r / widths) ** 2)
