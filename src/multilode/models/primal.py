"""Ridge regression in the space of the features, for all rows or for several subsets of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.spectrum import regularization_unit

Subsets = Sequence[Int[Tensor, " _"]]  # rows that each member of a committee is fitted to


@final
@dataclass(frozen=True, kw_only=True)
class Thin:
    """Thin singular value decomposition of rows about a mean, with the targets in its vectors.

    Args:
        along: targets about their mean, projected on the left singular vectors.
        total: sums of squares of the targets about their mean.
        singular: singular values; zero where they are rounding, not information.
        right: singular vectors of the features.
        mean: that was subtracted from the rows; zeros without an intercept.
        shift: that was subtracted from the targets; zeros without an intercept.
    """

    along: Float[Tensor, "rank target"]
    total: Float[Tensor, " target"]
    singular: Float[Tensor, " rank"]
    right: Float[Tensor, "feature rank"]
    mean: Float[Tensor, " feature"]
    shift: Float[Tensor, " target"]

    @staticmethod
    def of(
        rows: Float[Tensor, "row feature"], y: Float[Tensor, "row target"], *, intercept: bool
    ) -> "Thin":
        """Decompose rows; many more rows than features first become a triangle with y beside it."""
        mean, shift = rows.mean(dim=0) * int(intercept), y.mean(dim=0) * int(intercept)
        x, targets, width = rows - mean, y - shift, rows.shape[1]
        total = targets.square().sum(dim=0)
        if len(rows) > 2 * (width + y.shape[1]):
            triangle = torch.linalg.qr(torch.cat([x, targets], dim=1), mode="r").R
            x, targets = triangle[:width, :width], triangle[:width, width:]
        left, singular, right = torch.linalg.svd(x, full_matrices=False)
        # of dependent features the smallest singular values are rounding, not information
        rounding = max(rows.shape) * torch.finfo(rows.dtype).eps * singular.max()
        return Thin(
            along=left.T @ targets,
            total=total,
            singular=torch.where(singular > rounding, singular, 0.0),
            right=right.T,
            mean=mean,
            shift=shift,
        )

    def solve(
        self, regularization: float
    ) -> tuple[Float[Tensor, "feature target"], Float[Tensor, " target"]]:
        """Weights and intercept of |y - X w - b|^2 + g |w|^2."""
        inverse = self.singular / (self.singular.square() + regularization)
        weights = self.right @ (inverse[:, None] * self.along)
        return weights, self.shift - self.mean @ weights


def absolute_regularization(
    rows: Float[Tensor, "row feature"], relative: float, n_targets: int
) -> float:
    """From the mean eigenvalue of the kernel about its mean to the unit of that kernel.

    Args:
        n_targets: number of rows, the first, that vary about a mean; derivatives may follow them.
    """
    first, derivatives = rows[:n_targets], rows[n_targets:]
    centered = float((first - first.mean(dim=0)).square().sum() + derivatives.square().sum())
    return relative * regularization_unit(centered, float(rows.square().sum()), len(rows))


def solve_subsets(
    rows: Float[Tensor, "row feature"],
    y: Float[Tensor, "row target"],
    regularization: float,
    subsets: Subsets,
    *,
    intercept: bool,
) -> tuple[Float[Tensor, "feature column"], Float[Tensor, " column"]]:
    """Weights and intercepts of one regression for each subset, in columns [subset, target].

    More features than rows are first turned into as many as there are rows, once for all subsets; a
    rotation of the features leaves the penalty as it is.
    """
    turn = None
    if rows.shape[1] > len(rows):
        turn = Thin.of(rows, y, intercept=False).right
        rows = rows @ turn
    found = [Thin.of(rows[s], y[s], intercept=intercept).solve(regularization) for s in subsets]
    weights = torch.cat([own for own, _ in found], dim=1)
    offsets = torch.cat([own for _, own in found])
    return (weights if turn is None else turn @ weights), offsets
