"""Thin singular value decompositions of rows about their mean."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor


@final
@dataclass(frozen=True, kw_only=True)
class ThinSVD:
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
    ) -> "ThinSVD":
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
        return ThinSVD(
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
