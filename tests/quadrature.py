"""Expansion coefficients of an isolated structure straight from their definition."""

import numpy as np
import torch
from scipy.special import roots_legendre, sph_harm_y

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import expansion_labels
from multilode.expansion import FieldExpansion
from multilode.radial import orthonormalize
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import Irrep

N_POLAR = 26


def real_harmonics(vectors: np.ndarray, l: int) -> np.ndarray:
    """Y_lm without Condon-Shortley phase from scipy's complex ones, m = -l ... l: [point, m]."""
    x, y, z = vectors.T
    polar, azimuth = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    columns = []
    for m in range(-l, l + 1):
        value = sph_harm_y(l, abs(m), polar, azimuth) * (-1) ** abs(m)
        if m < 0:
            columns.append(np.sqrt(2) * value.imag)
        elif m == 0:
            columns.append(value.real)
        else:
            columns.append(np.sqrt(2) * value.real)
    return np.stack(columns, axis=1)


def sphere() -> tuple[np.ndarray, np.ndarray]:
    """Directions and weights, exact for harmonics up to degree 2 N_POLAR - 1."""
    cosine, weights = roots_legendre(N_POLAR)
    azimuth = 2 * np.pi * np.arange(2 * N_POLAR) / (2 * N_POLAR)
    sine = np.sqrt(1 - cosine**2)
    grid = np.stack(
        [
            np.outer(sine, np.cos(azimuth)),
            np.outer(sine, np.sin(azimuth)),
            np.outer(cosine, np.ones_like(azimuth)),
        ],
        axis=-1,
    )
    area = np.outer(weights, np.full(2 * N_POLAR, np.pi / N_POLAR))
    return grid.reshape(-1, 3), area.ravel()


def coefficients_by_quadrature(
    expansion: FieldExpansion,
    structures: Structures,
    species: tuple[int, ...],
    centers: tuple[int, ...] | None = None,
) -> Equivariants:
    """Sum of the fields of all atoms, integrated with R_nl Y_lm around each center (or atom)."""
    around = list(range(structures.n_atoms) if centers is None else centers)
    directions, area = sphere()
    functions = orthonormalize(expansion.basis, expansion.max_angular)
    positions = structures.positions.numpy()
    rays = functions.r[:, None, None] * directions  # [r, direction, xyz]
    blocks = {l: [] for l in range(expansion.max_angular + 1)}
    for center in positions[around]:
        fields = []
        for kind in species:
            sources = positions[structures.species.numpy() == kind]
            apart = np.linalg.norm((rays + center)[None] - sources[:, None, None], axis=-1)
            fields.append(expansion.field.profile(torch.from_numpy(apart)).numpy().sum(axis=0))
        values = np.stack(fields)  # [species, r, direction]
        for l, column in blocks.items():
            angular = (values * area) @ real_harmonics(directions, l)
            measure = functions.values[l] * functions.weights * functions.r**2
            column.append(np.einsum("arm,nr->man", angular, measure).reshape(2 * l + 1, -1))
    labels = expansion_labels(species, functions.n_radial)
    irreps = [Irrep(l) for l in blocks]
    return Equivariants(
        {Irrep(l): torch.from_numpy(np.stack(column)) for l, column in blocks.items()},
        dict.fromkeys(irreps, labels),
        torch.tensor(around),
    )
