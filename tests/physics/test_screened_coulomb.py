"""The screened Coulomb potential: Debye sums by brute force, every method, and its limits."""

import itertools
from dataclasses import replace

import ase
import numpy as np
import pytest
import torch
from scipy.special import erfc, roots_legendre

from crystals import (
    isolated_cluster,
    relative_difference,
    skewed_chloride,
    species_of,
    stacked,
    structures_of,
    triclinic_perovskite,
)
from multilode.equivariants.rotation import rotate_equivariants
from multilode.expansion import EwaldSplit, FieldExpansion, Mesh, PairSum, ReciprocalSum, expand
from multilode.expansion.auto import choose_all
from multilode.expansion.problem import Problem
from multilode.fields import GaussianDensity, SmearedPotential, YukawaPotential
from multilode.radial import Monomials
from multilode.radial.orthonormal import orthonormal_functions
from multilode.radial.tables import real_reach
from often import often
from quadrature import real_harmonics

BASIS = Monomials(2, 1.5)
PERIODS = {"crystal": (1, 1, 1), "slab": (1, 1, 0), "wire": (0, 1, 0), "molecule": (0, 0, 0)}


def two_ions(pbc=(1, 1, 1)) -> ase.Atoms:
    cell = [[2.9, 0.0, 0.2], [0.5, 3.2, 0.0], [-0.3, 0.4, 3.6]]
    return ase.Atoms("NaCl", [[0.1, 0.2, 0.3], [1.5, 1.3, 1.9]], cell=cell, pbc=pbc)


def debye_sum(points, atoms, number, smearing, length):
    """The closed form of each charge, summed over all images that are not nothing."""
    n = [18 if periodic else 0 for periodic in atoms.pbc]
    images = np.stack(np.meshgrid(*(np.arange(-k, k + 1) for k in n)), axis=-1).reshape(-1, 3)
    total = np.zeros(len(points))
    for position in atoms.positions[atoms.numbers == number]:
        for shift in np.array_split(images @ atoms.cell[:], 1 + len(images) // 500):
            r = np.linalg.norm(points[:, None] - position - shift, axis=-1)
            a, y = smearing / (np.sqrt(2) * length), r / (np.sqrt(2) * smearing)
            inner = np.exp(-r / length) * erfc(a - y)
            total += (np.exp(a**2) / (2 * r) * (inner - np.exp(r / length) * erfc(a + y))).sum(1)
    return total


@pytest.mark.parametrize(
    "periodicity",
    [pytest.param(p, marks=pytest.mark.slow) if p == "crystal" else p for p in PERIODS],
)
def test_debye_sums_by_brute_force(periodicity):
    """Coefficients of one center from the potential on a product grid around it."""
    atoms, smearing, length = two_ions(PERIODS[periodicity]), 0.7, 1.4
    cosine, weights = roots_legendre(10)
    nodes, shells = roots_legendre(9)
    radii, shells = 0.75 * (nodes + 1), 0.75 * shells
    azimuth = 2 * np.pi * np.arange(20) / 20
    sine = np.sqrt(1 - cosine**2)
    x, y = np.outer(sine, np.cos(azimuth)), np.outer(sine, np.sin(azimuth))
    directions = np.stack([x, y, np.outer(cosine, np.ones(20))], axis=-1).reshape(-1, 3)
    area = np.outer(weights, np.full(20, np.pi / 10)).ravel()
    points = (radii[:, None, None] * directions).reshape(-1, 3) + atoms.positions[0]
    expansion = FieldExpansion(YukawaPotential(smearing, length), BASIS, 2)
    found = expand(expansion, structures_of(atoms), species=(11, 17))
    scale = float(stacked(found).abs().max())
    for l, (irrep, block) in enumerate(found.blocks.items()):
        assert irrep.degree == l
        functions = orthonormal_functions(BASIS, radii, l) * shells * radii**2
        for a, number in enumerate((11, 17)):
            values = debye_sum(points, atoms, number, smearing, length).reshape(len(radii), -1)
            expected = (functions @ ((values * area) @ real_harmonics(directions, l))).T
            ours = block[0].unflatten(1, (2, 2))[:, a]
            np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-8 * scale)


