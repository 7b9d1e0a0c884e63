"""Errors of ridge regressions that leave out one group of rows at a time, in closed form."""

from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor


def left_out_residuals(
    rows: Float[Tensor, "row feature"],
    y: Float[Tensor, " row"],
    penalty: Float[Tensor, ""],
    members: Int[Tensor, "group most"],
) -> Float[Tensor, "group most"]:
    """y_g - X_g w(all rows but those of g) for each group g, from one decomposition.

    With H = X (X^T X + penalty)^-1 X^T they are e_g = (1 - H_gg)^-1 (y - H y)_g. Differentiable
    once in rows and penalty. Of more features than rows
    `left_out_of_kernel` takes less time.

    Source: theory#left-out-groups.

    Args:
        rows: features X.
        y: targets.
        penalty: of the squared weights, larger than 0.
        members: rows of each group; the number of rows where there are fewer.
    """
    found: Any = _OfRows.apply(rows, y, penalty, members)
    return found


def left_out_of_kernel(
    kernel: Float[Tensor, "row row"],
    y: Float[Tensor, " row"],
    penalty: Float[Tensor, ""],
    members: Int[Tensor, "group most"],
) -> Float[Tensor, "group most"]:
    """The same from K = X X^T: with G = (K + penalty)^-1, e_g = G_gg^-1 (G y)_g.

    Source: theory#left-out-groups.

    Args:
        kernel: K.
        y: targets.
        penalty: larger than 0.
        members: as there.
    """
    found: Any = _OfKernel.apply(kernel, y, penalty, members)
    return found


def group_members(groups: Int[Tensor, " row"]) -> Int[Tensor, "group most"]:
    """Rows of each group, padded with the number of rows."""
    _, index, counts = groups.unique(return_inverse=True, return_counts=True)
    order = torch.argsort(index, stable=True)
    first = counts.cumsum(0) - counts
    place = torch.arange(len(groups)) - first[index[order]]
    found = torch.full((len(counts), int(counts.max())), len(groups))
    found[index[order], place] = order
    return found


@final
class _OfRows(torch.autograd.Function):
    """With S the derivative in H and its transpose, that in X is (1 - H) S X A^-1."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, y: Tensor, penalty: Tensor, members: Tensor) -> Tensor:
        square = rows.T @ rows
        square.diagonal().add_(penalty)
        lower = torch.linalg.cholesky(square)
        half = torch.linalg.solve_triangular(lower.T, rows, upper=True, left=False)
        rest = _padded(y - half @ (half.T @ y))
        blocks = _padded(half)[members]
        unit = torch.eye(members.shape[1], dtype=rows.dtype)
        own = unit - blocks @ blocks.mT
        errors = torch.linalg.solve(own, rest[members])
        ctx.save_for_backward(half, lower, y, members, errors, own)
        return errors

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        half, lower, y, members, errors, own = ctx.saved_tensors
        solved = torch.linalg.solve(own, slopes[0])
        # the derivative in H, to be made symmetric: -a y^T, and a_g e_g^T within groups
        a = _gathered(solved, members, len(y))
        weights = torch.linalg.solve_triangular(lower, half, upper=False, left=False)  # X A^-1
        within = _within(solved, errors, weights, members)
        turned = within - torch.outer(a, y @ weights) - torch.outer(y, a @ weights)
        to_rows = turned - half @ (half.T @ turned)
        to_penalty = -(weights * turned).sum() / 2  # H falls by X A^-2 X^T
        return to_rows, None, to_penalty, None


@final
class _OfKernel(torch.autograd.Function):
    """With S the derivative in G and its transpose, that in K is -G S G / 2."""

    @staticmethod
    def forward(ctx: Any, kernel: Tensor, y: Tensor, penalty: Tensor, members: Tensor) -> Tensor:
        n = len(kernel)
        inverse = torch.linalg.inv(kernel + penalty * torch.eye(n, dtype=kernel.dtype))
        wide = torch.zeros(n + 1, n + 1, dtype=kernel.dtype)
        wide[:n, :n] = inverse
        absent = (members == n).to(kernel.dtype)
        own = wide[members[:, :, None], members[:, None]] + torch.diag_embed(absent)
        errors = torch.linalg.solve(own, _padded(inverse @ y)[members])
        ctx.save_for_backward(inverse, y, members, errors, own)
        return errors

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        inverse, y, members, errors, own = ctx.saved_tensors
        solved = torch.linalg.solve(own, slopes[0])
        # the derivative in G, to be made symmetric: b y^T, and -b_g e_g^T within groups
        b = _gathered(solved, members, len(y))
        outer = torch.outer(inverse @ b, inverse @ y)
        within = inverse @ _within(solved, errors, inverse, members)
        to_kernel = (within - outer - outer.T) / 2
        return to_kernel, None, to_kernel.diagonal().sum(), None


def _padded(values: Float[Tensor, "row ..."]) -> Float[Tensor, "more ..."]:
    return torch.cat([values, values.new_zeros(1, *values.shape[1:])])


def _gathered(
    values: Float[Tensor, "group most"], members: Int[Tensor, "group most"], n: int
) -> Float[Tensor, " row"]:
    found = values.new_zeros(n + 1).index_put((members.flatten(),), values.flatten())
    return found[:n]


def _within(
    left: Float[Tensor, "group most"],
    right: Float[Tensor, "group most"],
    values: Float[Tensor, "row column"],
    members: Int[Tensor, "group most"],
) -> Float[Tensor, "row column"]:
    """(l_g r_g^T + r_g l_g^T) V_g in the rows of each group g."""
    own = _padded(values)[members]
    found = left[:, :, None] * (right[:, None] @ own) + right[:, :, None] * (left[:, None] @ own)
    result = values.new_zeros(len(values) + 1, values.shape[1])
    return result.index_put((members.flatten(),), found.flatten(end_dim=1))[:-1]
