"""Channels: a few mixtures of (species, n) of a field, made before fields are multiplied."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import channel_labels


@final
@dataclass(frozen=True, eq=False, repr=False)
class FieldChannels:
    """Coefficients c_lm,q = sum_an c_lm,an U_l,an,q of channels q.

    Source: theory#channels.

    Args:
        matrices: U of l = 0, 1, ..., with rows (species, n), species major.
        shares: part of the variance over a training set that remains of what each species adds;
            none if they were given.

    Raises:
        ValueError: if the matrices are empty or differ in shape.
    """

    matrices: tuple[Float[Tensor, "mixed channel"], ...]
    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        shapes = {tuple(matrix.shape) for matrix in self.matrices}
        if len(shapes) != 1 or 0 in next(iter(shapes)) or len(next(iter(shapes))) != 2:
            raise ValueError(
                "channels need one matrix [species and n, channel] of the same shape for each l, "
                f"got shapes {sorted(shapes)}"
            )

    def __repr__(self) -> str:
        known = "".join(f", {share:.4f}" for share in self.shares)
        return f"FieldChannels({self.number} of {self.n_mixed}{known})"

    @property
    def number(self) -> int:
        """Number of channels."""
        return self.matrices[0].shape[1]

    @property
    def n_mixed(self) -> int:
        """Number of (species, n)."""
        return self.matrices[0].shape[0]

    def mixed(self, values: Float[Tensor, "atom lm *_ mixed"]) -> Float[Tensor, "atom lm *_ q"]:
        """Coefficients in the channels."""
        return torch.cat([values[:, some] @ u for some, u in self._of_each_l(values)], dim=1)

    def unmixed(self, slopes: Float[Tensor, "atom lm *_ q"]) -> Float[Tensor, "atom lm *_ mixed"]:
        """Slopes in the coefficients, from those in the channels."""
        return torch.cat([slopes[:, some] @ u.mT for some, u in self._of_each_l(slopes)], dim=1)

    def mix(self, field: Equivariants) -> Equivariants:
        """The field in its channels.

        Raises:
            ValueError: if the matrices are those of another field.
        """
        sizes = {block.shape[2] for block in field.blocks.values()}
        if len(self.matrices) != len(field.blocks) or sizes != {self.n_mixed}:
            raise ValueError(
                f"channels mix {self.n_mixed} coefficients of {len(self.matrices)} l, the field "
                f"has {sorted(sizes)} of {len(field.blocks)}; fit them to the same species and "
                "basis"
            )
        blocks = {
            irrep: block @ self.matrices[irrep.degree].to(block)
            for irrep, block in field.blocks.items()
        }
        labels = dict.fromkeys(blocks, channel_labels(self.number, 1))
        return Equivariants(blocks, labels, field.centers)

    def _of_each_l(self, like: Tensor) -> list[tuple[slice, Tensor]]:
        return [(slice(l * l, (l + 1) ** 2), u.to(like)) for l, u in enumerate(self.matrices)]
