"""Features of centers: equivariants per correlation term, and the rows that a regression sees."""

from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.blocks import Equivariants, described
from multilode.symmetry.irrep import INVARIANT, Irrep, irrep_name

Per = Literal["structure", "atom"]


@final
@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class FeatureRows:
    """Features of one irrep, and the row of a regression that each of them belongs to.

    A row is a structure, a component m of a structure, or the same of a center: whatever has a
    target of its own. Features of a row add up over the centers of the row.

    Args:
        terms: values, one matrix per correlation term that has the irrep. Their points are centers,
            or components m of centers, center major.
        row_index: row of each point.
        center_species: atomic number of the center of each point.
        n_rows: number of rows, those without points included.
        components: consecutive points, and consecutive rows, that are the components m of one
            equivariant; 1 for invariants.
        invariants: of the center of each point, one matrix per term, for kernels of equivariants
            that multiply them with a kernel of invariants.
    """

    terms: tuple[Float[Tensor, "point _"], ...]
    row_index: Int[Tensor, " point"]
    center_species: Int[Tensor, " point"]
    n_rows: int
    components: int = 1
    invariants: tuple[Float[Tensor, "point _"], ...] | None = None

    def __len__(self) -> int:
        return self.n_rows

    def __repr__(self) -> str:
        widths = ", ".join(str(term.shape[1]) for term in self.terms)
        return (
            f"FeatureRows({self.n_rows} rows, {len(self.row_index)} points, terms of {widths} "
            f"features, {described(*self.terms)})"
        )

    def to(self, device: torch.device | str) -> "FeatureRows":
        """The same features on another device, still differentiable."""
        return replace(
            self,
            terms=tuple(term.to(device) for term in self.terms),
            row_index=self.row_index.to(device),
            center_species=self.center_species.to(device),
            invariants=self.invariants and tuple(x.to(device) for x in self.invariants),
        )


@final
@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Features:
    """Features of the chosen centers, one set of equivariant blocks per correlation term.

    Invariants are the irrep of degree 0 and parity 1: `features.invariants`, `features[Irrep(0)]`.

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

    def __len__(self) -> int:
        return len(self.structure_index)

    def __getitem__(self, irrep: Irrep) -> tuple[Float[Tensor, "center m _"], ...]:
        """Blocks of one irrep, of those terms that have it."""
        found = tuple(term.blocks[irrep] for term in self.terms if irrep in term.blocks)
        if not found:
            raise ValueError(f"no product has features of {irrep}; add one that has")
        return found

    def __repr__(self) -> str:
        lines = [f"Features({len(self)} centers in {self.n_structures} structures"]
        for number, term in enumerate(self.terms):
            sizes = (f"{irrep_name(i)}: {b.shape[2]}" for i, b in term.blocks.items())
            lines.append(f"  term {number}: {', '.join(sizes)} features")
        blocks = (block for term in self.terms for block in term.blocks.values())
        return "\n".join([*lines, f"  {described(*blocks)})"])

    @property
    def centers(self) -> Int[Tensor, " center"]:
        """Atom at each center, counted through the batch."""
        return self.terms[0].centers

    @property
    def invariants(self) -> tuple[Float[Tensor, "center _"], ...]:
        """Invariants of each term, as matrices.

        Raises:
            ValueError: if no term has any.
        """
        return tuple(block[:, 0] for block in self[Irrep(0)])

    def joined(self) -> Float[Tensor, "center feature"]:
        """Invariants of all terms side by side in one matrix."""
        return torch.cat(self.invariants, dim=1)

    def per_center(self) -> "Features":
        """The same features, each center in a structure of its own."""
        n = len(self.structure_index)
        index = torch.arange(n, device=self.structure_index.device)
        return replace(self, structure_index=index, n_structures=n)

    def rows(
        self, irrep: Irrep = INVARIANT, *, per: Per = "structure", invariants: bool = False
    ) -> FeatureRows:
        """The rows of one irrep: each component m of each structure, or of each center.

        The rows of a structure follow each other, m ascending. Sums over centers are then the
        components of sums, and a model with the same weights for all rows is equivariant. Terms
        that lack the irrep are left out.

        Args:
            irrep: the irrep.
            per: whether rows are those of structures or of centers ("atom").
            invariants: whether each point brings along the invariants of its center.

        Raises:
            ValueError: if no term has the irrep, or a term has none of the invariants asked for.
        """
        if per == "atom":
            return self.per_center().rows(irrep, invariants=invariants)
        blocks, beside, n = self[irrep], None, 2 * irrep.degree + 1
        if invariants:
            chosen = [term for term in self.terms if irrep in term.blocks]
            beside = tuple(_invariants(term).repeat_interleave(n, dim=0) for term in chosen)
        index, species = self.structure_index, self.center_species
        if n > 1:
            component = torch.arange(n, device=index.device)
            index = (index[:, None] * n + component).flatten()
            species = species.repeat_interleave(n)
        return FeatureRows(
            terms=tuple(block.flatten(end_dim=1) for block in blocks),
            row_index=index,
            center_species=species,
            n_rows=self.n_structures * n,
            components=n,
            invariants=beside,
        )


def _invariants(term: Equivariants) -> Tensor:
    if INVARIANT not in term.blocks:
        raise ValueError(
            "a kernel that multiplies equivariants with invariants needs them, and this "
            "representation does not compute them; add Irrep(0) to its irreps"
        )
    return term.blocks[Irrep(0)][:, 0]
