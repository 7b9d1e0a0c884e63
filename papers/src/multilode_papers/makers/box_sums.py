"""Dipoles in a periodic box: the field of each on each, images included (Ewald's sum)."""

import math

import numpy as np
from jaxtyping import Float

from multilode_papers.makers.gaussian_charges import isolated

_WIDE = 0.17  # of the box: spread of the charges that are summed in reciprocal space
_NEGLECTED = 5.5  # the first wave left out is smaller by exp(-5.5²)


def dipole_coupling(
    positions: Float[np.ndarray, "site 3"], length: float, spread: float
) -> Float[np.ndarray, "site site 3 3"]:
    """Energy of unit dipoles at all pairs of sites (1 / volume unit), surrounded by a conductor.

    A dipole and its own images are a pair too; with itself it does not interact.

    Args:
        positions: in any image.
        length: of the cubic box, in the same unit.
        spread: standard deviation of the Gaussian of a pair, small compared with the box.
    """
    wide = _WIDE * length
    coupling = _waves(positions, length, wide)
    displacements = positions[:, None] - positions
    displacements -= length * np.round(displacements / length)
    own = np.arange(len(positions))
    for image in np.stack(np.meshgrid(*(np.arange(-1, 2),) * 3), axis=-1).reshape(-1, 3):
        shifted = displacements + length * image
        short = isolated(shifted, wide)[2] - isolated(shifted, spread)[2]
        if not image.any():
            short[own, own] = isolated(np.zeros(3), wide)[2]
        coupling += short
    return coupling


def dielectric_tensor(
    positions: Float[np.ndarray, "site 3"],
    polarizabilities: Float[np.ndarray, "site 3 3"],
    length: float,
    spread: float,
) -> Float[np.ndarray, "3 3"]:
    """Dielectric tensor 1 + 4π/V sum_ij (A⁻¹)_ij of polarisable sites in a periodic box.

    A has the inverse polarizabilities on its diagonal and the dipole coupling everywhere.

    Args:
        positions: of the sites.
        polarizabilities: of the sites, in the cube of the positions' unit.
        length: of the cubic box.
        spread: as in `dipole_coupling`.
    """
    count = len(positions)
    blocks = dipole_coupling(positions, length, spread)
    blocks[np.arange(count), np.arange(count)] += np.linalg.inv(polarizabilities)
    matrix = blocks.transpose(0, 2, 1, 3).reshape(3 * count, 3 * count)
    uniform = np.tile(np.eye(3), (count, 1))
    response = uniform.T @ np.linalg.solve(matrix, uniform)
    return np.eye(3) + 2 * math.pi / length**3 * (response + response.T)


def _waves(
    positions: Float[np.ndarray, "site 3"], length: float, spread: float
) -> Float[np.ndarray, "site site 3 3"]:
    """The part of wide Gaussians, every dipole with itself included, without the wave G = 0."""
    largest = math.sqrt(2) * _NEGLECTED / spread
    count = int(largest * length / (2 * math.pi)) + 1
    steps = np.arange(-count, count + 1)
    grid = np.stack(np.meshgrid(*(steps,) * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[len(grid) // 2 + 1 :]  # one of each pair G, -G
    waves = 2 * math.pi / length * grid
    square = np.sum(waves**2, axis=1)
    waves, square = waves[square <= largest**2], square[square <= largest**2]
    weights = 8 * math.pi / length**3 * np.exp(-0.5 * spread**2 * square) / square
    phases = np.exp(1j * positions @ waves.T)
    along = phases[:, None, :] * waves.T  # site, axis, wave
    left = (along * weights).reshape(-1, len(waves))
    right = along.reshape(-1, len(waves)).conj()
    product = (left @ right.T).real
    return product.reshape(len(positions), 3, -1, 3).transpose(0, 2, 1, 3)
