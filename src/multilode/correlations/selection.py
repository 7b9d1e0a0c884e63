"""Selection of directions or features from the rows of a training set."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.symmetry.irrep import Irrep

_NOISE = 1e-12  # of the total variance: rounding errors


@final
@dataclass(frozen=True)
class TrainingRows:
    """Feature matrix of a training set: a row per center and component, or fewer of equal moments.

    Args:
        rows: their products summed over rows are those of the training set.
        mean: of the features; zero where rotations forbid one.
        count: number of rows in the training set.
    """

    rows: Float[Tensor, "row feature"]
    mean: Float[Tensor, " feature"]
    count: int

    @staticmethod
    def of(irrep: Irrep, block: Float[Tensor, "center m feature"]) -> "TrainingRows":
        """Rows of one batch."""
        rows = block.detach().flatten(0, 1).to(torch.float64)
        has_mean = irrep == Irrep(0) and len(rows) > 0
        mean = rows.mean(dim=0) if has_mean else rows.new_zeros(rows.shape[1])
        return TrainingRows(rows, mean, len(rows))

    def __add__(self, other: "TrainingRows") -> "TrainingRows":
        rows, count = torch.cat([self.rows, other.rows]), self.count + other.count
        if len(rows) > 2 * rows.shape[1]:
            rows = torch.linalg.qr(rows, mode="r").R
        mean = (self.mean * self.count + other.mean * other.count) / max(1, count)
        return TrainingRows(rows, mean, count)

    def variance(self) -> Float[Tensor, ""]:
        """About the mean, summed over features."""
        return (self.rows**2).sum() / self.count - (self.mean**2).sum()

    def explained(self, matrix: Float[Tensor, "feature component"]) -> float:
        """Fraction of the variance that is in the best linear reconstruction from components."""
        total = float(self.variance())
        if total <= 0:
            return 1.0
        overlap = (self.rows @ matrix).T @ self.rows / self.count
        overlap = overlap - torch.outer(matrix.T @ self.mean, self.mean)  # [component, feature]
        inverse = torch.linalg.pinv(overlap @ matrix, rtol=_NOISE, hermitian=True)
        return min(1.0, float((overlap * (inverse @ overlap)).sum()) / total)


def principal_components(
    training: TrainingRows, largest: int, variance: float
) -> Float[Tensor, "feature component"]:
    """Principal components, preceded by the direction of the mean, if there is one.

    The directions vary about the mean, but features are projected as they are: a product must stay
    a product, of definite degree in its fields. A mean that is far larger than what varies about it
    would otherwise be all that a threshold of the variance keeps.

    Args:
        training: features of the training set.
        largest: largest number of directions.
        variance: stop at this fraction of the variance.
    """
    directions, rows, total = [], training.rows, training.variance()
    length = torch.linalg.vector_norm(training.mean)
    if float(length) > 0:
        unit = training.mean / length
        directions.append(unit[:, None])
        rows = rows - torch.outer(rows @ unit, unit)  # along the mean everything is kept
    values, vectors = _leading(rows, max(0, largest - len(directions)))
    values = values / training.count
    known = total - values.sum() + values.cumsum(0) - values  # before each direction
    wanted = int((known < variance * total).sum())
    directions.append(vectors[:, :wanted])
    return torch.cat(directions, dim=1)


def _leading(
    rows: Float[Tensor, "row feature"], largest: int
) -> tuple[Float[Tensor, " direction"], Float[Tensor, "feature leading"]]:
    """Squares of all singular values above the noise, and the first singular vectors.

    From the smaller of the two squared matrices: ten times faster than a singular value
    decomposition, and what it cannot resolve is left out.
    """
    wide = rows.shape[0] < rows.shape[1]
    values, vectors = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    values, vectors = values.flip(0), vectors.flip(1)
    n_values = int((values > _NOISE * values.sum()).sum())
    values, vectors = values[:n_values], vectors[:, : min(largest, n_values)]
    if wide:  # long vectors of small values are orthogonal to fewer digits
        vectors = torch.linalg.qr(rows.T @ (vectors / values[: vectors.shape[1]].sqrt())).Q
    return values, vectors


def farthest_points(training: TrainingRows, largest: int) -> Int[Tensor, " chosen"]:
    """Farthest-point sampling of features, which starts with the one of largest norm.

    Distances are those of the columns of the feature matrix. Features that equal a chosen one are
    not chosen again: there may be fewer than `largest`.
    """
    rows = training.rows
    square = (rows**2).sum(dim=0)
    chosen = [int(square.argmax())]
    distance = torch.full_like(square, float("inf"))
    for _ in range(min(largest, len(square)) - 1):
        last = chosen[-1]
        distance = torch.minimum(distance, square + square[last] - 2 * rows[:, last] @ rows)
        following = int(distance.argmax())
        if float(distance[following]) <= _NOISE * float(square.max()):
            break
        chosen.append(following)
    return torch.tensor(chosen, device=rows.device)


def cur(training: TrainingRows, largest: int) -> Int[Tensor, " chosen"]:
    """CUR selection: features of largest leverage, each orthogonalised against the chosen ones.

    There may be fewer than `largest`, if the features are linearly dependent.
    """
    _, leading = _leading(training.rows, largest)
    chosen = []
    for _ in range(leading.shape[1]):
        leverage = (leading**2).sum(dim=1)
        best = int(leverage.argmax())
        chosen.append(best)
        direction = leading[best] / leverage[best].sqrt()
        leading = leading - torch.outer(leading @ direction, direction)
    return torch.tensor(chosen, dtype=torch.int64, device=leading.device)