@pytest.mark.parametrize(
    ("periodicity", "length"),
    often(
        itertools.product(PERIODS, (0.6, 2.0)),
        [("crystal", 2.0), ("slab", 0.6), ("wire", 2.0), ("molecule", 0.6)],
    ),
)
def test_every_method(periodicity, length):
    atoms = triclinic_perovskite()
    atoms.pbc = PERIODS[periodicity]
    structures, species = structures_of(atoms), species_of(atoms)
    expansion = FieldExpansion(YukawaPotential(0.6, length), BASIS, 3)
    expected = expand(expansion, structures, species=species, method=ReciprocalSum(1e-12))
    methods = [PairSum(1e-9), EwaldSplit(1e-9), EwaldSplit(1e-9, 1.1, ReciprocalSum), Mesh(1e-9)]
    for method in (*methods, "auto"):
        found = expand(expansion, structures, species=species, method=method)
        assert relative_difference(found, expected) < 1e-8


@pytest.mark.parametrize("periodicity", ["crystal", "slab"])
def test_a_split_of_a_long_screening(periodicity):
    """A wide part whose screening sets in beyond the cell, at any width."""
    structures = structures_of(two_ions(PERIODS[periodicity]))
    expansion = FieldExpansion(YukawaPotential(0.5, 80.0), BASIS, 2)
    expected = expand(expansion, structures, species=(11, 17), method=ReciprocalSum(1e-12))
    for screening in (0.6, 1.5):
        for kind in (Mesh, ReciprocalSum):
            method = EwaldSplit(1e-9, screening, kind)
            found = expand(expansion, structures, species=(11, 17), method=method)
            assert relative_difference(found, expected) < 2e-8


@pytest.mark.parametrize("periodicity", PERIODS)
def test_without_screening_neutral_combinations_are_coulomb(periodicity):
    structures = structures_of(two_ions(PERIODS[periodicity]))

    def neutral(field):
        expansion = FieldExpansion(field, BASIS, 2)
        blocks = expand(expansion, structures, species=(11, 17), method=ReciprocalSum(1e-11))
        values = stacked(blocks).unflatten(1, (-1, 2, 2))
        return values[:, :, 0] - values[:, :, 1]

    coulomb = neutral(SmearedPotential(0.7, 1.0))
    errors = [
        float((neutral(YukawaPotential(0.7, length)) - coulomb).abs().max())
        for length in (100.0, 1000.0)
    ]
    assert errors[1] < 0.15 * errors[0]
    assert errors[1] < 1e-2 * float(coulomb.abs().max())


def test_near_and_far_add_up():
    structures, species = structures_of(skewed_chloride()), species_of(skewed_chloride())
    whole = FieldExpansion(YukawaPotential(0.7, 3.0), BASIS, 2)
    parts = [replace(whole, range=name, near_radius=3.0) for name in ("near", "far")]
    near, far, total = (stacked(expand(e, structures, species=species)) for e in (*parts, whole))
    torch.testing.assert_close(near + far, total, rtol=0, atol=1e-7)
    assert float(far.abs().max()) > 1e-3 * float(total.abs().max())


def test_a_cutoff_bounds_the_neighbors():
    structures = structures_of(skewed_chloride())
    expansion = FieldExpansion(YukawaPotential(0.7, 3.0), BASIS, 2, 4.0)
    coulomb = replace(expansion, field=YukawaPotential(0.7, 1e4))
    found, other = (
        stacked(expand(e, structures, species=species_of(skewed_chloride())))
        for e in (expansion, coulomb)
    )
    assert found.abs().max() < other.abs().max()


