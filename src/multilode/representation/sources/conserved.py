"""Strengths whose sum over a part of a structure is known: charges of ions and molecules."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.representation.sources.abstract import AbstractSources
from multilode.representation.sources.described import DescribedSources
from multilode.structures.batch import Structures

_ROUNDING = 1e-6  # of totals, which are written with some digits
_SMALLEST_SHARE = 1e-3  # of a mixture, below which totals do not set its size


@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ConservedSources(AbstractSources):
    """w_jq = f_jq + (s_q Q_P - sum_{k in P} f_kq) / n_P in the part P of the atom j.

    Each of the n_P atoms of a part takes the same share of what free strengths f lack of s_q times
    the total Q_P, so that a part without a total responds to others by a dipole, never by a charge.

    Source: theory#sources.

    Args:
        free: f.
        shares: s.
        totals: name of the numbers Q, the same for all atoms of a part.
        parts: labels of the atoms, equal in a part; None if parts are whole structures.
        means: of the strengths of each species over a training set; None if it was not looked at.
        spreads: their standard deviations.

    Raises:
        ValueError: if there is not one share for each channel.
    """

    free: DescribedSources
    shares: Float[Tensor, " channel"]
    totals: str
    parts: str | None = None
    means: Float[Tensor, "species channel"] | None = None
    spreads: Float[Tensor, "species channel"] | None = None

    def __post_init__(self) -> None:
        if self.shares.shape != (self.free.n_channels,):
            raise ValueError(
                f"{len(self.shares)} shares of {self.free.n_channels} channels; give one for each"
            )

    @staticmethod
    def of(free: DescribedSources, totals: str, parts: str | None) -> "ConservedSources":
        """Free channels without totals, and one more that is nothing but an equal share of them."""
        shares = torch.zeros(free.n_channels + 1, dtype=torch.float64)
        shares[-1] = 1
        return ConservedSources(
            free=free.with_zero_channel(), shares=shares, totals=totals, parts=parts
        )

    def __repr__(self) -> str:
        where = "structure" if self.parts is None else f"'{self.parts}'"
        return f"ConservedSources({self.free!r}, totals '{self.totals}' of each {where})"

    @property
    def n_channels(self) -> int:
        """Those of the free strengths."""
        return self.free.n_channels

    @property
    def arrays(self) -> tuple[str, ...]:
        """Totals, labels, and those of the free strengths."""
        labels = () if self.parts is None else (self.parts,)
        return tuple(dict.fromkeys((self.totals, *labels, *self.free.arrays)))

    @property
    def species(self) -> tuple[int, ...]:
        """Those of the free strengths."""
        return self.free.species

    @property
    def constants(self) -> Float[Tensor, " channel"]:
        """1 for channels that do not depend on surroundings within a part, 0 for the others."""
        return self.free.constants

    def check(self, structures: Structures) -> None:
        """Look at the totals and parts of structures.

        Raises:
            ValueError: if an array is missing, or atoms of a part have different totals.
        """
        owner, count = self._parts_of(structures)
        self._totals_of(structures, owner, len(count))

    def strengths(self, structures: Structures) -> Float[Tensor, "atom channel"]:
        """Strengths, differentiable in positions and cells.

        Raises:
            ValueError: if an array is missing, atoms of a part have different totals, or a species
                was not trained.
        """
        free = self.free.strengths(structures)
        owner, count = self._parts_of(structures)
        totals = self._totals_of(structures, owner, len(count)).to(free)
        lacking = self.shares.to(free) * totals[:, None]
        lacking = lacking.index_add(0, owner, free, alpha=-1) / count.to(free)[:, None]
        return free + lacking[owner]

    def summarised(self, structures: Structures) -> "ConservedSources":
        """The same with means and spreads over structures."""
        found, means, spreads = self.strengths(structures), [], []
        for number in self.species:
            own = found[structures.species == number]
            own = own if len(own) else found.new_zeros(1, self.n_channels)
            means.append(own.mean(dim=0))
            spreads.append(own.std(dim=0, correction=0))
        return replace(self, means=torch.stack(means), spreads=torch.stack(spreads))

    def mixed(self, matrix: Float[Tensor, "channel new"]) -> "ConservedSources":
        """Channels that are linear combinations of these."""
        return ConservedSources(
            free=self.free.mixed(matrix),
            shares=self.shares @ matrix.to(self.shares),
            totals=self.totals,
            parts=self.parts,
        )

    def sizes(self, matrix: Float[Tensor, "channel new"]) -> Float[Tensor, " new"]:
        """What mixtures are divided by: their share of the totals, so that these are met."""
        shares, sizes = self.shares @ matrix.to(self.shares), self.free.sizes(matrix)
        return torch.where(shares.abs() > _SMALLEST_SHARE * sizes, shares, sizes)

    def _parts_of(
        self, structures: Structures
    ) -> tuple[Int[Tensor, " atom"], Int[Tensor, " part"]]:
        """Part of each atom, and numbers of atoms of the parts."""
        index = structures.structure_index
        if self.parts is None:
            return index, structures.counts
        labels = structures.array(self.parts).reshape(len(index)).to(torch.int64)
        pairs = torch.stack([index, labels], dim=1)
        _, owner, count = pairs.unique(dim=0, return_inverse=True, return_counts=True)
        return owner, count

    def _totals_of(
        self, structures: Structures, owner: Int[Tensor, " atom"], n_parts: int
    ) -> Float[Tensor, " part"]:
        given = structures.array(self.totals).reshape(len(owner)).double()
        totals = given.new_zeros(n_parts).index_put((owner,), given)
        wrong = (totals[owner] - given).abs() > _ROUNDING
        if bool(wrong.any()):
            atom = int(wrong.nonzero()[0, 0])
            number = int(structures.structure_index[atom])
            where = "the structure" if self.parts is None else f"its '{self.parts}'"
            raise ValueError(
                f"structure {number}: '{self.totals}' is {float(given[atom]):g} for an atom of "
                f"element {int(structures.species[atom])} and "
                f"{float(totals[owner[atom]]):g} for another of {where}; it is the total strength "
                "and the same for all of them"
            )
        return totals
