"""Directions or features to keep, from the second moments of all features."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_NOISE = 1e-12  # of the largest eigenvalue or diagonal element: rounding errors


def principal_components(
    covariance: Float[Tensor, "feature feature"],
    mean: Float[Tensor, " feature"],
    largest: int,
    variance: float,
) -> Float[Tensor, "feature component"]:
    """Orthonormal directions of largest variance; that of the mean comes first, if there is one.

    The directions vary about the mean, but features are projected as they are: a product must stay
    a product, of definite degree in its fields. A mean that is far larger than what varies about it
    would otherwise be all that a threshold of the variance keeps.

    Args:
        covariance: about the mean.
        mean: zero for blocks whose mean vanishes by symmetry.
        largest: largest number of directions.
        variance: stop at this fraction of the variance.
    """
    directions, total = [], covariance.trace()
    length = torch.linalg.vector_norm(mean)
    if float(length) > 0:
        unit = mean / length
        directions.append(unit[:, None])
        across = torch.eye(len(unit), dtype=unit.dtype, device=unit.device)
        across = across - torch.outer(unit, unit)
        covariance = across @ covariance @ across  # along the mean everything is kept
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    known = total - values.sum() + values.cumsum(0) - values  # before each direction
    wanted = (known < variance * total) & (values > _NOISE * total)
    room = max(0, largest - len(directions))
    directions.append(vectors[:, : min(int(wanted.sum()), room)])
    return torch.cat(directions, dim=1)


def farthest_points(second: Float[Tensor, "feature feature"], count: int) -> Int[Tensor, " chosen"]:
    """Features that are farthest from those chosen before, the first one being the largest.

    Distances are those of the columns of the feature matrix. Features that equal a chosen one are
    never chosen: there may be fewer than `count`.
    """
    square = second.diagonal()
    chosen = [int(square.argmax())]
    distance = torch.full_like(square, float("inf"))
    for _ in range(count - 1):
        last = chosen[-1]
        distance = torch.minimum(distance, square + square[last] - 2 * second[last])
        following = int(distance.argmax())
        if float(distance[following]) <= _NOISE * float(square.max()):
            break
        chosen.append(following)
    return torch.tensor(chosen, device=second.device)


def cur(second: Float[Tensor, "feature feature"], count: int) -> Int[Tensor, " chosen"]:
    """Features of largest leverage on the leading `count` directions, each one orthogonalised.

    There may be fewer than `count`, if the features are linearly dependent.
    """
    values, vectors = torch.linalg.eigh(second)
    important = values > _NOISE * values[-1:]
    leading = vectors[:, important][:, -count:].clone()
    chosen = []
    for _ in range(leading.shape[1]):
        leverage = (leading**2).sum(dim=1)
        best = int(leverage.argmax())
        chosen.append(best)
        direction = leading[best] / leverage[best].sqrt()
        leading = leading - torch.outer(leading @ direction, direction)
    return torch.tensor(chosen, device=second.device)
