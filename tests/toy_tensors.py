"""Molecules with tensors that rotate with them."""

import torch

from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.radial import GaussianTypeOrbitals
from multilode.structures.batch import Structures
from multilode.symmetry.cartesian import tensor_kind

RADIAL = GaussianTypeOrbitals(2, 3.0)
FIELDS = {
    "rho": FieldExpansion(GaussianDensity(0.4), RADIAL, 2, neighbor_cutoff=3.0),
    "V": FieldExpansion(SmearedPotential(1.0, 1.0), RADIAL, 2),
}


def molecules(n, seed=0, rotation=None):
    generator = torch.Generator().manual_seed(seed)
    positions = 1.2 * torch.randn(n, 4, 3, generator=generator, dtype=torch.float64)
    if rotation is not None:
        positions = positions @ rotation.T
    return Structures(
        positions=positions.reshape(-1, 3),
        species=torch.tensor([8, 1, 1, 6]).repeat(n),
        cell=torch.zeros(n, 3, 3, dtype=torch.float64),
        pbc=torch.zeros(n, 3, dtype=torch.bool),
        structure_index=torch.arange(n).repeat_interleave(4),
    )


def targets(structures, kind):
    """Powers of vectors between atoms, which rotate as they should."""
    positions = structures.positions.view(-1, 4, 3)
    arms = positions[:, 1:] - positions[:, :1]
    total = 0
    for arm in arms.unbind(1):
        length = arm.norm(dim=1, keepdim=True)
        power = torch.exp(-0.3 * length)
        for _ in range(tensor_kind(kind).rank):
            power = (power[:, :, None] * arm[:, None]).flatten(start_dim=1)
        total = total + power
    return total