def test_coefficients_rotate():
    matrix = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0])
    atoms = two_ions((1, 1, 0))
    structures = structures_of(atoms)
    turned = replace(
        structures, positions=structures.positions @ matrix.T, cell=structures.cell @ matrix.T
    )
    expansion = FieldExpansion(YukawaPotential(0.6, 2.0), BASIS, 3)
    before, after = (expand(expansion, s, species=(11, 17)) for s in (structures, turned))
    assert relative_difference(after, rotate_equivariants(before, matrix)) < 1e-8


@pytest.mark.parametrize("periodicity", ["crystal", "slab", "molecule"])
def test_derivatives_in_everything(periodicity):
    """Positions, cell, smearing and screening length, first and second."""
    structures = structures_of(two_ions(PERIODS[periodicity]))
    inputs = [structures.positions, structures.cell, *map(torch.tensor, (0.8, 1.7))]
    inputs = [t.double().clone().requires_grad_() for t in inputs]
    method = PairSum(1e-11) if periodicity == "molecule" else ReciprocalSum(1e-11)

    def function(positions, cell, smearing, length):
        moved = replace(structures, positions=positions, cell=cell)
        expansion = FieldExpansion(YukawaPotential(smearing, length), Monomials(1, 1.5), 1)
        values = stacked(expand(expansion, moved, species=(11, 17), method=method))
        return (values**2).sum() + values.sum()

    if periodicity == "molecule":
        inputs[1].requires_grad_(requires_grad=False)
    how = {"eps": 1e-5, "fast_mode": True}  # along random directions
    assert torch.autograd.gradcheck(function, inputs, atol=1e-6, rtol=1e-5, **how)
    assert torch.autograd.gradgradcheck(function, inputs, atol=1e-5, rtol=1e-4, **how)


@pytest.mark.parametrize("periodicity", PERIODS)
def test_a_field_that_ends_needs_no_cutoff(periodicity):
    """It is summed as far as it reaches: a density in a crystal, by pairs and by waves."""
    atoms = triclinic_perovskite()
    atoms.pbc = PERIODS[periodicity]
    structures, species = structures_of(atoms), species_of(atoms)
    expansion = FieldExpansion(GaussianDensity(0.5), BASIS, 3)
    pairs, waves, chosen = (
        expand(expansion, structures, species=species, method=method)
        for method in (PairSum(1e-9), ReciprocalSum(1e-11), "auto")
    )
    assert relative_difference(pairs, waves) < 1e-8
    assert relative_difference(chosen, waves) < 1e-7
    assert real_reach(expansion.field, BASIS, 3, 1e-10) < 1.5 + 9 * 0.5


def test_the_choice_of_a_method_knows_where_a_field_ends():
    """A short screening in a large crystal is a sum over pairs, a long one is none."""
    structures = structures_of(isolated_cluster(), triclinic_perovskite() * (3, 3, 3))
    short, long = (
        choose_all(
            Problem.checked(
                FieldExpansion(YukawaPotential(0.3, length), BASIS, 3),
                structures,
                (1, 6, 8, 22, 38),
                None,
                1e-4,
            )
        )
        for length in (0.1, 1000.0)
    )
    assert [type(m) for m in short] == [PairSum, PairSum]
    assert isinstance(long[0], PairSum)
    assert not isinstance(long[1], PairSum)


def test_slopes_in_the_parameters_by_every_sum():
    """Both parts of a split depend on the smearing; changed in place, a parameter is seen."""
    structures = structures_of(two_ions())
    parameters = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.6, 2.0)]

    def slopes(chosen):
        expansion = FieldExpansion(YukawaPotential(*parameters), Monomials(1, 1.0), 1)
        values = stacked(expand(expansion, structures, species=(11, 17), method=chosen))
        return torch.stack(torch.autograd.grad((values**2).sum(), parameters))

    for _ in range(2):
        expected = slopes(ReciprocalSum(1e-11))
        for method in (EwaldSplit(1e-9), EwaldSplit(1e-9, 1.3, ReciprocalSum), Mesh(1e-9)):
            torch.testing.assert_close(slopes(method), expected, rtol=1e-6, atol=0)
        with torch.no_grad():
            parameters[0].mul_(1.01)
