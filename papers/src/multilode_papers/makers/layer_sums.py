"""Coulomb sums over layers: periodic along x and y, open along z.

All charges are Gaussians, so that the sum over the reciprocal lattice alone converges.
"""

import math

import numpy as np
from jaxtyping import Complex, Float
from scipy.special import erf, erfc, erfcx

_NEGLECTED = 6.5  # the first wave left out is smaller by exp(-6.5²)


def layer_sum(
    targets: Float[np.ndarray, "target 3"],
    sources: Float[np.ndarray, "source 3"],
    cell: Float[np.ndarray, "2 2"],
    spread: float,
    *,
    order: int = 0,
) -> list[Float[np.ndarray, "target source ..."]]:
    """Potential of lattices of Gaussian unit charges in reciprocal space, and its derivatives.

    The wave without oscillation gives -2 pi |z| / area far away: only neutral sums make sense.

    Source: theory#background; Kawata2001.

    Args:
        targets: positions (Å).
        sources: one charge of each lattice (Å); few different heights are fastest.
        cell: rows are lattice vectors (Å).
        spread: standard deviation (Å) of the charge, that of a probe at the target included.
        order: highest derivative, 0 to 2.

    Returns:
        The potential (1/Å), with `order` its gradient and its second derivatives.
    """
    waves = _half_of_waves(cell, spread)
    sums = [np.empty((len(targets), len(sources)) + (3,) * n) for n in range(order + 1)]
    prefactor = math.pi / abs(np.linalg.det(cell))
    outgoing = np.exp(1j * targets[:, :2] @ waves.T)
    heights, layer = np.unique(sources[:, 2], return_inverse=True)
    for number, height in enumerate(heights):
        members = np.flatnonzero(layer == number)
        incoming = np.exp(-1j * sources[members, :2] @ waves.T).T
        profiles = _profiles(waves, targets[:, 2] - height, spread)
        flat = _flat_profiles(targets[:, 2] - height, spread)
        for axes in _axes(order):
            values = _of_one_layer(waves, outgoing, incoming, profiles, axes)
            if axes.count(2) == len(axes):
                values += flat[len(axes)][:, None]
            sums[len(axes)][(slice(None), members, *axes)] = prefactor * values
    return sums


def _of_one_layer(
    waves: Float[np.ndarray, "wave 2"],
    outgoing: Complex[np.ndarray, "target wave"],
    incoming: Complex[np.ndarray, "wave source"],
    profiles: list[Float[np.ndarray, "target wave"]],
    axes: tuple[int, ...],
) -> Float[np.ndarray, "target source"]:
    """One derivative of the waves that oscillate, of sources at the same height."""
    factor = math.prod((1j * waves[:, axis] for axis in axes if axis < 2), start=1.0)
    return 2 * ((outgoing * profiles[axes.count(2)] * factor) @ incoming).real


def _axes(order: int) -> list[tuple[int, ...]]:
    """All derivatives up to an order, as the axes along which they are taken."""
    first = [(i,) for i in range(3)] if order > 0 else []
    second = [(i, j) for i in range(3) for j in range(3)] if order > 1 else []
    return [(), *first, *second]


def _half_of_waves(cell: Float[np.ndarray, "2 2"], spread: float) -> Float[np.ndarray, "wave 2"]:
    """Reciprocal vectors (1/Å) that matter, one of each pair G, -G."""
    largest = math.sqrt(2) * _NEGLECTED / spread
    reciprocal = 2 * math.pi * np.linalg.inv(cell).T
    reach = [int(largest * np.linalg.norm(row) / (2 * math.pi)) + 1 for row in cell]
    first, second = np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij")
    one_of_two = (first > 0) | ((first == 0) & (second > 0))
    waves = np.stack([first[one_of_two], second[one_of_two]], axis=1) @ reciprocal
    return waves[np.linalg.norm(waves, axis=1) <= largest]


def _profiles(
    waves: Float[np.ndarray, "wave 2"], z: Float[np.ndarray, " target"], spread: float
) -> list[Float[np.ndarray, "target wave"]]:
    """Height dependence of each wave and its first two derivatives along z."""
    g = np.linalg.norm(waves, axis=1)
    a = 1 / (math.sqrt(2) * spread)
    up, down = (_decay(g, sign * z[:, None], a) for sign in (1.0, -1.0))
    bell = 2 * a / math.sqrt(math.pi) * np.exp(-((g / (2 * a)) ** 2) - (a * z[:, None]) ** 2)
    return [(up + down) / g, up - down, g * (up + down) - 2 * bell]


def _decay(
    g: Float[np.ndarray, " wave"], z: Float[np.ndarray, "target 1"], a: float
) -> Float[np.ndarray, "target wave"]:
    """exp(gz) erfc(g/2a + az), which neither overflows nor loses its small values."""
    argument = g / (2 * a) + a * z
    envelope = np.exp(-((g / (2 * a)) ** 2) - (a * z) ** 2)
    small = envelope * erfcx(np.maximum(argument, 0.0))
    large = np.exp(np.minimum(g * z, 0.0)) * erfc(np.minimum(argument, 0.0))
    return np.where(argument > 0, small, large)


def _flat_profiles(z: Float[np.ndarray, " target"], spread: float) -> list[np.ndarray]:
    """The wave without oscillation: that of charged sheets with Gaussian profiles."""
    a = 1 / (math.sqrt(2) * spread)
    bell = np.exp(-((a * z) ** 2)) / (a * math.sqrt(math.pi))
    return [-2 * (bell + z * erf(a * z)), -2 * erf(a * z), -4 * a**2 * bell]
