"""Every row of every table passes the public checks; a row without examples fails here."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from crystals import isolated_cluster, species_of, structures_of, triclinic_perovskite, water_in_box
from multilode.expansion import (
    METHODS,
    EwaldSplit,
    FieldExpansion,
    Mesh,
    PairSum,
    ReciprocalSum,
    expand,
)
from multilode.fields import FIELDS, GaussianDensity, SmearedPotential, YukawaPotential
from multilode.fields.cutoffs import CUTOFF_FUNCTIONS, RadialScaling, ShiftedCosine, StepCutoff
from multilode.radial import (
    RADIAL_BASES,
    GaussianTypeOrbitals,
    LaplacianEigenstates,
    Monomials,
    TabulatedBasis,
)
from multilode.testing import (
    check_cutoff_function,
    check_field,
    check_method,
    check_radial_basis,
)
from often import often
from quadrature import coefficients_by_quadrature


def bumps(r):
    return np.stack([np.exp(-((r - center) ** 2)) * (3 - r) ** 2 for center in (0.5, 1.5, 2.5)])


FIELD_EXAMPLES = [
    *[GaussianDensity(s) for s in (0.3, 1.0)],
    *[SmearedPotential(0.7, p) for p in (0.05, 0.5, 1.0, 1.5, 2.0, 2.5, 2.999, 3.0, 3.001, 3.5)],
    *[SmearedPotential(1.3, p) for p in (1.0, 4.0, 5.0, 5.5, 6.0, 7.0, 9.0, 12.0, 20.0)],
    *[YukawaPotential(0.7, length) for length in (0.3, 1.0, 20.0)],
]
BASIS_EXAMPLES = [
    *[GaussianTypeOrbitals(n, c) for n, c in ((1, 0.5), (4, 3.0), (6, 5.0), (8, 6.0))],
    *[Monomials(n, c) for n, c in ((1, 0.01), (1, 3.0), (4, 4.0))],
    *[LaplacianEigenstates(n, c) for n, c in ((1, 2.0), (5, 3.0), (10, 6.0))],
    TabulatedBasis.from_function(bumps, 3.0),
]
CUTOFF_EXAMPLES = [
    StepCutoff(),
    ShiftedCosine(0.5),
    ShiftedCosine(4.0),
    RadialScaling(2.0, 4.0, 1.0, 0.5),
    RadialScaling(1.0, 7.0, 0.3, 2.0),
]


# regimes of a field in each run, all values with the slow physics; the walk of tests/smoke checks
# a Coulomb potential, and each face of the screened one has a test of its own
OFTEN = [GaussianDensity(0.3), SmearedPotential(1.3, 6.0)]
OFTEN += [SmearedPotential(0.7, p) for p in (0.05, 3.0)]


@pytest.mark.parametrize("field", often(FIELD_EXAMPLES, OFTEN), ids=repr)
def test_fields(field):
    check_field(field)


@pytest.mark.parametrize("basis", BASIS_EXAMPLES, ids=lambda b: f"{type(b).__name__}-{b.n_radial}")
def test_radial_bases(basis):
    check_radial_basis(basis)


@pytest.mark.parametrize("function", CUTOFF_EXAMPLES, ids=repr)
def test_cutoff_functions(function):
    check_cutoff_function(function)


def test_every_row_of_every_table_has_an_example():
    assert {type(f) for f in FIELD_EXAMPLES} == set(FIELDS.values())
    assert {type(b) for b in BASIS_EXAMPLES} == set(RADIAL_BASES.values())
    assert {type(c) for c in CUTOFF_EXAMPLES} == set(CUTOFF_FUNCTIONS.values())
    assert {type(m) for m in METHOD_EXAMPLES.values()} == set(METHODS.values())


METHOD_EXAMPLES = {
    "pairs": PairSum(1e-10),
    "reciprocal": ReciprocalSum(1e-10),
    "split": EwaldSplit(1e-9),
    "split, few waves": EwaldSplit(1e-10, 1.0, ReciprocalSum),
    "mesh": Mesh(1e-9),
}
BASIS_FOR_METHODS = Monomials(2, 1.5)
DENSITY = FieldExpansion(GaussianDensity(0.6), BASIS_FOR_METHODS, 3, 8.0, StepCutoff())
SHORT = FieldExpansion(
    SmearedPotential(0.8, 14.0),
    BASIS_FOR_METHODS,
    3,
    cutoff_function=StepCutoff(),
    center_weight=0.4,
)
CRYSTALS = {"molecule in a box": water_in_box, "triclinic": triclinic_perovskite}


PROBLEMS = {"density": DENSITY, "potential": SHORT}
ON_CRYSTALS = list(itertools.product(METHOD_EXAMPLES, CRYSTALS, PROBLEMS))
# a box is mostly vacuum, of which meshes are large: one field in it by each method
USUAL = [c for c in ON_CRYSTALS if c[1:] != ("molecule in a box", "potential") or c[0] == "split"]


@pytest.mark.parametrize(("method", "crystal", "problem"), often(ON_CRYSTALS, USUAL))
def test_methods_on_crystals(method, crystal, problem):
    """Each method against another one, which shares no formula with it but the basis."""
    expansion = PROBLEMS[problem]
    if method.startswith("split") and expansion is DENSITY:
        pytest.skip("an Ewald split is for potentials")
    atoms = CRYSTALS[crystal]()
    structures = structures_of(atoms)
    cut = replace(expansion, neighbor_cutoff=expansion.neighbor_cutoff or 14.0)
    pairs, waves = (METHOD_EXAMPLES["pairs"], cut), (METHOD_EXAMPLES["reciprocal"], expansion)
    other, problem = waves if method == "pairs" else pairs
    expected = expand(problem, structures, species=species_of(atoms), method=other)
    mine = cut if method == "pairs" else expansion
    check_method(METHOD_EXAMPLES[method], mine, structures, expected)


PERIODICITIES = {
    "crystal": (True, True, True),
    "slab": (True, False, True),
    "wire": (False, True, False),
    "isolated": (False, False, False),
}


ON_PERIODICITIES = list(itertools.product(METHOD_EXAMPLES, PERIODICITIES))
# the wide part of a split is a mesh of an isolated structure, too; in a wire its parts are alone
LONG = [("mesh", "isolated"), ("split", "wire")]
SMALL = [c for c in ON_PERIODICITIES if c not in LONG]


@pytest.mark.parametrize("exponent", often([1.0, 2.5, 4.0], [1.0]))
@pytest.mark.parametrize(("method", "periodicity"), often(ON_PERIODICITIES, SMALL))
def test_methods_on_every_periodicity(method, periodicity, exponent):
    """Forces and values of the whole potential; the expected ones are those of another method."""
    periods = PERIODICITIES[periodicity]
    if method == "pairs" and any(periods):
        pytest.skip("a sum over all pairs of a periodic structure does not end")
    atoms = triclinic_perovskite()
    atoms.pbc = periods
    expansion = FieldExpansion(SmearedPotential(0.7, exponent), BASIS_FOR_METHODS, 2)
    structures = structures_of(atoms)
    other = PairSum(1e-12) if not any(periods) and method != "pairs" else ReciprocalSum(1e-12)
    expected = expand(expansion, structures, species=species_of(atoms), method=other)
    check_method(METHOD_EXAMPLES[method], expansion, structures, expected)


@pytest.mark.parametrize("exponent", often([1.0, 3.0, 6.0], [1.0, 6.0]))
def test_pair_sum_on_an_isolated_structure(exponent):
    """Against the definition, the integral over a product grid around each atom."""
    atoms = isolated_cluster()
    structures, species = structures_of(atoms), species_of(atoms)
    expansion = FieldExpansion(SmearedPotential(0.7, exponent), BASIS_FOR_METHODS, 3)
    expected = coefficients_by_quadrature(expansion, structures, species)
    check_method(PairSum(1e-10), expansion, structures, expected)
