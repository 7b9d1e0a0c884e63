"""Radial functions that are given by their values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from scipy.special import roots_legendre

from multilode.radial.basis import AbstractRadialBasis, check_size, gauss_legendre_on

_TABULATED_NODES = 400


@final
@dataclass(frozen=True)
class TabulatedBasis(AbstractRadialBasis):
    """Radial functions that the user supplies, kept as their values on a fixed quadrature grid.

    Make one with `TabulatedBasis.from_function`; a saved model needs no more than these values.

    Source: theory#radial-bases.

    Args:
        values: one tuple of values per function, on the Gauss-Legendre nodes of [0, radius].
        radius: radius in Å beyond which the functions are zero.

    Raises:
        ValueError: if a value is not finite or the table has the wrong length.
    """

    values: tuple[tuple[float, ...], ...]
    radius: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_radial", len(self.values))  # no argument: the table says it
        check_size(self.n_radial, self.radius)
        table = [len(row) for row in self.values]
        if set(table) != {_TABULATED_NODES}:
            raise ValueError(
                f"a tabulated basis holds {_TABULATED_NODES} values per function, got {table}; "
                "make it with TabulatedBasis.from_function"
            )
        if not np.isfinite(self.values).all():
            raise ValueError("a radial function has values that are not finite inside its radius")

    @staticmethod
    def from_function(
        function: Callable[[Float[np.ndarray, " point"]], Float[np.ndarray, "n point"]],
        radius: float,
    ) -> "TabulatedBasis":
        """Sample `function`, which maps radii in Å to one row of values per basis function.

        Args:
            radius: of the sphere that the functions are sampled in, in Å.

        Raises:
            ValueError: if the radius is not positive, or the values are no such rows.
        """
        check_size(1, radius)
        nodes, _ = gauss_legendre_on(_TABULATED_NODES, radius)
        values = np.asarray(function(nodes), dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(nodes):
            raise ValueError(
                f"a radial function must map {len(nodes)} radii to an array (n, {len(nodes)}); "
                f"it returned shape {values.shape}"
            )
        return TabulatedBasis(tuple(map(tuple, values.tolist())), radius)

    @property
    def support(self) -> float:
        """The radius."""
        return self.radius

    def quadrature(
        self,
        k_max: float,  # noqa: ARG002 - the table has one resolution
    ) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
        """The nodes of the table."""
        return gauss_legendre_on(_TABULATED_NODES, self.radius)

    def primitives(
        self,
        r: Float[np.ndarray, " point"],
        l: int,  # noqa: ARG002 - the same for every l
    ) -> Float[np.ndarray, "n point"]:
        """The table itself on its own nodes, its Legendre interpolant elsewhere."""
        nodes, weights = roots_legendre(_TABULATED_NODES)
        table = np.array(self.values)
        t = 2 * r / self.radius - 1
        if len(r) == len(nodes) and np.allclose(t, nodes, rtol=0, atol=1e-13):
            return table
        degree = _TABULATED_NODES // 2
        order = np.arange(degree + 1)
        series = (np.polynomial.legendre.legvander(nodes, degree).T * weights) @ table.T
        series *= (order + 0.5)[:, None]
        values = np.polynomial.legendre.legvander(t, degree) @ series
        return np.where(r <= self.radius, values.T, 0.0)
