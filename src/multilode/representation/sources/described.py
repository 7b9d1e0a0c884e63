"""Strengths that follow from the surroundings of the source."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.representation.abstract import AbstractRepresentation
from multilode.representation.sources.abstract import AbstractSources
from multilode.structures.batch import Structures


@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DescribedSources(AbstractSources):
    """w_jq = b_aq + x_j . u_aq for an atom j of species a with the invariants x_j.

    Where a field of all atoms is among what describes a source, its strength responds to it.

    Source: theory#sources.

    Args:
        descriptor: of the invariants x, all species being centers.
        offsets: b.
        weights: u.
        means: of the strengths of each species over a training set.
        spreads: their standard deviations.

    Raises:
        ValueError: if the sizes disagree, or not all species are centers.
    """

    descriptor: AbstractRepresentation
    offsets: Float[Tensor, "species channel"]
    weights: Float[Tensor, "species feature channel"]
    means: Float[Tensor, "species channel"]
    spreads: Float[Tensor, "species channel"]

    def __post_init__(self) -> None:
        n_species, n_channels = self.offsets.shape
        if self.weights.shape[::2] != (n_species, n_channels):
            raise ValueError(
                f"weights of shape {list(self.weights.shape)} beside offsets of shape "
                f"{list(self.offsets.shape)}; both begin with species and end with channels"
            )
        if n_species != len(self.descriptor.species):
            raise ValueError(
                f"strengths of {n_species} species, {len(self.descriptor.species)} are described"
            )

    def __repr__(self) -> str:
        products = " + ".join(" x ".join(names) for names in self.descriptor.products)
        return f"DescribedSources({self.n_channels} channels of {products})"

    @property
    def n_channels(self) -> int:
        """Columns of the weights."""
        return self.offsets.shape[1]

    @property
    def arrays(self) -> tuple[str, ...]:
        """Those of the descriptor."""
        return self.descriptor.arrays

    def strengths(self, structures: Structures) -> Float[Tensor, "atom channel"]:
        """Strengths, differentiable in positions and cells.

        Raises:
            ValueError: for a species that was not trained.
        """
        values, kinds = invariants_of(self.descriptor, structures)
        offsets, weights = self.offsets.to(values), self.weights.to(values)
        found = values.new_zeros(len(kinds), self.n_channels)
        for kind, (offset, weight) in enumerate(zip(offsets, weights, strict=True)):
            own = (kinds == kind).nonzero()[:, 0]
            found = found.index_add(0, own, offset + values[own] @ weight)
        return found

    @property
    def species(self) -> tuple[int, ...]:
        """Those of the descriptor."""
        return self.descriptor.species

    @property
    def constants(self) -> Float[Tensor, " channel"]:
        """1 for channels that are constants of species, 0 for those of their surroundings."""
        return (self.weights.abs().sum(dim=(0, 1)) == 0).double()

    def with_zero_channel(self) -> "DescribedSources":
        """With one more channel, whose strengths are zero."""

        def widened(x: Tensor) -> Tensor:
            return torch.cat([x, torch.zeros_like(x[..., :1])], dim=-1)

        return DescribedSources(
            descriptor=self.descriptor,
            offsets=widened(self.offsets),
            weights=widened(self.weights),
            means=widened(self.means),
            spreads=widened(self.spreads),
        )

    def sizes(self, matrix: Float[Tensor, "channel new"]) -> Float[Tensor, " new"]:
        """What mixtures are divided by, so that each has a mean square of one."""
        return matrix.square().mean(dim=0).sqrt().clamp(min=1e-300)

    def mixed(self, matrix: Float[Tensor, "channel new"]) -> "DescribedSources":
        """Channels that are linear combinations of these, which are not correlated."""
        matrix = matrix.to(self.offsets)
        return DescribedSources(
            descriptor=self.descriptor,
            offsets=self.offsets @ matrix,
            weights=self.weights @ matrix,
            means=self.means @ matrix,
            spreads=(self.spreads.square() @ matrix.square()).sqrt(),
        )


def invariants_of(
    descriptor: AbstractRepresentation, structures: Structures
) -> tuple[Float[Tensor, "atom feature"], Int[Tensor, " atom"]]:
    """Invariants of all terms side by side, and the place of the species of each atom.

    Raises:
        ValueError: for a species that the descriptor does not know.
    """
    features = descriptor.compute(structures)
    values = torch.cat([term.flatten(start_dim=1) for term in features.invariants], dim=1)
    known = torch.tensor(descriptor.species, device=structures.species.device)
    return values, torch.searchsorted(known, structures.species)
