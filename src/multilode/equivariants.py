"""Equivariant data: blocks that say how they rotate and what their columns are."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, final

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from multilode.features import FeatureLabels


class Irrep(NamedTuple):
    """Irreducible representation of O(3): the parity is relative to that of Y_degree."""

    degree: int
    parity: int = 1


def irrep_name(irrep: Irrep) -> str:
    """As it is printed: `l = 2`, or `l = 1, pseudo` for the other parity."""
    return f"l = {irrep.degree}" + (", pseudo" if irrep.parity < 0 else "")


@final
@dataclass(frozen=True)
class Equivariants:
    """Components around each center, one block [center, m, property] per irrep.

    Args:
        blocks: values; the components m run from -degree to degree.
        labels: what each property of a block is.
        centers: atom at each center.
    """

    blocks: Mapping[Irrep, Float[Tensor, "center _ _"]]
    labels: Mapping[Irrep, FeatureLabels]
    centers: Int[Tensor, " center"]

    def __post_init__(self) -> None:
        for irrep, block in self.blocks.items():
            expected = (len(self.centers), 2 * irrep.degree + 1, len(self.labels[irrep]))
            if tuple(block.shape) != expected:
                raise ValueError(f"block {irrep} has shape {tuple(block.shape)}, not {expected}")


@lru_cache(maxsize=64)
def expansion_labels(species: tuple[int, ...], n_radial: int) -> FeatureLabels:
    """Labels (species, n) of expansion coefficients, species major."""
    grid = np.array([(a, n) for a in species for n in range(n_radial)], dtype=np.int64)
    return FeatureLabels(("species", "n"), grid.reshape(-1, 2))
