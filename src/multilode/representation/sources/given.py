"""Strengths that the data give: charges of another code, formal charges, spins."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.representation.sources.abstract import AbstractSources
from multilode.structures.batch import Structures


@final
@dataclass(frozen=True, kw_only=True)
class GivenSources(AbstractSources):
    """w_jq, the number of atom j under the q-th key. Forces do not contain its changes.

    Source: theory#sources.

    Args:
        keys: names of numbers of atoms, one channel each.

    Raises:
        ValueError: if there is no key, or one stands twice.
    """

    keys: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.keys or len(set(self.keys)) < len(self.keys):
            raise ValueError(f"keys are {list(self.keys)}; name one number of atoms or more, once")

    @property
    def n_channels(self) -> int:
        """One for each key."""
        return len(self.keys)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The keys."""
        return self.keys

    def strengths(self, structures: Structures) -> Float[Tensor, "atom channel"]:
        """The numbers.

        Raises:
            ValueError: if an array is missing, or has several numbers for each atom.
        """
        columns = []
        for key in self.keys:
            values = structures.array(key)
            if values.dim() > 1 and values.shape[1:].numel() != 1:
                raise ValueError(
                    f"'{key}' has {values.shape[1:].numel()} numbers for each atom; the strength "
                    "of a source is one number"
                )
            columns.append(values.reshape(structures.n_atoms).to(structures.positions.dtype))
        return torch.stack(columns, dim=1)
