"""Fields of structures for models that multiply them themselves, such as networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.data.inputs import Data, as_structures
from multilode.equivariants.blocks import Equivariants
from multilode.expansion import FieldExpansion, expand
from multilode.representation.abstract import AbstractRepresentation, require_species
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class FieldSet(AbstractRepresentation):
    """Named fields with their bases; every atom is a center.

    Args:
        fields: by name.
        species: atomic numbers that may occur, ascending; they come from the training set.
        method: of expansions without a cutoff.
        tolerance: relative accuracy of coefficients; None as in `expand`.
    """

    fields: Mapping[str, FieldExpansion]
    species: tuple[int, ...]
    method: str = "auto"
    tolerance: float | None = None

    def __repr__(self) -> str:
        names = ", ".join(f"{name}: {part.field}" for name, part in self.fields.items())
        return f"FieldSet({names}, species {list(self.species)})"

    @staticmethod
    def of(representation: Representation) -> "FieldSet":
        """The fields of a representation without their products.

        Raises:
            ValueError: if not all of its species are centers, or it has sources or fragments.
        """
        if not representation.has_fixed_species:
            raise ValueError(
                "a network makes the sources of its fields itself, and does not subtract "
                "fragments; leave sources and fragments out, or use another estimator"
            )
        if representation.centers != representation.species:
            raise ValueError(
                f"the centers are {list(representation.centers)}; a model that multiplies fields "
                "itself has all species as centers: leave centers out"
            )
        return FieldSet(
            fields=representation.fields,
            species=representation.species,
            method=representation.method,
            tolerance=representation.tolerance,
        )

    @property
    def products(self) -> tuple[tuple[str, ...], ...]:
        """Each field by itself."""
        return tuple((name,) for name in self.fields)

    @property
    def centers(self) -> tuple[int, ...]:
        """All species."""
        return self.species

    def compute(self, structures: Data) -> "Fields":
        """The fields of a batch, whose coefficients are computed when they are asked for."""
        return Fields(recipe=self, structures=as_structures(structures))

    def centers_of(self, structures: Structures) -> Int[Tensor, " center"]:
        """All atoms."""
        return torch.arange(structures.n_atoms, device=structures.positions.device)


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class Fields:
    """The fields of a batch of structures, made by sources of any strength.

    Args:
        recipe: the fields.
        structures: whose atoms are sources and centers.

    Raises:
        StructureError: for a species that the recipe does not know.
    """

    recipe: FieldSet
    structures: Structures

    def __post_init__(self) -> None:
        require_species(self.structures, self.recipe.species)

    @property
    def kinds(self) -> Int[Tensor, " atom"]:
        """Place of the species of each atom among those of the recipe."""
        known = torch.tensor(self.recipe.species, device=self.structures.species.device)
        return torch.searchsorted(known, self.structures.species)

    @property
    def structure_index(self) -> Int[Tensor, " atom"]:
        """Structure of each atom."""
        return self.structures.structure_index

    def per_center(self) -> "Fields":
        """The same: a model of atoms does not add them up."""
        return self

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return self.structures.n_structures

    def coefficients(
        self, name: str, strengths: Float[Tensor, "atom channel"]
    ) -> Float[Tensor, "center lm channel n"]:
        """Coefficients of a field whose sources have these strengths."""
        expansion = self.recipe.fields[name]
        found = expand(
            expansion,
            self.structures,
            strengths=strengths,
            method="auto" if expansion.neighbor_cutoff is not None else self.recipe.method,
            tolerance=self.recipe.tolerance,
        )
        return _side_by_side(found, strengths.shape[1])


def _side_by_side(found: Equivariants, channels: int) -> Float[Tensor, "center lm channel n"]:
    blocks = (block.unflatten(2, (channels, -1)) for block in found.blocks.values())
    return torch.cat(list(blocks), dim=1)
