"""Squares of scalar products, summed over centers, as scalar products of second moments.

    K_AB = sum_ij (x_i . x_j)(u_i . u_j) = <C_A, C_B>,  C_A = sum_i x_i u_i^T

over the centers i of a row A and j of B. Of invariants u is x itself, of equivariants the
invariants of their centers. The time grows with rows squared, not with centers squared.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models.kernels.environments import Environments
from multilode.progress import Progress, unreported

_CALL_FLOPS = 200_000  # what a small matrix product costs beside its arithmetic
_STRIPS = 8  # of rows, of which only those up to the diagonal are multiplied


def moments_are_cheaper(left: Environments, right: Environments, block_bytes: int) -> bool:
    """Compare the floating-point operations of the two ways to squares of scalar products."""
    rows, columns = len(left.points), len(right.points)
    structures, same = left.n_rows + right.n_rows, _symmetric(left)
    width = left.points.values.shape[1]
    beside = width if same else left.points.of_invariants().values.shape[1]
    size = _moment_width(structures, block_bytes)
    calls = math.ceil(width / size) * math.ceil(beside / size) / (2 if same else 1)
    # 20: squares and sums cost memory traffic
    direct = rows * columns * (2 * (width if same else width + beside) + 20)
    products = width * beside * (1 if same else 2)
    moments = (rows + columns + left.n_rows * right.n_rows) * products
    return moments + structures * calls * _CALL_FLOPS < direct


def moment_kernel(
    left: Environments,
    right: Environments,
    block_bytes: int,
    *,
    progress: Progress = unreported,
) -> Float[Tensor, "left right"]:
    """<C_A, C_B> over blocks of pairs of features; of invariants, off-diagonal ones count twice.

    Source: theory#second-moments.

    Args:
        block_bytes: bound on the memory of a block of the moments of all rows.
        progress: called with the blocks that are done, and all of them.
    """
    size = _moment_width(left.n_rows + right.n_rows, block_bytes)
    same, symmetric = left is right, _symmetric(left)
    pair = left.points.values, left.points.of_invariants().values
    first, second = (_slices(_filled(x), size) for x in pair)
    blocks = [
        (number, other)
        for number in range(len(first))
        for other in range(number if symmetric else 0, len(second))
    ]
    total = left.scale.new_zeros(left.n_rows, right.n_rows)
    for done, (number, other) in enumerate(blocks):
        a, b = first[number], second[other]
        moments = _moment_block(left, a, b)
        others = moments if same else _moment_block(right, a, b)
        total = _added(total, moments, others, 2.0 if symmetric and number != other else 1.0)
        progress(done + 1, len(blocks))
    return _mirrored(total) if same and not total.requires_grad else total


def _added(
    total: Float[Tensor, "left right"],
    moments: Float[Tensor, "left pair"],
    others: Float[Tensor, "right pair"],
    weight: float,
) -> Float[Tensor, "left right"]:
    """total + weight <C_A, C_B>; of the same rows, below the diagonal only."""
    if total.requires_grad or moments.requires_grad or others.requires_grad:
        return total + weight * (moments @ others.T)
    if moments is not others:
        return total.addmm_(moments, others.T, alpha=weight)
    for rows in _slices(len(total), math.ceil(len(total) / _STRIPS)):
        total[rows, : rows.stop].addmm_(moments[rows], others[: rows.stop].T, alpha=weight)
    return total


def _mirrored(lower: Float[Tensor, "row row"]) -> Float[Tensor, "row row"]:
    below = lower.tril(-1)
    return below + below.T + torch.diag(lower.diagonal())


def _symmetric(rows: Environments) -> bool:
    return rows.points.invariants is None


def _filled(values: Float[Tensor, "point feature"]) -> int:
    """Number of columns up to the last one that is not zero everywhere, as compressed ones are."""
    filled = (values.detach() != 0).any(dim=0).nonzero()
    return int(filled[-1]) + 1 if len(filled) else 0


def _moment_width(n_rows: int, block_bytes: int) -> int:
    return max(1, math.isqrt(block_bytes // (8 * max(n_rows, 1))))


def _slices(n: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _moment_block(environments: Environments, a: slice, b: slice) -> Float[Tensor, "row _"]:
    n_rows = environments.n_rows
    x, u = environments.points.values[:, a], environments.points.of_invariants().values[:, b]
    counts = environments.counts.tolist()
    if min(counts) == max(counts):  # one batched product where sizes are equal
        x, u = (part.reshape(n_rows, counts[0], part.shape[1]) for part in (x, u))
        return (x.mT @ u).flatten(start_dim=1)
    pairs = zip(x.split(counts), u.split(counts), strict=True)
    return torch.stack([x.T @ u for x, u in pairs]).flatten(start_dim=1)
