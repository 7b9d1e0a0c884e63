"""Real and reciprocal space give the same numbers, whatever the split between them."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from crystals import (
    one_atom_crystal,
    relative_difference,
    skewed_chloride,
    species_of,
    structures_of,
    tiny_cell,
    triclinic_perovskite,
    wurtzite,
)
from multilode.equivariants.blocks import Equivariants
from multilode.expansion import FieldExpansion, PairSum, ReciprocalSum, expand
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import StepCutoff
from multilode.radial import (
    GaussianTypeOrbitals,
    LaplacianEigenstates,
    Monomials,
    TabulatedBasis,
    orthonormalize,
)
from multilode.symmetry.irrep import Irrep
from often import often

BASES = {
    "gto": GaussianTypeOrbitals(3, 2.0),
    "monomial": Monomials(3, 2.0),
    "laplacian": LaplacianEigenstates(3, 2.0),
    "tabulated": TabulatedBasis.from_function(
        lambda r: np.stack([(2 - r) ** (n + 2) for n in range(3)]), 2.0
    ),
}
CRYSTALS = {
    "triclinic": triclinic_perovskite,
    "one atom": one_atom_crystal,
    "cell near the smearing": tiny_cell,
    "skewed": skewed_chloride,
    "hexagonal": wurtzite,
}


def in_both_spaces(expansion, atoms):
    structures, species = structures_of(atoms), species_of(atoms)
    real = expand(expansion, structures, species=species, method=PairSum(1e-10))
    everything = replace(expansion, neighbor_cutoff=None)  # which a sum over waves always takes
    reciprocal = expand(everything, structures, species=species, method=ReciprocalSum(1e-10))
    return real, reciprocal


@pytest.mark.parametrize("crystal", CRYSTALS)
@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("smearing", [0.5, 1.0])
def test_density(smearing, basis, crystal):
    reach = BASES[basis].support + 8 * smearing
    field = GaussianDensity(smearing)
    expansion = FieldExpansion(field, BASES[basis], 4, reach, StepCutoff(), center_weight=0.6)
    real, reciprocal = in_both_spaces(expansion, CRYSTALS[crystal]())
    assert relative_difference(real, reciprocal) < 1e-8


@pytest.mark.parametrize("crystal", ["triclinic", "one atom", "skewed"])
@pytest.mark.parametrize("basis", ["monomial", "laplacian", "tabulated"])
def test_a_potential_that_converges_in_real_space(basis, crystal):
    """p = 12: the sum beyond 24 Å is below 1e-9 of the field at the centers."""
    expansion = FieldExpansion(SmearedPotential(0.7, 12.0), BASES[basis], 4, 24.0, StepCutoff())
    real, reciprocal = in_both_spaces(expansion, CRYSTALS[crystal]())
    assert relative_difference(real, reciprocal) < 1e-8


def test_dispersion_converges_to_the_lattice_sum():
    """p = 6 in real space misses 4 pi density / (3 R^3): with that added it agrees."""
    atoms, basis = one_atom_crystal(), Monomials(2, 1.5)
    structures, species = structures_of(atoms), species_of(atoms)
    field = SmearedPotential(0.8, 6.0)
    sums, density = [], 1 / float(structures.volumes[0])
    exact = expand(FieldExpansion(field, basis, 2), structures, species=species)
    for reach in (20.0, 30.0):
        expansion = FieldExpansion(field, basis, 2, reach, StepCutoff())
        sums.append(expand(expansion, structures, species=species).blocks[Irrep(0)])
        tail = 4 * math.pi * density / (3 * reach**3) * flat_integrals(basis)
        error = (sums[-1] + tail - exact.blocks[Irrep(0)]).abs().max()
        assert error < 0.03 * tail.abs().max()  # shells of a crystal fluctuate about the mean
        assert (sums[-1] - exact.blocks[Irrep(0)]).abs().max() > 0.5 * tail.abs().max()


def flat_integrals(basis):
    """Projection of the constant 1 on the basis functions of l = 0."""
    functions = orthonormalize(basis, 0)
    integrals = functions.values[0] @ (functions.weights * functions.r**2)
    return torch.from_numpy(math.sqrt(4 * math.pi) * integrals)


def flat_difference(exponent, smearing, other):
    """Limit k -> 0 of v_s^ - v_s'^: Gamma(a, x) = Gamma(a) - x^a / a + ..., a = (3 - p) / 2."""
    front = math.pi**1.5 * 2 ** (3 - exponent) / math.gamma(exponent / 2)
    a = (3 - exponent) / 2
    if a == 0:
        return -front * 2 * math.log(smearing / other)
    return -front / a * ((smearing**2 / 2) ** a - (other**2 / 2) ** a)


def difference(left: Equivariants, right: Equivariants) -> Equivariants:
    blocks = {irrep: left.blocks[irrep] - right.blocks[irrep] for irrep in left.blocks}
    return Equivariants(blocks, left.labels, left.centers)


EXPONENTS = [0.4, 1.0, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.3]


