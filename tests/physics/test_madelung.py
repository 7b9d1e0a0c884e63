"""Madelung and Wigner constants from the l = 0 coefficients of the p = 1 field.

A point charge at each site is a Gaussian so narrow that no other site feels its width. The average
of the field over a sphere around a site is c_00 sqrt(4 pi) / (sphere integral of R_0): the
potential at the site, because all of it but the site's own Gaussian is harmonic in there.
"""

import math

import numpy as np
import pytest
import torch

from crystals import block
from multilode.expansion import FieldExpansion, expand
from multilode.fields import SmearedPotential
from multilode.radial import Monomials
from multilode.structures.batch import Structures

FCC = 0.5 * (np.ones((3, 3)) - np.eye(3))
ROOT3 = math.sqrt(3)
HEXAGONAL = np.array([[0.5, -0.5 * ROOT3, 0], [0.5, 0.5 * ROOT3, 0], [0, 0, math.sqrt(8 / 3)]])

# cell, fractional sites, charges, energy per formula unit in units of e^2 / length, formula units.
# The length is the cubic lattice constant, for wurtzite (ideal axis ratio) the lattice constant a.
# Constants of the literature, as collected by Glasser, Inorg. Chem. 51, 2420 (2012).
CRYSTALS = {
    "rock salt": (FCC, [[0, 0, 0], [0.5] * 3], [1, -1], 2 * 1.74756459463318, 1),
    "caesium chloride": (np.eye(3), [[0, 0, 0], [0.5] * 3], [1, -1], 2.0353615094526, 1),
    "zincblende": (FCC, [[0, 0, 0], [0.25] * 3], [1, -1], 4 / ROOT3 * 1.63805505338879, 1),
    "wurtzite": (
        HEXAGONAL,
        [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 1 / 2], [1 / 3, 2 / 3, 3 / 8], [2 / 3, 1 / 3, 7 / 8]],
        [1, 1, -1, -1],
        1.641321627 / math.sqrt(3 / 8),
        2,
    ),
    "fluorite": (FCC, [[0, 0, 0], [0.25] * 3, [0.75] * 3], [2, -1, -1], 11.6365752270768, 1),
    "cuprite": (
        np.eye(3),
        [
            [0, 0, 0],
            [0.5] * 3,
            [0.25, 0.25, 0.25],
            [0.25, 0.75, 0.75],
            [0.75, 0.25, 0.75],
            [0.75, 0.75, 0.25],
        ],
        [-2, -2, 1, 1, 1, 1],
        10.2594570330750,
        2,
    ),
    "perovskite": (
        np.eye(3),
        [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
        [2, 4, -2, -2, -2],
        2 * 24.75493606,  # 24.7549 in the literature; further digits from Ewald's sum below
        1,
    ),
}
SMEARING = 0.06  # of the length unit; the next site is 0.43 away, erfc(0.43 / sqrt2 s) = 6e-13


def lattice(cell, fractional, charges, scale=1.0) -> Structures:
    """One species per charge, so that charges are weights of species."""
    kinds = np.unique(charges, return_inverse=True)[1] + 1
    cell = np.asarray(cell) * scale
    return Structures.from_arrays(
        [np.asarray(fractional) @ cell], [kinds], [cell], [np.full(3, True)]
    )


def potentials(structures, charges, *, radius, center_weight, smearing=SMEARING):
    """Potential of all charges at each site, averaged over a sphere."""
    field = SmearedPotential(smearing, 1.0)
    expansion = FieldExpansion(field, Monomials(1, radius), 0, center_weight=center_weight)
    weights = torch.tensor(np.unique(charges), dtype=torch.float64)
    species = tuple(range(1, len(weights) + 1))
    coefficients = block(expand(expansion, structures, species=species, tolerance=1e-11), 0)
    coefficients = coefficients[:, 0]  # [site, species]
    sphere_average = (
        math.sqrt(4 * math.pi) / math.sqrt(3 / radius**3) / (4 * math.pi / 3 * radius**3)
    )
    return (coefficients @ weights * sphere_average).numpy()


