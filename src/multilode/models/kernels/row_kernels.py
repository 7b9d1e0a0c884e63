"""Kernels between environments, summed to kernels between rows in blocks of bounded memory."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from multilode.equivariants.features import FeatureRows
from multilode.models.kernels import AbstractKernel, Points
from multilode.models.kernels.compression import Compression
from multilode.models.kernels.environments import Environments, EnvironmentTerms
from multilode.models.kernels.second_moments import moment_kernel, moments_are_cheaper
from multilode.models.pooling import pool, species_slots
from multilode.models.reduce import Reduce, check_reduce
from multilode.progress import Progress, unreported

# blocks above this size are returned to the system after each call, and page-fault again
BLOCK_BYTES = 32 * 2**20


def weighted_sum(
    factors: Sequence[float], terms: Sequence[Float[Tensor, "*shape"]]
) -> Float[Tensor, "*shape"]:
    """sum_c f_c K_c over the terms c, of which there is at least one."""
    first, *others = (factor * term for factor, term in zip(factors, terms, strict=True))
    return sum(others, start=first)


def prepare_terms(
    features: FeatureRows,
    kernels: tuple[AbstractKernel, ...],
    *,
    reduce: Reduce,
    centers: tuple[int, ...] | None,
    compressions: Sequence[Compression | None] | None = None,
) -> EnvironmentTerms:
    """The environments of all terms in float64, differentiable in the features.

    Args:
        kernels: one per term.
        reduce: whether the kernel of two rows is a sum or a mean over pairs of centers.
        centers: center species that are compared with their own kind only; None compares all.
        compressions: of each term; None keeps all features.

    Raises:
        ValueError: if there are not as many kernels as terms, or a center species is unknown.
    """
    check_reduce(reduce)
    if len(kernels) != len(features.terms):
        raise ValueError(
            f"got {len(kernels)} kernels for {len(features.terms)} terms of features; give one "
            "kernel for all terms or one per term"
        )
    slots = torch.zeros_like(features.center_species)
    if centers is not None:
        slots = species_slots(features.center_species, centers)
    n_slots, terms = 1 if centers is None else len(centers), []
    for number, (kernel, values) in enumerate(zip(kernels, features.terms, strict=True)):
        beside = None if features.invariants is None else features.invariants[number].double()
        points = Points(values=values.double(), invariants=beside, components=features.components)
        points = kernel.prepare(points)
        compression = compressions[number] if compressions else None
        if compression is not None:
            points = compression.apply(points, slots)
        make = _summed if kernel.power(points) == 1 else _listed
        terms.append(make(points, features, reduce=reduce, slots=slots, n_slots=n_slots))
    return EnvironmentTerms(terms=tuple(terms))


def _summed(
    points: Points,
    features: FeatureRows,
    *,
    reduce: Reduce,
    slots: Int[Tensor, " point"],
    n_slots: int,
) -> Environments:
    """One point for each kind of center: a linear kernel of sums is the sum of kernels."""
    n, width = features.n_rows, points.values.shape[1]
    index = features.row_index
    pooled = pool(points.values, index, n, reduce=reduce, slots=slots, n_slots=n_slots)
    return Environments(
        points=Points(values=pooled.reshape(n * n_slots, width)),
        row_index=torch.arange(n, device=index.device).repeat_interleave(n_slots),
        slots=torch.arange(n_slots, device=index.device).repeat(n),
        scale=pooled.new_ones(n),
    )


def _listed(
    points: Points,
    features: FeatureRows,
    *,
    reduce: Reduce,
    slots: Int[Tensor, " point"],
    n_slots: int,  # noqa: ARG001 - the same for sums
) -> Environments:
    """Every point by itself, in the order of rows."""
    index, scale = features.row_index, points.values.new_ones(features.n_rows)
    if reduce == "mean":
        scale = scale / torch.bincount(index, minlength=features.n_rows).clamp(min=1)
    order = torch.argsort(index, stable=True)
    return Environments(
        points=points[order], row_index=index[order], slots=slots[order], scale=scale
    )


def kernel_between(
    kernel: AbstractKernel,
    left: Environments,
    right: Environments,
    *,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress = unreported,
) -> Float[Tensor, "left right"]:
    """K_AB, the sum or mean of k(i, j) over the centers of one kind, for all rows of both.

    Pairs of environments are taken in blocks; or, of squares of scalar products, replaced by second
    moments, whichever is cheaper.

    Args:
        block_bytes: bound on the memory of the temporaries.
        progress: called with the blocks that are done of each kind of center, and all of them.
    """
    total = left.scale.new_zeros(left.n_rows, right.n_rows)
    for slot in left.slots.unique().tolist():
        a = left.of_slot(slot)
        b = a if right is left else right.of_slot(slot)
        if kernel.power(a.points) == 2 and moments_are_cheaper(a, b, block_bytes):
            total = total + moment_kernel(a, b, block_bytes, progress=progress)
        else:
            total = total + _pair_kernel(kernel, a, b, block_bytes, progress=progress)
    return total * left.scale[:, None] * right.scale


def kernel_diagonal(kernel: AbstractKernel, environments: Environments) -> Float[Tensor, " row"]:
    """K_AA of each row."""
    ends = environments.counts.cumsum(0).tolist()
    starts, own = [0, *ends[:-1]], []
    for start, end in zip(starts, ends, strict=True):
        inside = slice(start, end)
        points, slots = environments.points[inside], environments.slots[inside]
        own.append((kernel.between(points, points) * (slots[:, None] == slots)).sum())
    return torch.stack(own) * environments.scale.square()


def _pair_kernel(
    kernel: AbstractKernel,
    left: Environments,
    right: Environments,
    block_bytes: int,
    *,
    progress: Progress = unreported,
) -> Float[Tensor, "left right"]:
    size = max(16, math.isqrt(block_bytes // 24))
    total = left.scale.new_zeros(left.n_rows, right.n_rows)
    if len(right.points) == 0:
        return total
    columns = [slice(k, k + size) for k in range(0, len(right.points), size)]
    for k in range(0, len(left.points), size):
        x, first = left.points[k : k + size], left.row_index[k : k + size]
        strip = total.new_zeros(left.n_rows, right.n_rows)
        for others in columns:
            second = right.row_index[others]
            block = _checkpointed(kernel, x, right.points[others], first, second)
            ends = int(first[0]), int(first[-1]) + 1, int(second[0]), int(second[-1]) + 1
            strip = _add_block(strip, block, ends)
        total = total + strip
        progress(min(k + size, len(left.points)), len(left.points))
    return total


def _pair_block(
    kernel: AbstractKernel,
    x: Points,
    y: Points,
    first: Int[Tensor, " point"],
    second: Int[Tensor, " other"],
) -> Float[Tensor, "left right"]:
    """Kernel of the points x and y, summed over their rows (a range of each)."""
    pairs = kernel.between(x, y)
    rows = int(first[-1] - first[0]) + 1
    columns = int(second[-1] - second[0]) + 1
    summed = pairs.new_zeros(rows, pairs.shape[1]).index_add(0, first - first[0], pairs)
    return summed.new_zeros(rows, columns).index_add(1, second - second[0], summed)


def _add_block(
    total: Float[Tensor, "left right"],
    block: Float[Tensor, "rows columns"],
    ends: tuple[int, int, int, int],
) -> Float[Tensor, "left right"]:
    top, bottom, start, stop = ends
    height, width = total.shape
    if not block.requires_grad and not total.requires_grad:
        total[top:bottom, start:stop] += block
        return total
    padding = (start, width - stop, top, height - bottom)
    return total + torch.nn.functional.pad(block, padding)


def _checkpointed(
    kernel: AbstractKernel,
    x: Points,
    y: Points,
    first: Int[Tensor, " point"],
    second: Int[Tensor, " other"],
) -> Float[Tensor, "left right"]:
    """Recompute a block in the backward pass rather than keep it, if there will be one."""
    if x.requires_grad or y.requires_grad:
        return checkpoint(_pair_block, kernel, x, y, first, second, use_reentrant=False)
    return _pair_block(kernel, x, y, first, second)
