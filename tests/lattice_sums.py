"""Fields of layers and wires by direct summation in space, and their projection on a basis.

Sum over images with a smooth cutoff w; what w leaves out varies so slowly that its sum is an
integral: sum_R v(R) w(R) + (1/A) [int v d^dR - int v w d^dR]. The first integral is known in closed
form, or by its finite part.
"""

import ase
import numpy as np
import torch
from scipy.special import erfc, exp1, gamma, gammainc, roots_legendre

from multilode.expansion import FieldExpansion
from multilode.radial import orthonormalize
from quadrature import real_harmonics

N_POLAR, N_RADIAL = 10, 9


def profile(r: np.ndarray, smearing: float, exponent: float) -> np.ndarray:
    """gamma(p/2, r^2 / 2 s^2) / (Gamma(p/2) r^p)."""
    value = r**-exponent
    near = r < 9 * smearing
    value[near] *= gammainc(exponent / 2, r[near] ** 2 / (2 * smearing**2))
    return value


def plane_average(rho: np.ndarray, smearing: float, exponent: float, d: int) -> np.ndarray:
    """Integral of the profile over a plane (d = 2) or line at distance rho, or its finite part."""
    a, x = 0.5 * (exponent - d), rho**2 / (2 * smearing**2)
    front = np.pi ** (d / 2) / gamma(exponent / 2)
    if a == 0:
        return -front * (exp1(x) + np.log(x) + np.euler_gamma)
    lower = gamma(a + 1) * gammainc(a + 1, x)
    return front * (lower + x**a * np.exp(-x)) / a * rho ** (-2 * a)


def potential(
    points: np.ndarray, sources: np.ndarray, periods: np.ndarray, smearing: float, exponent: float
) -> np.ndarray:
    """Of one species at each point; `periods` are one or two lattice vectors."""
    d = len(periods)
    width = 9.5 * np.linalg.norm(periods, axis=1).max() / (2 * np.pi) * 2
    middle, limit = 6 * width, 12 * width
    metric = np.linalg.norm(np.linalg.pinv(periods), axis=0)
    counts = [range(-n, n + 1) for n in np.ceil(limit * metric).astype(int) + 1]
    images = np.stack(np.meshgrid(*counts, indexing="ij"), -1).reshape(-1, d) @ periods
    axes = np.linalg.svd(periods)[2]
    along, across = axes[:d], axes[d:]
    size = np.sqrt(np.linalg.det(periods @ periods.T))
    nodes, weights = roots_legendre(400)
    radius, weights = 0.5 * limit * (nodes + 1), 0.5 * limit * weights
    measure = weights * (2 * np.pi * radius if d == 2 else 2) * cutoff(radius, middle, width)
    # corners of the parallelogram are beyond the cutoff, wherever a source is
    farthest = np.linalg.norm(points[:, None] - sources, axis=2).max()
    images = images[np.linalg.norm(images, axis=1) < limit + farthest]
    total = np.zeros(len(points))
    for source in sources:
        for part in np.array_split(np.arange(len(points)), 1 + len(points) * len(images) // 10**6):
            offset = points[part] - source
            rho = np.linalg.norm(offset @ across.T, axis=1)
            inside = offset @ along.T
            lateral = np.linalg.norm(inside[:, None] + images @ along.T, axis=2)
            weight = cutoff(lateral, middle, width)
            apart = np.sqrt(lateral**2 + rho[:, None] ** 2)
            total[part] += (profile(apart, smearing, exponent) * weight).sum(axis=1)
            screened = profile(np.hypot(radius, rho[:, None]), smearing, exponent) @ measure
            total[part] += (plane_average(rho, smearing, exponent, d) - screened) / size
    return total


def cutoff(r: np.ndarray, middle: float, width: float) -> np.ndarray:
    """From 1 to 0 around `middle`, with a spectrum of Gaussian range."""
    return 0.5 * erfc((r - middle) / width)


def coefficients(
    expansion: FieldExpansion, atoms: ase.Atoms, center: int
) -> dict[int, torch.Tensor]:
    """{l: [m, species n]} around one atom."""
    cosine, polar_weights = roots_legendre(N_POLAR)
    azimuth = np.pi * np.arange(2 * N_POLAR) / N_POLAR
    sine = np.sqrt(1 - cosine**2)
    directions = np.stack(
        [
            np.outer(sine, np.cos(azimuth)),
            np.outer(sine, np.sin(azimuth)),
            np.outer(cosine, np.ones_like(azimuth)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    area = np.outer(polar_weights, np.full(2 * N_POLAR, np.pi / N_POLAR)).ravel()
    # the functions must be polynomials: a few nodes are exact, the overlaps fix the normalisation
    full = orthonormalize(expansion.basis, expansion.max_angular)
    nodes, weights = roots_legendre(N_RADIAL)
    r = 0.5 * expansion.basis.radius * (nodes + 1)
    weights = 0.5 * expansion.basis.radius * weights
    points = (r[:, None, None] * directions).reshape(-1, 3) + atoms.positions[center]
    periods = atoms.cell[:][atoms.pbc]
    fields = [
        potential(
            points,
            atoms.positions[atoms.numbers == kind],
            periods,
            expansion.field.smearing,
            expansion.field.exponent,
        ).reshape(len(r), -1)
        for kind in sorted(set(atoms.numbers.tolist()))
    ]
    result = {}
    for l in range(expansion.max_angular + 1):
        primitives = expansion.basis.primitives(full.r, l)
        mix = np.linalg.lstsq(primitives.T, full.values[l].T, rcond=None)[0]
        functions = mix.T @ expansion.basis.primitives(r, l)
        angular = real_harmonics(directions, l) * area[:, None]
        columns = [(f @ angular).T @ (functions * weights * r**2).T for f in fields]
        result[l] = torch.from_numpy(np.concatenate(columns, axis=1))
    return result
