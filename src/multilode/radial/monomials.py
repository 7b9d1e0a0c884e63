"""Powers of the radius."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from multilode.radial.basis import AbstractRadialBasis, check_size


@final
@dataclass(frozen=True)
class Monomials(AbstractRadialBasis):
    """R_kl(r) ~ r^(l + 2k) inside of the radius, zero outside.

    With one function per l this is all that a Coulomb potential without sources inside of the
    radius can be.

    Source: theory#radial-bases; theory#harmonic-potential; Grisafi2021 Eq. 14.

    Args:
        n_radial: number of functions (k = 0 ... n_radial - 1).
        radius: radius of the sphere in Å.

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
        """Powers of r / radius."""
        k = np.arange(self.n_radial)[:, None]
        return (r / self.radius) ** (l + 2 * k)
