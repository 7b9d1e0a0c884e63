"""Features of centers, one matrix per correlation term."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.labels import FeatureLabels


@final
@dataclass(frozen=True, kw_only=True)
class Features:
    """Invariant features of the chosen centers, one matrix per correlation term.

    Args:
        terms: values, one matrix per term of `Representation.correlations`, in that order.
        labels: one set of labels per term.
        structure_index: structure of each center.
        atom_index: atom of each center, counted through the batch.
        center_species: atomic number of each center.
        n_structures: number of structures in the batch, those without centers included.
        components: consecutive rows that are the components m of one equivariant; 1 for invariants.
        invariants: of the center of each row, one matrix per term, for kernels of equivariants that
            multiply them with a kernel of invariants.
    """

    terms: tuple[Float[Tensor, "center _"], ...]
    labels: tuple[FeatureLabels, ...]
    structure_index: Int[Tensor, " center"]
    atom_index: Int[Tensor, " center"]
    center_species: Int[Tensor, " center"]
    n_structures: int
    components: int = 1
    invariants: tuple[Float[Tensor, "center _"], ...] | None = None

    def __post_init__(self) -> None:
        sizes = [(t.shape[1], len(l)) for t, l in zip(self.terms, self.labels, strict=True)]
        wrong = [(k, *size) for k, size in enumerate(sizes) if size[0] != size[1]]
        if wrong:
            raise ValueError("term {} has {} features but {} labels".format(*wrong[0]))

    def to(self, device: torch.device | str) -> "Features":
        """The same features on another device, still differentiable."""
        return replace(
            self,
            terms=tuple(term.to(device) for term in self.terms),
            structure_index=self.structure_index.to(device),
            atom_index=self.atom_index.to(device),
            center_species=self.center_species.to(device),
            invariants=self.invariants and tuple(x.to(device) for x in self.invariants),
        )

    def per_center(self) -> "Features":
        """The same features, each center a structure of its own."""
        n = len(self.structure_index)
        index = torch.arange(n, device=self.structure_index.device)
        return replace(self, structure_index=index, n_structures=n)

    def joined(self) -> Float[Tensor, "center feature"]:
        """All terms side by side in one matrix."""
        return torch.cat(self.terms, dim=1)
