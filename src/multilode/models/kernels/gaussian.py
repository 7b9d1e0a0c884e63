"""Gaussian radial basis functions of features."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models.kernels.kernel import AbstractKernel, Points, normalized


@final
@dataclass(frozen=True, kw_only=True)
class GaussianKernel(AbstractKernel):
    """k(i, j) = exp(-|u_i - u_j|^2 / (2 width^2)), with the invariants u of the centers.

    Of equivariants it is multiplied with their linear kernel (x_i . x_j)_mm'.

    Source: theory#gaussian-kernel; Rasmussen2006.

    Args:
        width: of the Gaussian, in the unit of the features; where they are normalized, between 0
            and about 1.
        normalize: whether u_i and x_i are divided by their norms, those of x_i of all components.

    Raises:
        ValueError: if the width is not positive.
    """

    width: float = 0.5
    normalize: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.width < float("inf"):
            raise ValueError(f"the width of a Gaussian kernel is {self.width}; it must be positive")

    @property
    def uses_invariants(self) -> bool:
        """Always: distances between equivariants would not rotate."""
        return True

    def prepare(self, points: Points) -> Points:
        """Divide by norms, if they are to be."""
        if not self.normalize:
            return points
        beside = points.invariants
        return replace(
            points,
            values=normalized(points.values, points.components),
            invariants=None if beside is None else normalized(beside, 1),
        )

    def between(self, left: Points, right: Points) -> Float[Tensor, "left right"]:
        """One at equal environments, falling to zero."""
        if left.invariants is None or right.invariants is None:
            return self._gaussian(left.values, right.values)
        gaussian = self._gaussian(left.invariants, right.invariants)
        return (left.values @ right.values.T) * gaussian

    def power(self, points: Points) -> None:
        """None: there is no finite number of features."""

    def written(self, term: str) -> str:
        """As an exponential."""
        return f"exp(-|{term}|^2 / (2 {self.width:g}^2))"

    def _gaussian(
        self, u: Float[Tensor, "left feature"], v: Float[Tensor, "right feature"]
    ) -> Float[Tensor, "left right"]:
        squares = u.square().sum(dim=1)[:, None] + v.square().sum(dim=1) - 2 * u @ v.T
        return torch.exp(-squares.clamp(min=0) / (2 * self.width**2))
