"""An Ewald split of a crystal: pairs of the screened field and waves of the wide one."""

import itertools
import math

import pytest
import torch

from crystals import (
    relative_difference,
    skewed_chloride,
    species_of,
    structures_of,
    triclinic_perovskite,
)
from multilode.expansion import FieldExpansion, PairSum, ReciprocalSum, expand
from multilode.fields import SmearedPotential, between
from multilode.fields.cutoffs import StepCutoff
from multilode.radial import GaussianTypeOrbitals, Monomials
from multilode.radial.tables import real_reach, reciprocal_table
from multilode.symmetry.irrep import Irrep
from often import often

SMEARING = 0.5


def by_split(atoms, exponent, basis, screening, tolerance=1e-10):
    """Coefficients from both parts; what enters at k = 0 is that of the whole field alone."""
    structures, species = structures_of(atoms), species_of(atoms)
    screened = between(SmearedPotential(SMEARING, exponent), 0.0, screening)
    reach = real_reach(screened, basis, 3, tolerance)
    narrow = FieldExpansion(screened, basis, 3, reach, StepCutoff())
    wide = FieldExpansion(SmearedPotential(screening, exponent), basis, 3)
    total = expand(narrow, structures, species=species, method=PairSum(tolerance))
    waves = expand(wide, structures, species=species, method=ReciprocalSum(tolerance))
    for irrep, block in waves.blocks.items():
        total.blocks[irrep] += block
    whole = SmearedPotential(SMEARING, exponent)
    kept = whole.fourier_origin() - wide.field.fourier_origin()
    mean = (kept - screened.fourier_origin()) * math.sqrt(4 * math.pi)
    flat = reciprocal_table(whole, basis, 3, 1e-10).origin  # projection of a constant on R_n0
    counts = (structures.species[None, :] == torch.tensor(species)[:, None]).sum(dim=1)
    background = counts[:, None] * (mean / structures.volumes[0]) * flat
    total.blocks[Irrep(0)] += background.flatten()
    return total


def whole(atoms, exponent, basis):
    expansion = FieldExpansion(SmearedPotential(SMEARING, exponent), basis, 3)
    return expand(expansion, structures_of(atoms), species=species_of(atoms))


EXPONENTS = [0.5, 1.0, 2.0, 2.7, 3.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("exponent", "screening"),
    often(
        itertools.product(EXPONENTS, (0.6, 0.9, 1.4)),
        [*itertools.product((0.5, 1.0, 3.0, 6.0), (0.9,)), (1.0, 0.6), (2.7, 1.4)],
    ),
)
def test_the_split_does_not_show(exponent, screening):
    atoms, basis = triclinic_perovskite(), Monomials(2, 1.5)
    split = by_split(atoms, exponent, basis, screening)
    assert relative_difference(split, whole(atoms, exponent, basis)) < 1e-9


@pytest.mark.parametrize("exponent", [1.0, 6.0])
def test_the_split_in_a_gto_basis(exponent):
    atoms, basis = skewed_chloride(), GaussianTypeOrbitals(3, 2.0)
    split = by_split(atoms, exponent, basis, 0.9)
    assert relative_difference(split, whole(atoms, exponent, basis)) < 1e-9


def test_the_reach_costs_no_more_than_its_tolerance():
    atoms, basis = triclinic_perovskite(), Monomials(2, 1.5)
    exact, errors = whole(atoms, 1.0, basis), []
    for tolerance in (1e-3, 1e-5, 1e-7):
        errors.append(relative_difference(by_split(atoms, 1.0, basis, 1.2, tolerance), exact))
        assert errors[-1] < 2 * tolerance
    assert errors[0] > 1e-7  # a loose tolerance really leaves something out
