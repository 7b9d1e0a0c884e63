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
    """Thin singular value decomposition of rows about a mean.

    Args:
        left: singular vectors of the rows.
        singular: singular values; zero where they are rounding, not information.
        right: singular vectors of the features.
        mean: that was subtracted from the rows.
    """

    left: Float[Tensor, "row rank"]
    singular: Float[Tensor, " rank"]
    right: Float[Tensor, "feature rank"]
    mean: Float[Tensor, " feature"]

    @staticmethod
    def of(rows: Float[Tensor, "row feature"], *, centered: bool) -> "Thin":
        """Decompose rows, about their mean if `centered`."""
        mean = rows.mean(dim=0) if centered else torch.zeros_like(rows[0])
        left, singular, right = torch.linalg.svd(rows - mean, full_matrices=False)
        # of dependent features the smallest singular values are rounding, not information
        rounding = max(rows.shape) * torch.finfo(rows.dtype).eps * singular.max()
        kept = torch.where(singular > rounding, singular, 0.0)
        return Thin(left=left, singular=kept, right=right.T, mean=mean)

    def solve(
        self, y: Float[Tensor, "row target"], regularization: float, *, intercept: bool
    ) -> tuple[Float[Tensor, "feature target"], Float[Tensor, " target"]]:
        """Weights and intercept of |y - X w - b|^2 + g |w|^2."""
        shift = y.mean(dim=0) * int(intercept)
        inverse = self.singular / (self.singular.square() + regularization)
        weights = self.right @ (inverse[:, None] * (self.left.T @ (y - shift)))
        return weights, shift - self.mean @ weights


def absolute_regularization(rows: Float[Tensor, "row feature"], relative: float) -> float:
    """From the mean eigenvalue of the kernel about its mean to the unit of that kernel."""
    centered = float((rows - rows.mean(dim=0)).square().sum())
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
        whole = Thin.of(rows, centered=False)
        rows, turn = whole.left * whole.singular, whole.right
    found = [
        Thin.of(rows[s], centered=intercept).solve(y[s], regularization, intercept=intercept)
        for s in subsets
    ]
    weights = torch.cat([own for own, _ in found], dim=1)
    offsets = torch.cat([own for _, own in found])
    return (weights if turn is None else turn @ weights), offsets
