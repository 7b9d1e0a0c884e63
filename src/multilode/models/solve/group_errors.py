"""Errors of ridge regressions that leave out one group of rows at a time, in closed form."""

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

    With H = X (X^T X + penalty)^-1 X^T they are (1 - H_gg)^-1 (y - H y)_g. Differentiable in rows
    and penalty. Of more features than rows `left_out_of_kernel` takes less time.

    Source: theory#left-out-groups.

    Args:
        rows: features X.
        y: targets.
        penalty: of the squared weights, larger than 0.
        members: rows of each group; the number of rows where there are fewer.
    """
    p = rows.shape[1]
    padded = torch.cat([rows, rows.new_zeros(1, p)])
    targets = torch.cat([y, y.new_zeros(1)])
    square = rows.T @ rows + penalty * torch.eye(p, dtype=rows.dtype)
    lower = torch.linalg.cholesky(square)
    half = torch.linalg.solve_triangular(lower, padded.T, upper=False).T  # [row, feature]
    fitted = half @ (half[:-1].T @ y)
    blocks = half[members]
    unit = torch.eye(members.shape[1], dtype=rows.dtype)
    return torch.linalg.solve(unit - blocks @ blocks.mT, targets[members] - fitted[members])


def left_out_of_kernel(
    kernel: Float[Tensor, "row row"],
    y: Float[Tensor, " row"],
    penalty: Float[Tensor, ""],
    members: Int[Tensor, "group most"],
) -> Float[Tensor, "group most"]:
    """The same from K = X X^T: with G = (K + penalty)^-1 they are G_gg^-1 (G y)_g.

    Source: theory#left-out-groups.

    Args:
        kernel: K.
        y: targets.
        penalty: larger than 0.
        members: as there.
    """
    n = len(kernel)
    inverse = torch.linalg.inv(kernel + penalty * torch.eye(n, dtype=kernel.dtype))
    solved = torch.cat([inverse @ y, y.new_zeros(1)])
    wide = torch.zeros(n + 1, n + 1, dtype=kernel.dtype)
    wide[:n, :n] = inverse
    blocks = wide[members[:, :, None], members[:, None]]
    absent = (members == n).to(kernel.dtype)
    return torch.linalg.solve(blocks + torch.diag_embed(absent), solved[members])


def group_members(groups: Int[Tensor, " row"]) -> Int[Tensor, "group most"]:
    """Rows of each group, padded with the number of rows."""
    _, index, counts = groups.unique(return_inverse=True, return_counts=True)
    order = torch.argsort(index, stable=True)
    first = counts.cumsum(0) - counts
    place = torch.arange(len(groups)) - first[index[order]]
    found = torch.full((len(counts), int(counts.max())), len(groups))
    found[index[order], place] = order
    return found
