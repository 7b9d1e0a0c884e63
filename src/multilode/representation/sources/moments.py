"""Components of many environments from sums over them: principal ones, or toward numbers."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

_LEAST = 1e-6  # variance of a component relative to the first; of less it is rounding


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Sums over environments of their invariants x, of numbers y, and of products of both.

    Args:
        number: of environments.
        total: of x.
        square: of x x^T.
        numbers: of y.
        cross: of x y^T.
        square_numbers: of y^2.
    """

    number: int
    total: Float[Tensor, " feature"]
    square: Float[Tensor, "feature feature"]
    numbers: Float[Tensor, " property"]
    cross: Float[Tensor, "feature property"]
    square_numbers: Float[Tensor, " property"]

    @staticmethod
    def of(x: Float[Tensor, "atom feature"], y: Float[Tensor, "atom property"]) -> "Moments":
        """Of these environments."""
        return Moments(
            number=len(x),
            total=x.sum(dim=0),
            square=x.T @ x,
            numbers=y.sum(dim=0),
            cross=x.T @ y,
            square_numbers=y.square().sum(dim=0),
        )

    def joined(self, other: "Moments") -> "Moments":
        """Of both sets of environments."""
        return Moments(
            number=self.number + other.number,
            total=self.total + other.total,
            square=self.square + other.square,
            numbers=self.numbers + other.numbers,
            cross=self.cross + other.cross,
            square_numbers=self.square_numbers + other.square_numbers,
        )

    @property
    def n_features(self) -> int:
        """Number of invariants."""
        return len(self.total)

    @property
    def mean(self) -> Float[Tensor, " feature"]:
        """Of x; zero without environments."""
        return self.total / max(self.number, 1)

    def components(self, count: int, mixing: float) -> Float[Tensor, "feature component"]:
        """Directions along which x has a variance of one and no correlations.

        Without numbers they are the principal components; with them those of principal covariates
        regression, the leading eigenvectors of C~ = mixing C / tr C + (1 - mixing) S S^T, where
        S = C^-1/2 cov(x, y) of numbers with a total variance of one, divided by the roots of C.

        Source: deJong1992; Helfrecht2020.

        Args:
            count: of components; fewer where x varies in fewer ways.
            mixing: between 0, what explains y, and 1, the largest variances.
        """
        if self.number == 0:  # in none of the structures that were looked at
            return self.square.new_zeros(self.n_features, 0)
        covariance = self.square / self.number - self.mean[:, None] * self.mean
        variances, vectors = torch.linalg.eigh(covariance)
        variances, vectors = variances.flip(0), vectors.flip(1)
        size = max(float(variances[0]), _LEAST * float(self.square.diagonal().sum()) / self.number)
        rank = min(int((variances > _LEAST * size).sum()), max(self.number - 1, 0))
        roots = variances[:rank].clamp(min=0).sqrt()
        unit = vectors[:, :rank] / roots  # of variance one
        found = unit[:, :count]
        if self.cross.shape[1] and rank:
            found = unit @ self._toward(unit, roots, mixing)[:, :count]
        return found * found.gather(0, found.abs().argmax(dim=0, keepdim=True)).sign()

    def _toward(
        self,
        unit: Float[Tensor, "feature rank"],
        roots: Float[Tensor, " rank"],
        mixing: float,
    ) -> Float[Tensor, "rank rank"]:
        """Eigenvectors of C~ in the principal components, the leading one first."""
        means = self.numbers / self.number
        spread = (self.square_numbers / self.number - means.square()).sum().clamp(min=1e-300).sqrt()
        between = self.cross / self.number - self.mean[:, None] * means
        slopes = unit.T @ between / spread
        mixed = torch.diag(mixing * roots.square() / roots.square().sum().clamp(min=1e-300))
        mixed = mixed + (1 - mixing) * slopes @ slopes.T
        return torch.linalg.eigh(mixed)[1].flip(1)
