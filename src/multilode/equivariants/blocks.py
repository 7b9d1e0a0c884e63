"""Equivariant data: blocks with their irrep and the labels of their columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.labels import FeatureLabels
from multilode.symmetry.irrep import Irrep, irrep_name


@final
@dataclass(frozen=True, repr=False, eq=False)
class Equivariants:
    """Components around each center, one block [center, m, property] per irrep.

    Args:
        blocks: values; the components m run from -degree to degree.
        labels: names of the properties of a block.
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

    def __len__(self) -> int:
        return len(self.centers)

    def __getitem__(self, irrep: Irrep) -> Float[Tensor, "center m property"]:
        """The block of one irrep."""
        return self.blocks[irrep]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{irrep_name(i)}: {b.shape[2]}" for i, b in self.blocks.items())
        kind = described(*self.blocks.values())
        return f"Equivariants({len(self)} centers, properties {sizes}, {kind})"


def described(*tensors: Tensor) -> str:
    """Type and device of some tensors that have them in common, for a `repr`."""
    if not tensors:
        return "empty"
    return f"{str(tensors[0].dtype).removeprefix('torch.')} on {tensors[0].device}"
