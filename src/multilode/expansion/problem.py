"""The problem that every expansion method solves: a field, a basis, atoms and an accuracy."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.errors import StructureError
from multilode.expansion.expansion import FieldExpansion
from multilode.fields.field import trainable
from multilode.radial.tables import RealTable, real_table
from multilode.structures.batch import Structures

# What makes a field: atoms of each species, or each atom with a strength per channel
Sources = tuple[int, ...] | Float[Tensor, "atom channel"]

_NO_SLOPE = 1e-9  # distance in p from where the finite part of a lattice sum jumps


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """A field of structures, to be expanded around centers on a basis to an accuracy.

    `Problem.checked` is the border; parts of a problem are made with `replace`, unchecked.

    Args:
        expansion: field and basis.
        structures: whose atoms make the field.
        species: atomic numbers of the channels, ascending; empty if strengths are given.
        centers: atoms to expand around, ascending.
        tolerance: accuracy relative to the largest coefficient of each l.
        strengths: of each atom as a source of each channel, for channels that are no species.
    """

    expansion: FieldExpansion
    structures: Structures
    species: Int[Tensor, " species"]
    centers: Int[Tensor, " center"]
    tolerance: float
    strengths: Float[Tensor, "atom channel"] | None = None

    @staticmethod
    def checked(
        expansion: FieldExpansion,
        structures: Structures,
        sources: Sources,
        centers: Int[Tensor, " center"] | None,
        tolerance: float,
    ) -> "Problem":
        """The problem, if it has a solution; without centers, that of all atoms.

        Args:
            expansion: field and basis.
            structures: whose atoms make the field.
            sources: atomic numbers of the channels, or strengths of the atoms.
            centers: atoms to expand around.
            tolerance: accuracy relative to the largest coefficient of each l.

        Raises:
            StructureError: for a species that is not listed, an atom whose strength is not finite,
                or an exponent to be differentiated that equals the number of periodic axes.
            ValueError: for species or centers that do not ascend, centers that are no atoms, or
                strengths of another shape, type or device.
        """
        device = structures.positions.device
        strengths, species = (sources, ()) if isinstance(sources, Tensor) else (None, sources)
        if len(set(species)) != len(species) or list(species) != sorted(species):
            raise ValueError(f"species must ascend without repetition, got {species}")
        known = torch.tensor(species, dtype=torch.int64, device=device)
        if strengths is None:
            _check_species(structures, known)
        else:
            _check_strengths(structures, strengths)
        _check_slope(expansion, structures)
        if centers is None:
            centers = torch.arange(structures.n_atoms, device=device)
        else:
            _check_centers(centers, structures.n_atoms)
        return Problem(expansion, structures, known, centers, tolerance, strengths)

    @property
    def n_channels(self) -> int:
        """Sums over atoms: species, or columns of strengths."""
        return len(self.species) if self.strengths is None else self.strengths.shape[1]

    @property
    def channels(self) -> Int[Tensor, " atom"] | None:
        """The channel of each atom, the place of its species; None if strengths are given."""
        return None if self.strengths is not None else _places(self)

    @property
    def moving(self) -> bool:
        """Whether a backward pass will be wanted in positions, cells or strengths."""
        structures = self.structures
        given = (structures.positions, structures.cell, self.strengths)
        return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in given)

    @property
    def differentiated(self) -> bool:
        """Whether a backward pass will be wanted, in anything or in parameters of the field."""
        return self.moving or (torch.is_grad_enabled() and bool(trainable(self.expansion.field)))

    @property
    def sources(self) -> Float[Tensor, "atom channel"]:
        """Strength of each atom in each channel: as given, or 1 in the channel of its species."""
        if self.strengths is not None:
            return self.strengths
        ones = torch.nn.functional.one_hot(_places(self), self.n_channels)
        return ones.to(self.structures.positions.dtype)

    def pair_integrals(self) -> RealTable:
        """Radial integrals F_nl(r) of the field at a distance, to the accuracy of the problem."""
        own = self.expansion
        return real_table(
            own.field, own.basis, own.max_angular, own.neighbor_cutoff, self.tolerance
        )


def _places(problem: Problem) -> Int[Tensor, " atom"]:
    return torch.searchsorted(problem.species, problem.structures.species)


def _check_species(structures: Structures, known: Int[Tensor, " species"]) -> None:
    unknown = ~torch.isin(structures.species, known)
    if bool(unknown.any()):
        atom = int(unknown.nonzero()[0])
        raise StructureError(
            f"contains atomic number {int(structures.species[atom])}, which is not among the "
            f"species {known.tolist()}; train on data that contain it, or leave the structure out",
            int(structures.structure_index[atom]),
        )


def _check_strengths(structures: Structures, strengths: Float[Tensor, "atom channel"]) -> None:
    positions, n_atoms = structures.positions, structures.n_atoms
    if strengths.ndim != 2 or len(strengths) != n_atoms or strengths.shape[1] == 0:
        raise ValueError(
            f"strengths have the shape {tuple(strengths.shape)}; give one row for each of the "
            f"{n_atoms} atoms of the batch and at least one column, the channels"
        )
    if (strengths.dtype, strengths.device) != (positions.dtype, positions.device):
        raise ValueError(
            f"strengths are {strengths.dtype} on {strengths.device}, positions {positions.dtype} "
            f"on {positions.device}; convert them with strengths.to(structures.positions)"
        )
    finite = torch.isfinite(strengths.detach()).all(dim=1)
    if not bool(finite.all()):
        atom = int((~finite).nonzero()[0])
        index = int(structures.structure_index[atom])
        number = atom - int(structures.counts[:index].sum())
        raise StructureError(
            f"the strength of its atom {number} is not finite; give numbers, or leave it out",
            index,
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
