"""Equivariant data: blocks that say how they rotate and what their columns are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.labels import FeatureLabels
from multilode.symmetry.irrep import Irrep


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
