"""Compressions of the features of environments, found from some of a training set."""

import warnings
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.errors import DataWarning
from multilode.models.kernel_ridge.kernel_model import compared_rows
from multilode.models.kernels import AbstractKernel
from multilode.models.kernels.compression import (
    POINTS_PER_FEATURE,
    TOLERANCE,
    WIDEST,
    Compression,
    CompressionSample,
)
from multilode.models.kernels.environments import EnvironmentTerms
from multilode.models.kernels.row_kernels import prepare_terms
from multilode.models.problem import Problem, SampleFeatures
from multilode.symmetry.irrep import INVARIANT, irrep_name

_EVERY = 2**62  # structures, if there are as many


def fitted_compressions(
    problem: Problem,
    kernels: tuple[AbstractKernel, ...],
    centers: tuple[int, ...] | None,
    sample: SampleFeatures,
    *,
    seed: int,
    tolerance: float | None,
) -> tuple[Compression | None, ...]:
    """For each term that is the square of a scalar product, if there are enough environments.

    The features of the whole training set are not needed: sampling ends with
    `POINTS_PER_FEATURE` environments for each feature. A set that has fewer is not compressed.
    Unless they are asked for, invariants are not compressed, and equivariants with a note.

    Args:
        problem: the regression.
        kernels: one per term of the problem.
        centers: center species that are compared with their own kind only; None compares all.
        sample: gives features of training structures drawn at random.
        seed: of the draw.
        tolerance: share of the variance that may be left out; None for `TOLERANCE` of equivariants
            and nothing of invariants.
    """
    asked = tolerance is not None
    tolerance = tolerance if asked else float(problem.irrep != INVARIANT) * TOLERANCE
    if tolerance == 0:
        return ()
    n_slots = 1 if centers is None else len(centers)
    samples = [CompressionSample(n_slots) for _ in kernels]
    n_points, needed = 0, 1
    for rows in _prepared(problem, kernels, centers, sample, seed):
        squares = [k for k, term in enumerate(rows.terms) if kernels[k].power(term.points) == 2]
        parts = [x for k in squares for x in rows.terms[k].points.tensors]
        widest = max((part.shape[1] for part in parts), default=0)
        if not 0 < widest <= WIDEST:
            return ()
        for k in squares:
            samples[k].add(rows.terms[k])
        n_points, needed = n_points + len(parts[0]), POINTS_PER_FEATURE * widest
        if n_points >= needed:
            break
    if n_points < needed:
        return ()
    found = tuple(sample.compression(tolerance) for sample in samples)
    if any(found) and not asked:
        warnings.warn(DataWarning(_note(problem, found, tolerance)), stacklevel=2)
    return found


def _note(problem: Problem, found: tuple[Compression | None, ...], tolerance: float) -> str:
    sizes = ", ".join("all" if own is None else _sizes(own.values) for own in found)
    return (
        f"environments of {irrep_name(problem.irrep)} are compared in some directions of their "
        f"features ({sizes}), which leaves out {100 * tolerance:g} % of the variance; "
        "estimator.compression says how much, 0 is nothing"
    )


def _sizes(directions: Float[Tensor, "slot feature kept"]) -> str:
    return f"{directions.shape[2]} of {directions.shape[1]}"


def _prepared(
    problem: Problem,
    kernels: tuple[AbstractKernel, ...],
    centers: tuple[int, ...] | None,
    sample: SampleFeatures,
    seed: int,
) -> Iterator[EnvironmentTerms]:
    for batch in sample(_EVERY, seed):
        rows = compared_rows(batch, kernels, problem.irrep).to("cpu")
        with torch.no_grad():
            yield prepare_terms(rows, kernels, reduce="sum", centers=centers)
