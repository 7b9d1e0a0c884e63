"""The identities of the 2021 paper's section III, both sides computed on their own."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.correlations import power_spectrum
from multilode.expansion import FieldExpansion, expand
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.radial import GaussianTypeOrbitals, Monomials, orthonormalize
from multilode.structures import Structures
from multilode.symmetry import Irrep, spherical_harmonics

RADIUS, SMEARING = 2.0, 0.2  # Å; sources eight smearings outside of the sphere are points
N_RADIAL, DEGREE = 3, 4
CENTER, SOURCE = 1, 8  # labels of the center's surroundings and of the far sources
COULOMB = 14.399645  # eV Å


def surrounded(seed: int, n_near: int = 4, n_far: int = 6) -> Structures:
    """A center, atoms inside of its sphere, and sources far outside of it."""
    rng = np.random.default_rng(seed)
    near = _directions(rng, n_near) * rng.uniform(0.6, 0.7 * RADIUS, n_near)[:, None]
    far = _directions(rng, n_far) * rng.uniform(RADIUS + 10 * SMEARING, 12, n_far)[:, None]
    positions = np.concatenate([np.zeros((1, 3)), near, far])
    species = np.array([CENTER] * (1 + n_near) + [SOURCE] * n_far)
    return Structures.from_arrays(
        [positions], [species], [np.zeros((3, 3))], [np.zeros(3, dtype=bool)]
    )


def coefficient_deviation(structures: Structures) -> list[float]:
    """Largest deviation from Eq. 12 for each l, relative to the largest coefficient of that l.

    The coefficient of r^l in the sphere is 4 pi / (2 l + 1) sum_j Y_lm(j) / r_j^(l + 1).
    """
    potential = FieldExpansion(SmearedPotential(SMEARING, 1.0), Monomials(1, RADIUS), DEGREE)
    found = _around_center(potential, structures)
    fields = _outer_multipoles(structures)
    deviations = []
    for l in range(DEGREE + 1):
        moment = math.sqrt(RADIUS ** (2 * l + 3) / (2 * l + 3))  # of the normalised r^l
        ours = found.blocks[Irrep(l)][0][:, 1]  # the channel of the sources
        deviation = (ours - moment * fields[l]).abs().max() / fields[l].abs().max() / moment
        deviations.append(float(deviation))
    return deviations


def energy_deviation(structures: Structures, seed: int) -> float:
    """Relative deviation of a linear model's far-field energy from the sum over multipoles.

    One side is the scalar product of random weights with `rho x V`. The other (Eqs. 13 and 14)
    makes multipoles of the near atoms with the same weights, and lets the far atoms act on them.
    """
    basis = GaussianTypeOrbitals(N_RADIAL, RADIUS)
    density = FieldExpansion(GaussianDensity(0.3), basis, DEGREE, neighbor_cutoff=RADIUS)
    potential = FieldExpansion(
        SmearedPotential(SMEARING, 1.0), basis, DEGREE, range="far", near_radius=RADIUS
    )
    rho, v = (_around_center(e, structures) for e in (density, potential))
    size = 2 * N_RADIAL  # channels of a field: two species
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(DEGREE + 1, size, size, generator=generator, dtype=torch.float64)
    ours = float(power_spectrum(rho, v)[0] @ weights.flatten())
    functions = orthonormalize(basis, DEGREE)
    fields = _outer_multipoles(structures)
    theirs = 0.0
    for l in range(DEGREE + 1):
        measure = functions.weights * functions.r ** (l + 2)
        moments = torch.from_numpy(functions.values[l] @ measure)  # of each R_nl with r^l
        toward = weights[l][:, N_RADIAL:] @ moments  # only sources are far
        multipole = rho.blocks[Irrep(l)][0] @ toward / math.sqrt(2 * l + 1)  # [m]
        theirs += float(multipole @ fields[l])
    return abs(ours - theirs) / abs(theirs)


def coulomb_deviation(
    radius: float, smearing: float, seed: int, n_atoms: int = 20, spacing: float = 2.5
) -> float:
    """RMS error, in % of the spread, of `V` with l = 0 as a sum over point charges (Eq. 19).

    Charges of both signs in a cluster, none closer than `spacing` (Å). No fit: the coefficient of
    the constant in a sphere gives the potential, and half of charge times potential the energy.
    """
    rng = np.random.default_rng(seed)
    charges = np.where(np.arange(n_atoms) % 2 == 0, 1.0, -1.0)
    species = np.where(charges > 0, CENTER, SOURCE)
    places = [_scattered(rng, n_atoms, spacing) for _ in range(40)]
    none = [np.zeros((3, 3))] * len(places), [np.zeros(3, dtype=bool)] * len(places)
    structures = Structures.from_arrays(places, [species] * len(places), *none)
    field = FieldExpansion(
        SmearedPotential(smearing, 1.0), Monomials(1, radius), 0, center_weight=0.0
    )
    block = expand(field, structures, species=(CENTER, SOURCE), tolerance=1e-10).blocks[Irrep(0)]
    constant = math.sqrt(4 * math.pi * radius**3 / 3)
    potential = (block[:, 0, 0] - block[:, 0, 1]).numpy().reshape(len(places), -1) / constant
    ours = 0.5 * COULOMB * (potential * charges).sum(axis=1)
    exact = np.array([_coulomb(positions, charges) for positions in places])
    return float(100 * np.sqrt(np.mean((ours - exact) ** 2)) / exact.std())


def _around_center(expansion: FieldExpansion, structures: Structures):
    center = torch.tensor([0])
    return expand(expansion, structures, species=(CENTER, SOURCE), centers=center, tolerance=1e-11)


def _outer_multipoles(structures: Structures) -> list[Float[Tensor, " m"]]:
    """4 pi / (2 l + 1) sum_j Y_lm(j) / r_j^(l + 1) over the sources, for each l."""
    vectors = structures.positions[structures.species == SOURCE]
    harmonics = spherical_harmonics(vectors, DEGREE)
    distances = vectors.norm(dim=1)
    return [
        4 * math.pi / (2 * l + 1) * (harmonics[:, l**2 : (l + 1) ** 2].T @ distances ** -(l + 1.0))
        for l in range(DEGREE + 1)
    ]


def _directions(rng: np.random.Generator, count: int) -> np.ndarray:
    drawn = rng.normal(size=(count, 3))
    return drawn / np.linalg.norm(drawn, axis=1)[:, None]


def _scattered(rng: np.random.Generator, count: int, spacing: float) -> np.ndarray:
    """Points in a cube, added one after the other, none closer than `spacing`."""
    points = np.empty((0, 3))
    while len(points) < count:
        drawn = rng.uniform(0, 12, 3)
        if (np.linalg.norm(points - drawn, axis=1) >= spacing).all():
            points = np.vstack([points, drawn])
    return points


def _coulomb(positions: np.ndarray, charges: np.ndarray) -> float:
    first, second = np.triu_indices(len(charges), 1)
    distances = np.linalg.norm(positions[first] - positions[second], axis=1)
    return float(COULOMB * (charges[first] * charges[second] / distances).sum())