def ewald_energy(cell, fractional, charges, split):
    """Energy of point charges from Ewald's formula, a second opinion with no code of ours."""
    charges = np.asarray(charges, dtype=float)
    positions = np.asarray(fractional) @ cell
    steps = np.array(list(np.ndindex(13, 13, 13))) - 6
    apart = positions[:, None] - positions[None, :]
    shifted = np.linalg.norm(apart[..., None, :] + steps @ cell, axis=-1)
    shifted[shifted < 1e-9] = np.inf
    erfc = np.vectorize(math.erfc)(np.minimum(split * shifted, 20))
    real = np.where(shifted < 6 / split, erfc / shifted, 0).sum(axis=-1)
    k = steps @ (2 * np.pi * np.linalg.inv(cell)).T
    square = (k**2).sum(axis=1)
    k, square = k[square > 0], square[square > 0]
    volume = abs(np.linalg.det(cell))
    waves = 4 * np.pi / volume * np.exp(-square / (4 * split**2)) / square
    reciprocal = np.cos(apart @ k.T) @ waves
    background = -np.pi / (volume * split**2)
    kernel = real + reciprocal + background - np.eye(len(charges)) * 2 * split / math.sqrt(np.pi)
    return 0.5 * charges @ kernel @ charges


@pytest.mark.parametrize("scale", [0.5, 3.0])
@pytest.mark.parametrize("name", CRYSTALS)
def test_own_gaussian_removed_by_hand(name, scale):
    """A tiny sphere and the known value 2 / (sqrt(2 pi) s) of the site's own field."""
    cell, sites, charges, expected, units = CRYSTALS[name]
    structures, smearing = lattice(cell, sites, charges, scale), SMEARING * scale
    found = potentials(
        structures, charges, radius=1e-4 * smearing, center_weight=1.0, smearing=smearing
    )
    found = found - np.asarray(charges) * 2 / (math.sqrt(2 * math.pi) * smearing)
    energy = 0.5 * float(np.dot(charges, found)) * scale / units
    assert energy == pytest.approx(-expected, rel=1e-6)


@pytest.mark.parametrize("radius", [0.01, 0.1])
@pytest.mark.parametrize("name", CRYSTALS)
def test_own_gaussian_removed_by_the_center_weight(name, radius):
    """Without the own field the mean value theorem holds for any sphere free of other sites."""
    cell, sites, charges, expected, units = CRYSTALS[name]
    found = potentials(lattice(cell, sites, charges), charges, radius=radius, center_weight=0.0)
    energy = 0.5 * float(np.dot(charges, found)) / units
    assert energy == pytest.approx(-expected, rel=1e-6)
    assert energy * units == pytest.approx(ewald_energy(cell, sites, charges, 2.5), rel=5e-9)


BCC = 0.5 * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
WIGNER = {  # energy times Wigner-Seitz radius
    "simple cubic": (np.eye(3), 0.880059442),
    "body-centred": (BCC, 0.895929256),
    "face-centred": (FCC, 0.895873616),
}


@pytest.mark.parametrize("name", WIGNER)
def test_wigner_lattices(name):
    """One kind of charge: the dropped k = 0 term is a background, but of point charges it is not.

    A Gaussian of width s has the transform 4 pi / k^2 - 2 pi s^2 at small k, so that the mean of
    the field is 2 pi s^2 / volume above that of point charges in the background.
    """
    cell, expected = WIGNER[name]
    volume = abs(np.linalg.det(cell))
    radius = (3 * volume / (4 * math.pi)) ** (1 / 3)
    sphere = 0.05
    found = potentials(lattice(cell, [[0, 0, 0]], [1]), [1], radius=sphere, center_weight=0.0)
    # inside of a sphere the uniform background is a parabola with the mean 2 pi / 3 V * 3 R^2 / 5
    curvature = 2 * math.pi / (5 * volume) * sphere**2
    energy = 0.5 * (float(found[0]) - 2 * math.pi * SMEARING**2 / volume - curvature)
    assert energy * radius == pytest.approx(-expected, rel=1e-6)
