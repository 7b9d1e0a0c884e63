"""Few columns in the place of many: those that carry the rows of a product of fields."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models.solve.scaling import column_factors

MOST_COLUMNS = 128
_MORE = 32  # directions that are drawn beside those that are kept
_NEGLECTED = 1e-14  # of the variance: rounding


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class RowBasis:
    """Directions of the columns with the largest variance, for all channels together.

    Inner products of rows, and so kernels and ridge regressions, hardly change in them, whatever
    channels are mixed.

    Args:
        matrix: from columns, scaled by their spread first, to directions.
    """

    matrix: Float[Tensor, "column kept"]

    @staticmethod
    def of(values: Float[Tensor, "row column channel"], power: float) -> "RowBasis":
        """At most 128 directions, of some of the rows.

        Source: theory#sources.

        Args:
            values: rows of a product.
            power: of the spreads, over all channels, that columns are divided by.
        """
        rows = values.permute(0, 2, 1).flatten(end_dim=1)
        factors = column_factors(rows, power) if power else torch.ones_like(rows[0])
        directions = _directions(rows * factors)
        return RowBasis(matrix=factors[:, None] * directions)

    def of_rows(
        self, values: Float[Tensor, "row column channel"]
    ) -> Float[Tensor, "row kept channel"]:
        """The rows in these directions."""
        return torch.einsum("rcq,ck->rkq", values, self.matrix)


def _directions(rows: Float[Tensor, "row column"]) -> Float[Tensor, "column kept"]:
    """First principal directions, by a random search of their space where there are many."""
    wanted = MOST_COLUMNS + _MORE
    space = torch.eye(rows.shape[1], dtype=rows.dtype)
    if min(rows.shape) > wanted:
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(len(rows), wanted, generator=generator, dtype=rows.dtype)
        space = torch.linalg.qr(rows.T @ drawn).Q
        space = torch.linalg.qr(rows.T @ (rows @ space)).Q
    elif len(rows) < rows.shape[1]:
        space = torch.linalg.qr(rows.T).Q
    inside = rows @ space
    variances, vectors = torch.linalg.eigh(inside.T @ inside)
    variances, vectors = variances.flip(0), vectors.flip(1)
    many = int((variances > _NEGLECTED * variances.sum()).sum())
    return space @ vectors[:, : min(max(many, 1), MOST_COLUMNS)]
