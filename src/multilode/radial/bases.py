"""Radial bases: the functions R_n(r) on which fields are expanded around each center."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import roots_legendre, spherical_jn

# Löwdin's S^(-1/2) loses the accuracy of its input by the inverse of the smallest eigenvalue of S
DEPENDENCE_THRESHOLD = 1e-11
_TABULATED_NODES = 400


class AbstractRadialBasis(ABC):
    """Primitive radial functions; normalisation happens in `orthonormalize`, outside of them."""

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
        return _gauss_legendre(128 + math.ceil(0.6 * k_max * self.support), self.support)


def _gauss_legendre(count: int, upper: float) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = roots_legendre(count)
    return 0.5 * upper * (nodes + 1), 0.5 * upper * weights


def _check_size(n_radial: int, radius: float) -> None:
    if not isinstance(n_radial, int) or not 1 <= n_radial <= 64:
        raise ValueError(f"n_radial is {n_radial}; it is a whole number of functions, from 1 to 64")
    if not (math.isfinite(radius) and radius > 0):
        raise ValueError(f"the radius of a radial basis is {radius} Å; it must be positive")


@final
@dataclass(frozen=True)
class GaussianTypeOrbitals(AbstractRadialBasis):
    """R_n(r) ~ r^n exp(-r^2 / 2 s_n^2), s_n = radius max(sqrt(n), 1) / n_radial; to infinity.

    Source: 2019 SI; the basis of featomic and TENSOAP.

    Args:
        n_radial: number of functions.
        radius: radius in Å that sets the widths.

    Raises:
        ValueError: if a value is out of range.
    """

    n_radial: int
    radius: float

    def __post_init__(self) -> None:
        _check_size(self.n_radial, self.radius)

    @property
    def support(self) -> float:
        """Where the widest Gaussian has fallen below 1e-17 of its maximum."""
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


@final
@dataclass(frozen=True)
class Monomials(AbstractRadialBasis):
    """R_kl(r) ~ r^(l + 2k) inside of the radius, zero outside.

    With one function per l this is all that a Coulomb potential without sources inside of the
    radius can be. Source: 2021 Eq. 14.

    Args:
        n_radial: number of functions (k = 0 ... n_radial - 1).
        radius: radius of the sphere in Å.

    Raises:
        ValueError: if a value is out of range.
    """

    n_radial: int
    radius: float

    def __post_init__(self) -> None:
        _check_size(self.n_radial, self.radius)

    @property
    def support(self) -> float:
        """The radius."""
        return self.radius

    def primitives(self, r: Float[np.ndarray, " point"], l: int) -> Float[np.ndarray, "n point"]:
        """Powers of r / radius."""
        k = np.arange(self.n_radial)[:, None]
        return (r / self.radius) ** (l + 2 * k)


@final
@dataclass(frozen=True)
class LaplacianEigenstates(AbstractRadialBasis):
    """R_nl(r) ~ j_l(z_nl r / radius), z_nl the zeros of j_l: the smoothest functions in a sphere.

    Args:
        n_radial: number of functions per l.
        radius: radius of the sphere in Å, on which they vanish.

    Raises:
        ValueError: if a value is out of range.
    """

    n_radial: int
    radius: float

    def __post_init__(self) -> None:
        _check_size(self.n_radial, self.radius)

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


@final
@dataclass(frozen=True)
class TabulatedBasis(AbstractRadialBasis):
    """Radial functions that the user supplies, kept as their values on a fixed quadrature grid.

    Make one with `TabulatedBasis.from_function`; a saved model needs no more than these values.

    Args:
        values: one tuple of values per function, on the Gauss-Legendre nodes of [0, radius].
        radius: radius in Å beyond which the functions are zero.

    Raises:
        ValueError: if a value is not finite or the table has the wrong length.
    """

    values: tuple[tuple[float, ...], ...]
    radius: float

    def __post_init__(self) -> None:
        _check_size(len(self.values), self.radius)
        table = [len(row) for row in self.values]
        if set(table) != {_TABULATED_NODES}:
            raise ValueError(
                f"a tabulated basis holds {_TABULATED_NODES} values per function, got {table}; "
                "make it with TabulatedBasis.from_function"
            )
        if not np.isfinite(self.values).all():
            raise ValueError("a radial function has values that are not finite inside its radius")

    @property
    def n_radial(self) -> int:  # type: ignore[override]
        """Number of functions."""
        return len(self.values)

    @staticmethod
    def from_function(
        function: Callable[[Float[np.ndarray, " point"]], Float[np.ndarray, "n point"]],
        radius: float,
    ) -> "TabulatedBasis":
        """Sample `function`, which maps radii in Å to one row of values per basis function."""
        _check_size(1, radius)
        nodes, _ = _gauss_legendre(_TABULATED_NODES, radius)
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
        return _gauss_legendre(_TABULATED_NODES, self.radius)

    def primitives(
        self,
        r: Float[np.ndarray, " point"],
        l: int,  # noqa: ARG002 - the same for every l
    ) -> Float[np.ndarray, "n point"]:
        """The table itself on its own nodes, its Legendre interpolant elsewhere."""
        nodes, weights = np.polynomial.legendre.leggauss(_TABULATED_NODES)
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


@final
@dataclass(frozen=True, eq=False)
class RadialFunctions:
    """Orthonormal radial functions on a quadrature grid, integral of R_n R_n' r^2 = delta.

    Args:
        r: nodes in Å.
        weights: quadrature weights, without the factor r^2.
        values: R_nl at the nodes.
        dependence: smallest over largest eigenvalue of the overlap matrix of the normalised
            primitives for each l; small means nearly linearly dependent.
        n_primitives: functions before dependent combinations were removed.
    """

    r: Float[np.ndarray, " point"]
    weights: Float[np.ndarray, " point"]
    values: Float[np.ndarray, "l n point"]
    dependence: Float[np.ndarray, " l"]
    n_primitives: int

    @property
    def n_radial(self) -> int:
        """Number of orthonormal functions per l."""
        return self.values.shape[1]

    @property
    def max_angular(self) -> int:
        """Largest l."""
        return self.values.shape[0] - 1


def orthonormalize(
    basis: AbstractRadialBasis, max_angular: int, k_max: float = 0.0
) -> RadialFunctions:
    """Löwdin orthonormalisation S^(-1/2) with weight r^2, for each l. Source: theory, section 2.

    Where the primitives are linearly dependent to `DEPENDENCE_THRESHOLD`, the eigenvectors of S
    that carry no information are dropped (canonical orthonormalisation) and fewer functions come
    back; `RadialFunctions.dependence` and `.n_primitives` report it.

    Args:
        basis: primitive functions.
        max_angular: largest l, inclusive.
        k_max: largest wave number in 1/Å with which the functions will be integrated.
    """
    decomposed = [_decomposed(basis, l) for l in range(max_angular + 1)]
    dependence = np.array([values[0] / values[-1] for _, values, _ in decomposed])
    kept = min(_independent(values) for _, values, _ in decomposed)
    r, weights = basis.quadrature(k_max)
    functions = [
        _transform(*parts, kept) @ basis.primitives(r, l) for l, parts in enumerate(decomposed)
    ]
    return RadialFunctions(r, weights, np.stack(functions), dependence, len(decomposed[0][1]))


def orthonormal_functions(
    basis: AbstractRadialBasis, r: Float[np.ndarray, " point"], l: int
) -> Float[np.ndarray, "n point"]:
    """The orthonormal functions of angular momentum l at any radii in Å."""
    parts = _decomposed(basis, l)
    return _transform(*parts, _independent(parts[1])) @ basis.primitives(r, l)


def _decomposed(
    basis: AbstractRadialBasis, l: int
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, "n n"]]:
    """Norms of the primitives, eigenvalues and eigenvectors of their overlap."""
    # one transformation for every k_max: of nearly dependent functions, that of another quadrature
    # would differ by much more than rounding, and tables for both spaces must share one basis
    r, weights = basis.quadrature(0.0)
    measure = weights * r**2
    primitives = basis.primitives(r, l)
    norms = np.sqrt(primitives**2 @ measure)
    overlap = (primitives * measure) @ primitives.T / np.outer(norms, norms)
    return norms, *np.linalg.eigh(overlap)


def _independent(eigenvalues: Float[np.ndarray, " n"]) -> int:
    return int((eigenvalues > DEPENDENCE_THRESHOLD * eigenvalues[-1]).sum())


def _transform(
    norms: Float[np.ndarray, " n"],
    eigenvalues: Float[np.ndarray, " n"],
    vectors: Float[np.ndarray, "n n"],
    kept: int,
) -> Float[np.ndarray, "kept n"]:
    """From primitives to orthonormal functions."""
    transform = vectors[:, -kept:] / np.sqrt(eigenvalues[-kept:])
    if kept == len(eigenvalues):
        transform = transform @ vectors.T
    return (transform / norms[:, None]).T


RADIAL_BASES: dict[str, type[AbstractRadialBasis]] = {
    "gto": GaussianTypeOrbitals,
    "monomial": Monomials,
    "laplacian": LaplacianEigenstates,
    "tabulated": TabulatedBasis,
}
