"""Contraction of features after every product, fitted to a training set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.correlations.selection import (
    TrainingRows,
    cur,
    farthest_points,
    principal_components,
)
from multilode.symmetry.irrep import Irrep

SELECTIONS = ("pca", "fps", "cur")


@final
@dataclass(frozen=True, kw_only=True)
class ContractionSettings:
    """Number of features to keep per irrep, and the way to choose them.

    Args:
        selection: "pca" keeps orthonormal combinations (their scalar products are the best
            approximation of those of all features); "fps" keeps features that are far from each
            other, "cur" those that best span the others.
        max_features: largest number per irrep.
        variance: with "pca", stop at this fraction of the variance.

    Raises:
        ValueError: if a setting is out of range.
    """

    selection: str = "pca"
    max_features: int = 100
    variance: float = 1.0

    def __post_init__(self) -> None:
        if self.selection not in SELECTIONS:
            raise ValueError(
                f"selection is '{self.selection}'; allowed are {', '.join(map(repr, SELECTIONS))}"
            )
        if self.max_features < 1:
            raise ValueError(f"max_features is {self.max_features}; it must be at least 1")
        if not 0 < self.variance <= 1:
            raise ValueError(f"variance is {self.variance}; it must lie in (0, 1]")
        if self.variance < 1 and self.selection != "pca":
            raise ValueError(
                f"variance is {self.variance} with selection '{self.selection}'; a threshold is "
                "for 'pca', give max_features instead"
            )


@final
@dataclass(frozen=True)
class Kept:
    """Summary of the contraction of one block.

    Args:
        n_before: number of features before the contraction.
        n_after: number after it.
        fraction: part of the variance over the training set that is linearly reconstructed.
    """

    n_before: int
    n_after: int
    fraction: float


@final
@dataclass(frozen=True)
class Contraction:
    """Fitted projections of each step, one matrix [product, component] per irrep.

    Args:
        projections: those after the second factor, after the third, ...
        report: kept features, in the same form.
    """

    projections: tuple[Mapping[Irrep, Float[Tensor, "_ _"]], ...]
    report: tuple[Mapping[Irrep, Kept], ...]


def fit_projection(
    training: TrainingRows, settings: ContractionSettings
) -> tuple[Float[Tensor, "product component"], Kept]:
    """Projection of one block, with its summary."""
    size = training.rows.shape[1]
    if settings.selection == "pca":
        matrix = principal_components(training, settings.max_features, settings.variance)
    else:
        choose = farthest_points if settings.selection == "fps" else cur
        chosen = choose(training, settings.max_features)
        unit = torch.eye(size, dtype=training.rows.dtype, device=training.rows.device)
        matrix = unit[:, chosen]
    return matrix, Kept(size, matrix.shape[1], training.explained(matrix))
