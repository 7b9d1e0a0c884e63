"""A metal slab as an electrode at constant potential, with Gaussian charges on its atoms.

Source: Siepmann and Sprik, J. Chem. Phys. 102, 511 (1995). The charges minimise the energy under
the condition that their sum is zero: a slab of metal that is not connected to anything.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from multilode_papers.makers.gaussian_charges import COULOMB
from multilode_papers.makers.layer_sums import layer_sum

LATTICE = 3.44  # Å, bcc lithium
# Å. The image plane lies 1.5 Å above the nuclei, where jellium of this density has it: 0.7 Å
# (Lang and Kohn, Phys. Rev. B 7, 3541 (1973)) beyond its edge, half a layer above the nuclei.
WIDTH = 1.35


@final
@dataclass(frozen=True, kw_only=True)
class Electrode:
    """A slab whose charges answer to outer potentials.

    Args:
        positions: of the atoms (Å), the outermost layer at z = 0 and all others below.
        cell: rows are the two lattice vectors (Å).
        response: minus the charges (e) per potential (V) at the atoms.
    """

    positions: Float[np.ndarray, "atom 3"]
    cell: Float[np.ndarray, "2 2"]
    response: Float[np.ndarray, "atom atom"]


def lithium_slab(repeats: int, layers: int) -> Electrode:
    """The (100) surface of bcc lithium, its square cell repeated along x and y.

    Args:
        repeats: number of cells along each.
        layers: number of atomic layers.
    """
    steps = np.arange(repeats) * LATTICE
    sites = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    depths = np.arange(layers)
    shifted = sites[None] + 0.5 * LATTICE * (depths % 2)[:, None, None]
    heights = np.broadcast_to(0.0 - 0.5 * LATTICE * depths[:, None, None], (*shifted.shape[:2], 1))
    positions = np.concatenate([shifted, heights], axis=2).reshape(-1, 3)
    cell = repeats * LATTICE * np.eye(2)
    return Electrode(positions=positions, cell=cell, response=_response(positions, cell))


def _response(
    positions: Float[np.ndarray, "atom 3"], cell: Float[np.ndarray, "2 2"]
) -> Float[np.ndarray, "atom atom"]:
    """Inverse of the charges' interaction, on the space of vectors whose sum is zero."""
    energy = COULOMB * layer_sum(positions, positions, cell, math.sqrt(2) * WIDTH)[0]
    inverse = np.linalg.inv(0.5 * (energy + energy.T))
    sums = inverse.sum(axis=1)
    return inverse - np.outer(sums, sums) / sums.sum()
