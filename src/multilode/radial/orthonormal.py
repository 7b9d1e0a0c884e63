"""Orthonormal combinations of the functions of a basis."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from multilode.radial.basis import AbstractRadialBasis

# Löwdin's S^(-1/2) loses the accuracy of its input by the inverse of the smallest eigenvalue of S
DEPENDENCE_THRESHOLD = 1e-11


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
    """Löwdin orthonormalisation S^(-1/2) with weight r^2, for each l.

    Where the primitives are linearly dependent to `DEPENDENCE_THRESHOLD`, the eigenvectors of S
    that carry no information are dropped (canonical orthonormalisation) and fewer functions come
    back; `RadialFunctions.dependence` and `.n_primitives` report it.

    Source: theory#orthonormalization; Lowdin1950.

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
    """The orthonormal functions of angular momentum l at any radii in Å.

    Source: theory#orthonormalization; Lowdin1950.
    """
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
    eigenvalues, vectors = np.linalg.eigh(overlap)
    return norms, eigenvalues, vectors


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
