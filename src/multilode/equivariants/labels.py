"""Labels of the columns of a matrix of features."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
from jaxtyping import Int


@final
@dataclass(frozen=True, eq=False, repr=False)
class FeatureLabels:
    """Labels of the columns of a feature matrix.

    Args:
        names: the kinds of labels, such as `species_1`, `n_1`, `l`.
        values: integers, one row per feature and one column per name.
    """

    names: tuple[str, ...]
    values: Int[np.ndarray, "feature name"]

    def __post_init__(self) -> None:
        if self.values.shape[1] != len(self.names):
            raise ValueError(f"{len(self.names)} names for {self.values.shape[1]} label columns")

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> Int[np.ndarray, " feature"]:
        """One kind of label of all features."""
        return self.values[:, self.names.index(name)]

    def __repr__(self) -> str:
        return f"FeatureLabels({len(self)} features, {', '.join(self.names)})"


@lru_cache(maxsize=64)
def expansion_labels(species: tuple[int, ...], n_radial: int) -> FeatureLabels:
    """Labels (species, n) of expansion coefficients, species major."""
    return _grid("species", species, n_radial)


@lru_cache(maxsize=64)
def channel_labels(n_channels: int, n_radial: int) -> FeatureLabels:
    """Labels (channel, n) of expansion coefficients of sources with strengths, channel major."""
    return _grid("channel", range(n_channels), n_radial)


def _grid(name: str, channels: Iterable[int], n_radial: int) -> FeatureLabels:
    grid = np.array([(a, n) for a in channels for n in range(n_radial)], dtype=np.int64)
    return FeatureLabels((name, "n"), grid.reshape(-1, 2))
