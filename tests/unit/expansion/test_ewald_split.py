"""What an Ewald split refuses, and what it hands on."""

import pytest
import torch

from crystals import stacked, structures_of, triclinic_perovskite
from multilode.expansion import (
    EwaldSplit,
    FieldExpansion,
    Mesh,
    ReciprocalSum,
    ewald_split,
    expand,
)
from multilode.expansion.pairs.pair_sum import PAIR_BYTES
from multilode.fields import GaussianDensity, SmearedPotential, between
from multilode.numerics.limits import limits
from multilode.radial import Monomials
from multilode.radial.tables import real_reach
from multilode.structures.neighbors import pairs_within

SPECIES = (8, 22, 38)
EXPANSION = FieldExpansion(SmearedPotential(0.6, 1.0), Monomials(2, 2.0), 3)
CRYSTAL = structures_of(triclinic_perovskite())


def split(**settings):
    return stacked(expand(EXPANSION, CRYSTAL, species=SPECIES, method=EwaldSplit(**settings)))


def test_the_default_screening_is_twice_the_smearing():
    for long_range in (Mesh, ReciprocalSum):
        default = split(tolerance=1e-6, long_range=long_range)
        given = split(tolerance=1e-6, screening=1.2, long_range=long_range)
        torch.testing.assert_close(default, given, rtol=0, atol=1e-12)


def test_different_splits_are_different_sums():
    """The independence of the split is no tautology: it really divides differently."""
    values = [split(tolerance=1e-5, screening=s, long_range=ReciprocalSum) for s in (0.7, 1.2, 2.0)]
    for a in range(3):
        difference = (values[a] - values[a - 1]).abs().max() / values[a].abs().max()
        assert 1e-12 < difference < 2e-5


@pytest.mark.parametrize("screening", [0.6, 0.3])
def test_a_screening_must_be_wider_than_the_field(screening):
    said = rf"screening is {screening} Å; it must exceed the smearing of 0.6 Å and be at most 100 Å"
    with pytest.raises(ValueError, match=said):
        split(screening=screening)


@pytest.mark.parametrize("screening", [0.0, -1.0, 101.0, float("nan"), float("inf")])
def test_a_screening_that_no_field_allows(screening):
    with pytest.raises(ValueError, match=r"screening is .* it must exceed the smearing and be at"):
        EwaldSplit(screening=screening)
    with pytest.raises(TypeError, match="screening is True; give a length in Å, or None"):
        EwaldSplit(screening=True)


def test_a_field_too_wide_for_the_default():
    wide = FieldExpansion(SmearedPotential(60.0, 1.0), Monomials(2, 2.0), 1)
    with pytest.raises(ValueError, match="a smearing of 60 Å is too wide for an Ewald split by"):
        expand(wide, CRYSTAL, species=SPECIES, method=EwaldSplit(1e-4))


@pytest.mark.parametrize("axes", [3, 2, 1])
def test_a_screening_too_wide_for_a_structure(axes, monkeypatch):
    """What is foreseen is about what there is: the limit lies between."""
    atoms = triclinic_perovskite() * (2, 2, 2)
    atoms.pbc = [True] * axes + [False] * (3 - axes)
    structures = structures_of(atoms)
    wide = EwaldSplit(1e-3, 4.0)
    reach = real_reach(between(SmearedPotential(0.6, 1.0), 0.0, 4.0), EXPANSION.basis, 3, 1e-3)
    pairs = len(pairs_within(structures, reach).center)
    said = r"structure 0: a split at 4 Å, with .* a smaller screen"
    with limits(memory=PAIR_BYTES[False] * pairs / 4), pytest.raises(ValueError, match=said):
        expand(EXPANSION, structures, species=SPECIES, method=wide)
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(ewald_split, "require_bytes", lambda needed, *_, **__: asked.append(needed))
        expand(EXPANSION, structures, species=SPECIES, method=wide)
    assert 0.8 < asked[0] / (PAIR_BYTES[False] * pairs) < 3


def test_a_density_has_nothing_to_split():
    density = FieldExpansion(GaussianDensity(0.6), Monomials(2, 2.0), 3, 20.0)
    with pytest.raises(ValueError, match="an Ewald split divides fields with long tails, not"):
        expand(density, CRYSTAL, species=SPECIES, method=EwaldSplit(1e-10))


@pytest.mark.parametrize("tolerance", [0.0, 1e-13, 0.1])
def test_tolerances_out_of_range(tolerance):
    with pytest.raises(ValueError, match=r"it must lie between 1e-12 and 0\.01"):
        EwaldSplit(tolerance)


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_the_weight_of_the_center(weight):
    expansion = FieldExpansion(
        SmearedPotential(0.6, 2.0), Monomials(2, 2.0), 3, center_weight=weight
    )
    found, expected = (
        stacked(expand(expansion, CRYSTAL, species=SPECIES, method=m))
        for m in (EwaldSplit(1e-8), ReciprocalSum(1e-11))
    )
    assert (found - expected).abs().max() < 1e-8 * expected.abs().max()
