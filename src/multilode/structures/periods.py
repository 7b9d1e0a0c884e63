"""Directions along which structures are periodic: all of crystals, two of layers, one of wires."""

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.structures.batch import Structures


def along_periods(
    tensors: Float[Tensor, "structure 3 3"], structures: Structures
) -> Float[Tensor, "structure 3 3"]:
    """The part of symmetric tensors along the periodic directions: P t P; all of it in crystals."""
    projector = projectors(structures).to(tensors)
    whole = structures.pbc.all(dim=1)[:, None, None].to(tensors.device)
    return torch.where(whole, tensors, projector @ tensors @ projector)


def projectors(structures: Structures) -> Float[Tensor, "structure 3 3"]:
    """Onto the space of the lattice vectors along which a structure is periodic."""
    periods = structures.cell.detach() * structures.pbc[:, :, None]
    return torch.linalg.pinv(periods) @ periods
