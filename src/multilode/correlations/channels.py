"""Channels: a few mixtures of (species, n) of a field, made before fields are multiplied."""

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import expansion_labels
from multilode.symmetry.irrep import Irrep

_MIXED = (0,)  # stands for a species in labels of mixtures


@final
@dataclass(frozen=True, eq=False, repr=False)
class FieldChannels:
    """Coefficients c_qlm = sum_an c_anlm u_anq of channels q, with one matrix u for each l.

    Args:
        matrices: of l = 0, 1, ..., with rows (species, n), species major.
        kept: part of the variance over a training set that the channels have; 1 if they were given.
    """

    matrices: tuple[Float[Tensor, "_ channel"], ...]
    kept: float = 1.0

    def __post_init__(self) -> None:
        shapes = {tuple(matrix.shape) for matrix in self.matrices}
        if len(shapes) != 1 or 0 in next(iter(shapes)):
            raise ValueError(
                f"channels need one matrix [species and n, channel] of the same shape for each l, "
                f"got shapes {sorted(shapes)}"
            )

    def __repr__(self) -> str:
        rows, number = self.matrices[0].shape
        return f"FieldChannels({number} of {rows}, {self.kept:.2%} of the variance)"

    @property
    def number(self) -> int:
        """Number of channels."""
        return self.matrices[0].shape[1]

    def mix(self, field: Equivariants) -> Equivariants:
        """The field in its channels, which are numbered by n and whose species is 0.

        Raises:
            ValueError: if the matrices are those of another field.
        """
        rows, size = len(self.matrices[0]), field.blocks[Irrep(0)].shape[2]
        if len(self.matrices) != len(field.blocks) or rows != size:
            raise ValueError(
                f"channels mix {rows} coefficients of {len(self.matrices)} l, the field has {size} "
                f"of {len(field.blocks)}; fit them to the same species and basis"
            )
        labels = expansion_labels(_MIXED, self.number)
        blocks = {
            irrep: block @ self.matrices[irrep.degree].to(block)
            for irrep, block in field.blocks.items()
        }
        return Equivariants(blocks, dict.fromkeys(blocks, labels), field.centers)
