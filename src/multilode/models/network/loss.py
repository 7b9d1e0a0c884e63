"""Energies and forces of a batch, and how far they are from the references."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.network.network import FieldNetwork
from multilode.models.network.stored import StoredFields


@final
@dataclass(frozen=True)
class Reference:
    """What a structure is to have: its energy less the baseline, and maybe forces.

    Args:
        energy: one number.
        forces: on its atoms; None to learn from the energy alone.
    """

    energy: float
    forces: Float[Tensor, "atom 3"] | None


@final
@dataclass(frozen=True)
class Deviations:
    """Squared errors of a batch.

    Args:
        energies: squared error of each energy over the number of atoms, in units of the target.
        forces: squared errors of all components; empty without forces.
    """

    energies: Float[Tensor, " structure"]
    forces: Float[Tensor, " component"]

    def loss(self, energy_weight: float) -> Float[Tensor, ""]:
        """Mean over components of forces, and weighted mean over energies."""
        loss = energy_weight * self.energies.mean()
        return loss + self.forces.mean() if len(self.forces) else loss


def deviations(
    network: FieldNetwork, fields: StoredFields, references: list[Reference], *, train: bool
) -> Deviations:
    """Errors of the network for a batch.

    Args:
        train: keep the graph, so that the weights can be differentiated.
    """
    counts = torch.bincount(fields.structure_index, minlength=fields.n_structures)
    with_forces = all(reference.forces is not None for reference in references)
    values = next(iter(fields.fields.values())).values
    moves = values.new_zeros((len(fields.kinds), 3), requires_grad=with_forces)
    moved = StoredFields(
        fields.kinds, fields.structure_index, fields.n_structures, fields.fields, moves
    )
    with torch.set_grad_enabled(train or with_forces):
        atoms = network(moved if with_forces else fields)[0]
        energies = energies_of(atoms, fields.structure_index, fields.n_structures)
        forces = values.new_zeros(0)
        if with_forces:
            (gradient,) = torch.autograd.grad(atoms.sum(), moves, create_graph=train)
            known = torch.cat([reference.forces for reference in references])  # pyright: ignore
            forces = (gradient + known.to(gradient)).flatten()
    known = torch.tensor([reference.energy for reference in references], dtype=torch.float64)
    errors = (energies - known.to(energies.device)) / counts.sqrt()
    return Deviations(errors.square(), forces.square())


def energies_of(
    atoms: Float[Tensor, " atom"], index: Int[Tensor, " atom"], n_structures: int
) -> Float[Tensor, " structure"]:
    """Sums over atoms, in double precision whatever the type of the atoms."""
    sums = torch.zeros(n_structures, dtype=torch.float64, device=atoms.device)
    return sums.index_add(0, index, atoms.double())
