"""Energies and forces of a batch, and how far they are from the references."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.network.network import FieldNetwork, TensorOutput
from multilode.models.network.stored import StoredFields


@final
@dataclass(frozen=True)
class Reference:
    """What a structure is to have: its energy less the baseline, and maybe forces.

    Args:
        energy: one number.
        forces: on its atoms; None to learn from no forces.
        virial: its stress times its volume, along its periods; None to learn from no stress.
        periods: projector onto the space of its periods.
        tensors: instead of the energy, one row or those of its atoms, over their scale.
    """

    energy: float = 0.0
    forces: Float[Tensor, "atom 3"] | None = None
    virial: Float[Tensor, "3 3"] | None = None
    periods: Float[Tensor, "3 3"] | None = None
    tensors: Float[Tensor, "row cartesian"] | None = None


@final
@dataclass(frozen=True)
class Deviations:
    """Squared errors of a batch.

    Args:
        energies: squared error of each energy over the number of atoms, in units of the target; of
            tensors, mean squared error of the components of a row over their scale.
        forces: squared errors of all components; empty without forces.
        virials: mean squared error of the components of each virial over the number of atoms; empty
            without stresses.
    """

    energies: Float[Tensor, " structure"]
    forces: Float[Tensor, " component"]
    virials: Float[Tensor, " stressed"]

    def loss(self, energy_weight: float, stress_weight: float) -> Float[Tensor, ""]:
        """Mean over components of forces, and weighted means over energies and virials."""
        loss = energy_weight * self.energies.mean()
        if len(self.virials):
            loss = loss + stress_weight * self.virials.mean()
        return loss + self.forces.mean() if len(self.forces) else loss


def deviations(
    network: FieldNetwork, fields: StoredFields, references: list[Reference], *, train: bool
) -> Deviations:
    """Errors of the network for a batch.

    Args:
        train: keep the graph, so that the weights can be differentiated.
    """
    if references[0].tensors is not None:
        return _tensor_deviations(network, fields, references, train=train)
    counts = torch.bincount(fields.structure_index, minlength=fields.n_structures)
    with_forces = all(reference.forces is not None for reference in references)
    with_stress = all(reference.virial is not None for reference in references)
    values = next(iter(fields.fields.values())).values
    moved, variables = fields, []
    if with_forces or with_stress:
        moves = values.new_zeros((len(fields.kinds), 3), requires_grad=with_forces)
        strains = values.new_zeros((fields.n_structures, 3, 3), requires_grad=with_stress)
        moved = replace(fields, displacements=moves, strains=strains if with_stress else None)
        variables = [x for x in (moves, strains) if x.requires_grad]
    with torch.set_grad_enabled(train or bool(variables)):
        atoms = network(moved)[0]
        energies = energies_of(atoms, fields.structure_index, fields.n_structures)
        found = [] if not variables else torch.autograd.grad(
            atoms.sum(), variables, create_graph=train
        )  # fmt: skip
        slopes = list(found)
        forces, virials = values.new_zeros(0), values.new_zeros(0)
        if with_forces:
            known = torch.cat([reference.forces for reference in references])  # pyright: ignore
            forces = (slopes[0] + known.to(slopes[0])).flatten().square()
        if with_stress:
            virials = _virial_errors(slopes[-1], references) / counts
    known = torch.tensor([reference.energy for reference in references], dtype=torch.float64)
    errors = (energies - known.to(energies.device)) / counts.to(energies).sqrt()
    return Deviations(errors.square(), forces, virials)


def _tensor_deviations(
    network: FieldNetwork, fields: StoredFields, references: list[Reference], *, train: bool
) -> Deviations:
    output = network.size.tensor
    if output is None:
        raise ValueError("this network has energies and no tensors")
    with torch.set_grad_enabled(train):
        atoms = network(fields)[0]
        rows = rows_of(atoms, output, fields.structure_index, fields.n_structures)
    known = torch.cat([reference.tensors for reference in references])  # pyright: ignore
    errors = (rows - known.to(rows)).square().mean(dim=1)
    return Deviations(errors, errors.new_zeros(0), errors.new_zeros(0))


def _virial_errors(
    slopes: Float[Tensor, "structure 3 3"], references: list[Reference]
) -> Float[Tensor, " structure"]:
    """Mean squared errors of the components along the periods.

    Source: theory#gradients.
    """
    known = torch.stack([reference.virial for reference in references]).to(slopes)  # pyright: ignore
    onto = torch.stack([reference.periods for reference in references]).to(slopes)  # pyright: ignore
    return (onto @ slopes @ onto - known).square().mean(dim=(1, 2))


def energies_of(
    atoms: Float[Tensor, " atom"], index: Int[Tensor, " atom"], n_structures: int
) -> Float[Tensor, " structure"]:
    """Sums over atoms, in double precision whatever the type of the atoms."""
    sums = torch.zeros(n_structures, dtype=torch.float64, device=atoms.device)
    return sums.index_add(0, index, atoms.double())


def rows_of(
    atoms: Float[Tensor, "atom cartesian"],
    output: TensorOutput,
    index: Int[Tensor, " atom"],
    n_structures: int,
) -> Float[Tensor, "row cartesian"]:
    """Sums or means of the tensors of atoms, or these themselves.

    Args:
        index: structure of each atom.
    """
    if output.per == "atom":
        return atoms
    sums = atoms.new_zeros(n_structures, atoms.shape[1]).index_add(0, index, atoms)
    if output.reduce == "sum":
        return sums
    return sums / torch.bincount(index, minlength=n_structures).clamp(min=1)[:, None]
