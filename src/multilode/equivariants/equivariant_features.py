"""Equivariant features of centers, and their components as rows."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.features import Features
from multilode.symmetry.irrep import Irrep


@final
@dataclass(frozen=True, kw_only=True)
class EquivariantFeatures:
    """Equivariants of the chosen centers, one set of blocks per correlation.

    Args:
        terms: in the order of `Representation.correlations`.
        structure_index: structure of each center.
        center_species: atomic number of each center.
        n_structures: number of structures in the batch, those without centers included.
    """

    terms: tuple[Equivariants, ...]
    structure_index: Int[Tensor, " center"]
    center_species: Int[Tensor, " center"]
    n_structures: int

    def of(self, irrep: Irrep, *, invariants: bool) -> Features:
        """One irrep as plain features: a row for each component m of each center.

        The components of a structure count as structures of their own, structure major: sums over
        centers are then the components of sums, and a model with the same weights for all rows is
        equivariant. Terms that lack the irrep are left out.

        Args:
            irrep: the irrep.
            invariants: whether each row brings along the invariants of its center.

        Raises:
            ValueError: if no term has the irrep, or a term has none of the invariants asked for.
        """
        chosen = [term for term in self.terms if irrep in term.blocks]
        if not chosen:
            raise ValueError(f"no correlation has features of {irrep}; add one that has")
        n = 2 * irrep.degree + 1
        component = torch.arange(n, device=self.structure_index.device)
        rows = self.structure_index[:, None] * n + component
        beside = None
        if invariants:
            beside = tuple(_invariants(term).repeat_interleave(n, dim=0) for term in chosen)
        return Features(
            terms=tuple(term.blocks[irrep].flatten(end_dim=1) for term in chosen),
            labels=tuple(term.labels[irrep] for term in chosen),
            structure_index=rows.flatten(),
            atom_index=chosen[0].centers.repeat_interleave(n),
            center_species=self.center_species.repeat_interleave(n),
            n_structures=self.n_structures * n,
            components=n,
            invariants=beside,
        )

    def per_center(self) -> "EquivariantFeatures":
        """The same features, each center a structure of its own."""
        n = len(self.structure_index)
        index = torch.arange(n, device=self.structure_index.device)
        return replace(self, structure_index=index, n_structures=n)


def _invariants(term: Equivariants) -> Tensor:
    if Irrep(0) not in term.blocks:
        raise ValueError(
            "a kernel with zeta > 1 multiplies equivariants with invariants, which this "
            "representation does not compute; add Irrep(0) to its irreps"
        )
    return term.blocks[Irrep(0)][:, 0]
