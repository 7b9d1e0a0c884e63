"""Radial functions made for a training set: those that carry most of what its atoms see."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from multilode.expansion import FieldExpansion, expand
from multilode.radial import TabulatedBasis
from multilode.radial.orthonormal import orthonormal_functions
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.structures.batch import Structures

_ROUNDING = 1e-13  # of coefficients squared, relative to their sum; no variance is as small


def optimized_basis(
    expansion: FieldExpansion,
    structures: Structures,
    n_radial: int,
    *,
    species: Sequence[int] | None = None,
    tolerance: float | None = None,
) -> tuple[FieldExpansion, float]:
    """The expansion on few radial functions, which are combinations of many.

    With the coefficients c_nlm of a field around all atoms, on an orthonormal basis of many
    functions, the first eigenvectors of the covariance of c over n (summed over l, m, centers and
    species, those of l = 0 about their means) are the few combinations that keep most of the
    variance.

    Source: theory#optimized-basis; Goscinski2021.

    Args:
        expansion: field on a basis with the same functions for every l, such as twelve
            `GaussianTypeOrbitals`.
        structures: of the training set; some tens are enough.
        n_radial: number of functions to keep.
        species: atomic numbers of the neighbors; by default those of the structures.
        tolerance: of the expansion.

    Returns:
        The same field on a `TabulatedBasis`, and the fraction of the variance that it keeps.

    Raises:
        ValueError: if the functions of the basis depend on l, `n_radial` is not between 1 and
            their number, or the structures have no variance to keep.
    """
    radial, upper = expansion.basis, expansion.basis.support
    if not _same_for_every_l(expansion):
        raise ValueError(
            f"the functions of {type(radial).__name__} differ between l; optimize a basis with one "
            "set of functions, such as GaussianTypeOrbitals"
        )
    covariance = _covariance(expansion, structures, species, tolerance)
    if not 1 <= n_radial <= len(covariance):
        raise ValueError(
            f"n_radial is {n_radial}; keep between 1 and the {len(covariance)} independent "
            "functions of the basis"
        )
    values, vectors = np.linalg.eigh(covariance)
    chosen = vectors[:, ::-1][:, :n_radial].T
    chosen *= np.sign(chosen[:, np.abs(chosen).argmax(axis=1)].diagonal())[:, None]
    table = TabulatedBasis.from_function(
        lambda r: chosen @ orthonormal_functions(radial, r, 0), upper
    )
    return replace(expansion, basis=table), float(values[::-1][:n_radial].sum() / values.sum())


def _same_for_every_l(expansion: FieldExpansion) -> bool:
    r, _ = expansion.basis.quadrature(0.0)
    first = expansion.basis.primitives(r, 0)
    return all(
        np.allclose(first, expansion.basis.primitives(r, l), rtol=1e-12, atol=1e-300)
        for l in range(1, expansion.max_angular + 1)
    )


@torch.no_grad()
def _covariance(
    expansion: FieldExpansion,
    structures: Structures,
    species: Sequence[int] | None,
    tolerance: float | None,
) -> np.ndarray:
    """Of the coefficients over n, in the trace normalization of one center."""
    if structures.n_atoms == 0:
        raise ValueError("there are no atoms to see a field; give structures of the training set")
    known = tuple(sorted(set(structures.species.tolist() if species is None else species)))
    moments, sums, n_centers = 0.0, 0.0, 0
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