@pytest.mark.parametrize(
    ("exponent", "other"),
    often(
        itertools.product(EXPONENTS, (1.0, 1.3)),
        [(0.4, 1.3), (1.0, 1.0), (2.5, 1.0), (3.0, 1.3), (4.0, 1.0), (7.3, 1.3)],
    ),
)
def test_ewald_split(exponent, other):
    """V_s - V_s' has Gaussian range: pairs and waves agree on it, up to the mean for p <= 3."""
    atoms, basis, smearing = triclinic_perovskite(), Monomials(2, 1.5), 0.6
    reach = 1.5 + 9 * other
    narrow = FieldExpansion(
        SmearedPotential(smearing, exponent), basis, 3, reach, StepCutoff(), center_weight=0.3
    )
    wide = replace(narrow, field=SmearedPotential(other, exponent))
    real_narrow, waves_narrow = in_both_spaces(narrow, atoms)
    real_wide, waves_wide = in_both_spaces(wide, atoms)
    real, waves = difference(real_narrow, real_wide), difference(waves_narrow, waves_wide)
    structures = structures_of(atoms)
    kinds = torch.tensor(species_of(atoms))
    counts = (structures.species[None, :] == kinds[:, None]).sum(dim=1).double()
    if exponent <= 3:
        mean = flat_difference(exponent, smearing, other) / float(structures.volumes[0])
        constant = counts[:, None] * mean * flat_integrals(basis)
        waves.blocks[Irrep(0)][:, 0] += constant.flatten()
    assert relative_difference(real, waves) < 1e-8


@pytest.mark.parametrize("exponent", [1.0, 2.5, 3.0])
def test_neutral_combinations_do_not_see_the_split(exponent):
    """For p <= 3 the mean of each species is dropped; for one Cs less one Cl nothing is lost."""
    atoms, basis = skewed_chloride(), Monomials(2, 1.5)
    narrow = FieldExpansion(SmearedPotential(0.6, exponent), basis, 3, 11.0, StepCutoff())
    wide = replace(narrow, field=SmearedPotential(1.0, exponent))
    real_narrow, waves_narrow = in_both_spaces(narrow, atoms)
    real_wide, waves_wide = in_both_spaces(wide, atoms)
    real, waves = difference(real_narrow, real_wide), difference(waves_narrow, waves_wide)
    for irrep in real.blocks:
        found, expected = (
            e.blocks[irrep][:, :, :2] - e.blocks[irrep][:, :, 2:] for e in (real, waves)
        )
        assert (found - expected).abs().max() < 1e-8 * expected.abs().max() + 1e-9


def test_ewald_split_in_a_gto_basis():
    """Functions without a sharp end, with the reach of their tails."""
    atoms, basis = skewed_chloride(), GaussianTypeOrbitals(3, 2.0)
    narrow = FieldExpansion(SmearedPotential(0.5, 1.0), basis, 3, basis.support + 8, StepCutoff())
    wide = replace(narrow, field=SmearedPotential(0.8, 1.0))
    real_narrow, waves_narrow = in_both_spaces(narrow, atoms)
    real_wide, waves_wide = in_both_spaces(wide, atoms)
    real, waves = difference(real_narrow, real_wide), difference(waves_narrow, waves_wide)
    mean = flat_difference(1.0, 0.5, 0.8) / float(structures_of(atoms).volumes[0])
    waves.blocks[Irrep(0)][:, 0] += (mean * flat_integrals(basis)).repeat(2)
    assert relative_difference(real, waves) < 1e-8


@pytest.mark.parametrize("method", ["pairs", "waves"])
def test_a_looser_tolerance_costs_no_more_than_it_says(method):
    atoms = triclinic_perovskite()
    structures, species = structures_of(atoms), species_of(atoms)
    field = GaussianDensity(0.6)
    expansion = FieldExpansion(field, Monomials(3, 2.0), 4, 7.0, StepCutoff())
    make = PairSum if method == "pairs" else ReciprocalSum
    exact = expand(expansion, structures, species=species, method=make(1e-12))
    errors = []
    for tolerance in (1e-4, 1e-6, 1e-8, 1e-10):
        loose = expand(expansion, structures, species=species, method=make(tolerance))
        errors.append(relative_difference(loose, exact))
        assert errors[-1] < 5 * tolerance
    assert errors[0] > 1e-9  # a loose tolerance really does less work


def test_sphere_of_waves_grows_smoothly_with_the_cell():
    """Waves that enter the sphere as the cell grows must not show: a jump breaks the stress."""
    atoms = triclinic_perovskite()
    expansion = FieldExpansion(SmearedPotential(0.8, 1.0), Monomials(2, 2.0), 3)
    values = []
    for n in range(9):
        strained = atoms.copy()
        strained.set_cell(atoms.cell[:] * (1 + 1e-3 * n), scale_atoms=True)
        result = expand(expansion, structures_of(strained), species=species_of(atoms))
        values.append(torch.cat([result.blocks[i].flatten() for i in sorted(result.blocks)]))
    curve = torch.stack(values)
    fourth = curve.diff(n=4, dim=0)  # of order (1e-3)^4 for a smooth function
    assert fourth.abs().max() < 1e-8 * curve.abs().max()
