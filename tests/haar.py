"""Averages over all rotations and rotations times the inversion, by a product quadrature."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from scipy.special import roots_legendre

from multilode.equivariants.blocks import Equivariants
from multilode.symmetry.irrep import Irrep
from multilode.symmetry.wigner import wigner_d


def rotations(degree: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Matrices and weights, exact for products of Wigner matrices up to a total degree."""
    cosines, weights = roots_legendre(degree // 2 + 1)
    angles = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    grid = np.stack(np.meshgrid(angles, np.arccos(cosines), angles, indexing="ij"), axis=-1)
    matrices = Rotation.from_euler("ZYZ", grid.reshape(-1, 3)).as_matrix()
    measure = np.broadcast_to(weights[:, None] / 2 / (degree + 1) ** 2, grid.shape[:-1])
    return torch.from_numpy(matrices), torch.from_numpy(measure.reshape(-1).copy())


def scalar_products(factors: list[Equivariants], irrep: Irrep) -> torch.Tensor:
    """What the scalar products of equivariants must be, without any coupling: [i, m, j, k].

    (2 l + 1) times the average over R of D(R)_mk times prod_f <f_i | R f_j>. Source: Schur.
    """
    largest = [max(i.degree for i in f.blocks) for f in factors]
    matrices, weights = rotations(sum(largest) + irrep.degree)
    total = 0.0
    for inversion in (1, -1):
        average = irrep.parity if inversion == -1 else 1
        overlaps = torch.ones(1, dtype=torch.float64)
        for factor in factors:
            mine = sum(
                torch.einsum(
                    "imq,rmk,jkq->rij",
                    block,
                    wigner_d(inversion * matrices, i.degree),
                    block,
                )
                * (i.parity if inversion == -1 else 1)
                for i, block in factor.blocks.items()
            )
            overlaps = overlaps * mine
        turned = wigner_d(inversion * matrices, irrep.degree) * average
        total = total + 0.5 * torch.einsum("r,rmk,rij->imjk", weights, turned, overlaps)
    return (2 * irrep.degree + 1) * total
