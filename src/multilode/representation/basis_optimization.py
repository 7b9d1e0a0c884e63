"""Radial functions made for a training set: those with most of the variance of its coefficients."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from multilode.data.inputs import Data, as_structures
from multilode.expansion import FieldExpansion, expand
from multilode.numerics.modes import own_modes
from multilode.radial import TabulatedBasis
from multilode.radial.orthonormal import orthonormal_functions
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.structures.batch import Structures

_ROUNDING = 1e-13  # of coefficients squared, relative to their sum; no variance is as small


@own_modes(gradients=True)
def optimized_basis(
    expansion: FieldExpansion,
    structures: Data,
    n_radial: int,
    *,
    species: Sequence[int] | None = None,
    tolerance: float | None = None,
) -> tuple[FieldExpansion, float]:
    """The field on a few functions (`TabulatedBasis`), and the part of the variance that they keep.

    They are the first eigenvectors of the covariance over n of the coefficients c_nlm on an
    orthonormal basis, summed over l, m, centers and species, those of l = 0 about their means.

    Source: theory#optimized-basis; Goscinski2021.

    Args:
        expansion: field on a basis with the same functions for every l.
        structures: of the training set; some tens are enough.
        n_radial: number of functions to keep.
        species: atomic numbers of the neighbors; by default those of the structures.
        tolerance: of the expansion.

    Raises:
        ValueError: if the functions of the basis depend on l, `n_radial` is not between 1 and
            their number, or the structures have no variance to keep.
    """
    radial = expansion.basis
    _check_same_for_every_l(expansion)
    covariance = _covariance(expansion, as_structures(structures), species, tolerance)
    if not 1 <= n_radial <= len(covariance):
        raise ValueError(
            f"n_radial is {n_radial}; keep between 1 and the {len(covariance)} independent "
            "functions of the basis"
        )
    chosen, kept = _leading(covariance, n_radial)
    table = TabulatedBasis.from_function(
        lambda r: chosen @ orthonormal_functions(radial, r, 0), radial.support
    )
    return replace(expansion, basis=table), kept


def _leading(
    covariance: Float[np.ndarray, "n n"], n_radial: int
) -> tuple[Float[np.ndarray, "kept n"], float]:
    """First eigenvectors, their largest numbers positive, and their part of the variance."""
    values, vectors = np.linalg.eigh(covariance)
    chosen = vectors[:, ::-1][:, :n_radial].T
    chosen *= np.sign(chosen[:, np.abs(chosen).argmax(axis=1)].diagonal())[:, None]
    return chosen, float(values[::-1][:n_radial].sum() / values.sum())


def _check_same_for_every_l(expansion: FieldExpansion) -> None:
    r, _ = expansion.basis.quadrature(0.0)
    first = expansion.basis.primitives(r, 0)
    if not all(
        np.allclose(first, expansion.basis.primitives(r, l), rtol=1e-12, atol=1e-300)
        for l in range(1, expansion.max_angular + 1)
    ):
        raise ValueError(
            f"the functions of {type(expansion.basis).__name__} differ between l; optimize a basis "
            "with one set of functions, such as GaussianTypeOrbitals"
        )


@torch.no_grad()
def _covariance(
    expansion: FieldExpansion,
    structures: Structures,
    species: Sequence[int] | None,
    tolerance: float | None,
) -> np.ndarray:
    """Covariance of the coefficients over n, in the trace normalization of one center."""
    if structures.n_atoms == 0:
        raise ValueError("there are no atoms to see a field; give structures of the training set")
    known = tuple(sorted(set(structures.species.tolist() if species is None else species)))
    moments = sums = torch.zeros((), dtype=torch.float64)
    n_centers = 0
    for start, stop in batch_limits(structures, BATCH_ATOMS):
        batch = structures.select(torch.arange(start, stop))
        found = expand(expansion, batch, species=known, tolerance=tolerance)
        blocks = [block.double().unflatten(2, (len(known), -1)) for block in found.blocks.values()]
        moments = moments + sum(torch.einsum("cman,cmak->nk", b, b) for b in blocks)
        sums = sums + blocks[0][:, 0].sum(dim=0)  # of l = 0, [species, n]
        n_centers += batch.n_atoms
    mean = sums / n_centers
    whole = moments / n_centers
    covariance = whole - mean.T @ mean
    if float(covariance.trace()) <= _ROUNDING * float(whole.trace()):
        raise ValueError(
            "all atoms of these structures have the same environment, which leaves no variance for "
            "radial functions to keep; give several structures of the training set"
        )
    return covariance.cpu().numpy()
