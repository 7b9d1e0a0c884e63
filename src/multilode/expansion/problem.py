"""The problem that every expansion method solves: a field, a basis, atoms and an accuracy."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from multilode.errors import StructureError
from multilode.expansion.expansion import FieldExpansion
from multilode.fields.field import trainable
from multilode.radial.tables import RealTable, real_table
from multilode.structures.batch import Structures

_NO_SLOPE = 1e-9  # distance in p from where the finite part of a lattice sum jumps


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """A field of structures, to be expanded around centers on a basis to an accuracy.

    `Problem.checked` is the border; parts of a problem are made with `replace`, unchecked.

    Args:
        expansion: field and basis.
        structures: whose atoms make the field.
        species: atomic numbers of the channels, ascending.
        centers: atoms to expand around, ascending.
        tolerance: accuracy relative to the largest coefficient of each l.
    """

    expansion: FieldExpansion
    structures: Structures
    species: Int[Tensor, " species"]
    centers: Int[Tensor, " center"]
    tolerance: float

    @staticmethod
    def checked(
        expansion: FieldExpansion,
        structures: Structures,
        species: tuple[int, ...],
        centers: Int[Tensor, " center"] | None,
        tolerance: float,
    ) -> "Problem":
        """The problem, if it has a solution; without centers, that of all atoms.

        Raises:
            StructureError: for a species that is not listed, or an exponent to be differentiated
                that equals the number of periodic axes.
            ValueError: for species or centers that do not ascend, or centers that are no atoms.
        """
        if len(set(species)) != len(species) or list(species) != sorted(species):
            raise ValueError(f"species must ascend without repetition, got {species}")
        device = structures.positions.device
        known = torch.tensor(species, dtype=torch.int64, device=device)
        _check_species(structures, known)
        _check_slope(expansion, structures)
        if centers is None:
            centers = torch.arange(structures.n_atoms, device=device)
        else:
            _check_centers(centers, structures.n_atoms)
        return Problem(expansion, structures, known, centers, tolerance)

    @property
    def n_species(self) -> int:
        """Channels of species."""
        return len(self.species)

    @property
    def differentiated(self) -> bool:
        """Whether a backward pass will need the computed numbers."""
        tensors = (self.structures.positions, self.structures.cell)
        given = any(t.requires_grad for t in tensors) or bool(trainable(self.expansion.field))
        return given and torch.is_grad_enabled()

    @property
    def channels(self) -> Int[Tensor, " atom"]:
        """The channel of each atom: the place of its species."""
        return torch.searchsorted(self.species, self.structures.species)

    def pair_integrals(self) -> RealTable:
        """Radial integrals F_nl(r) of the field at a distance, to the accuracy of the problem."""
        own = self.expansion
        return real_table(
            own.field, own.basis, own.max_angular, own.neighbor_cutoff, self.tolerance
        )


def _check_species(structures: Structures, known: Int[Tensor, " species"]) -> None:
    unknown = ~torch.isin(structures.species, known)
    if bool(unknown.any()):
        atom = int(unknown.nonzero()[0])
        raise StructureError(
            f"contains atomic number {int(structures.species[atom])}, which is not among the "
            f"species {known.tolist()}; train on data that contain it, or leave the structure out",
            int(structures.structure_index[atom]),
        )


def _check_slope(expansion: FieldExpansion, structures: Structures) -> None:
    """Refuse slopes in p where a lattice sum begins to converge: its finite part jumps."""
    summed = expansion.neighbor_cutoff is None and expansion.range != "near"
    if not (summed and torch.is_grad_enabled() and "exponent" in trainable(expansion.field)):
        return
    periods = structures.pbc.sum(dim=1)
    there = (periods - expansion.field.decay).abs() < _NO_SLOPE
    if bool(there.any()):
        structure = int(there.nonzero()[0])
        raise StructureError(
            f"the exponent is {expansion.field.decay:.12g}, the number of its periodic axes, where "
            "the lattice sum has no derivative with respect to the exponent; move the exponent "
            "away from there, or do not differentiate it",
            structure,
        )


def _check_centers(centers: Int[Tensor, " center"], n_atoms: int) -> None:
    if len(centers) and (
        int(centers[0]) < 0 or int(centers[-1]) >= n_atoms or bool((centers.diff() <= 0).any())
    ):
        raise ValueError(
            f"centers must be atoms of the batch, 0 to {n_atoms - 1}, ascending and "
            "without repetition"
        )
