"""What the members of a committee say of structures, energies and forces."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models import AbstractModel
from multilode.models.targets import Target
from multilode.numerics.modes import own_modes
from multilode.representation.field_set import FieldSet
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Deviations:
    """By how much members differ from their mean, times alpha, as error bars are.

    Args:
        values: of the target of each structure, which has one column.
        forces: minus their gradients, in unit/Å, if they were asked for.
    """

    values: Float[Tensor, "structure member"]
    forces: Float[Tensor, "atom member 3"] | None


@own_modes(gradients=True)
def member_deviations(
    representation: Representation | FieldSet,
    model: AbstractModel,
    target: Target,
    batch: Structures,
    *,
    forces: bool,
) -> Deviations | None:
    """Deviations of the members; None if there are none.

    Forces take one backward pass for each member through the same features.
    """
    positions = batch.positions.detach().clone().requires_grad_(forces)
    features = representation.compute(replace(batch, positions=positions))
    found = model.deviations(target.features(features))
    if found is None:
        return None
    values = found[1][:, :, 0]
    if not forces:
        return Deviations(values=values.detach(), forces=None)
    of_atoms = positions.new_zeros((len(positions), values.shape[1], 3))
    if values.requires_grad:  # else there is no center anywhere
        for k, total in enumerate(values.sum(dim=0)):
            of_atoms[:, k] = -torch.autograd.grad(total, positions, retain_graph=True)[0]
    return Deviations(values=values.detach(), forces=of_atoms)
