"""Rotations, proper and improper, of everything that is labelled by an irrep."""

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.blocks import Equivariants
from multilode.symmetry.wigner import wigner_d


def rotate_equivariants(equivariants: Equivariants, rotation: Float[Tensor, "3 3"]) -> Equivariants:
    """The same quantities after a rotation of the structures about any point.

    A block of parity -1 changes its sign under improper matrices in addition to the (-1)^degree
    of the harmonics.

    Args:
        equivariants: components around each center.
        rotation: an orthogonal matrix R, positions going to R r.

    Raises:
        ValueError: if the matrix is not orthogonal.
    """
    improper = bool(torch.linalg.det(rotation) < 0)
    blocks = {}
    for irrep, block in equivariants.blocks.items():
        matrix = wigner_d(rotation, irrep.degree).to(block)
        sign = irrep.parity if improper else 1
        blocks[irrep] = sign * (matrix @ block)
    return Equivariants(blocks, equivariants.labels, equivariants.centers)
