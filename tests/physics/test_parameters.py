"""Derivatives of coefficients in the smearing and the exponent of a field."""

from dataclasses import replace

import ase
import pytest
import torch

from crystals import isolated_cluster, species_of, stacked, structures_of, triclinic_perovskite
from multilode.errors import StructureError
from multilode.expansion import FieldExpansion, PairSum, ReciprocalSum, expand
from multilode.fields import GaussianDensity, SmearedPotential, YukawaPotential, between
from multilode.fields.cutoffs import ShiftedCosine
from multilode.fields.field import SMEARING_RANGE
from multilode.fields.smeared_potential import EXPONENT_RANGE
from multilode.radial import GaussianTypeOrbitals, Monomials
from multilode.radial.parametric_series import window
from multilode.radial.tables import real_table, reciprocal_table
from often import often

BASIS = GaussianTypeOrbitals(2, 2.0)


def parameter(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def dimer():
    return ase.Atoms("HF", positions=[[0, 0, 0], [0.3, 0.5, 1.4]])


def cell_of_two():
    cell = [[2.4, 0.0, 0.2], [0.5, 2.2, 0.0], [-0.3, 0.4, 2.6]]
    return ase.Atoms("HF", positions=[[0.1, 0.2, 0.3], [1.3, 1.0, 1.4]], cell=cell, pbc=True)


def slab_of_two():
    atoms = cell_of_two()
    atoms.pbc = (True, True, False)
    return atoms


FIELDS = {
    "potential": SmearedPotential,
    "screened": lambda s, p: between(SmearedPotential(s, p), 0.0, 1.6),
    "density": lambda s, p: GaussianDensity(s),
    "yukawa": YukawaPotential,  # with the screening length in the place of the exponent
}
# what makes it, with which cutoff, on what, by which method
PATHS = {
    "potential, isolated": ("potential", None, isolated_cluster, PairSum(1e-10)),
    "potential, crystal": ("potential", None, triclinic_perovskite, ReciprocalSum(1e-10)),
    "potential, slab": ("potential", None, slab_of_two, ReciprocalSum(1e-10)),
    "potential under a cutoff": ("potential", 4.0, triclinic_perovskite, PairSum(1e-10)),
    "screened, isolated": ("screened", 9.0, isolated_cluster, PairSum(1e-10)),
    "screened, pairs of a crystal": ("screened", 6.0, triclinic_perovskite, PairSum(1e-10)),
    "screened, waves": ("screened", 25.0, triclinic_perovskite, ReciprocalSum(1e-10)),
    "density, pairs": ("density", 5.0, triclinic_perovskite, PairSum(1e-10)),
    "density, waves": ("density", 25.0, triclinic_perovskite, ReciprocalSum(1e-10)),
    "yukawa, isolated": ("yukawa", None, isolated_cluster, PairSum(1e-10)),
    "yukawa, waves": ("yukawa", None, triclinic_perovskite, ReciprocalSum(1e-10)),
    "yukawa, slab": ("yukawa", None, slab_of_two, ReciprocalSum(1e-10)),
}
VALUES = [(0.8, 1.0), (0.6, 3.0), (0.91, 4.1), (0.7, 6.0)]


def function_of_parameters(path, atoms=None, max_angular=2):
    """Two random combinations of all coefficients; the center's own at a weight of its own."""
    kind, cutoff, make, method = PATHS[path]
    atoms = make() if atoms is None else atoms
    structures, species = structures_of(atoms), species_of(atoms)

    def function(s, p, positions=structures.positions):
        expansion = FieldExpansion(
            FIELDS[kind](s, p), BASIS, max_angular, cutoff, ShiftedCosine(1.0), 0.6
        )
        moved = replace(structures, positions=positions)
        values = stacked(expand(expansion, moved, species=species, method=method))
        generator = torch.Generator().manual_seed(1)
        weights = torch.randn(2, *values.shape, generator=generator, dtype=torch.float64)
        return (weights * values).sum(dim=(1, 2))

    return function, structures.positions


def five_point(function, x, step):
    values = [function(x + n * step) for n in (-2, -1, 1, 2)]
    return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)


# seconds each: the same derivatives are those of the density by waves, of screened pairs of
# isolated atoms, and (in tests of the screened Coulomb potential) of yukawa pairs of a molecule
# yukawa waves of a crystal and of a slab are differentiated there, to both orders
LONG = (
    "screened, waves",
    "screened, pairs of a crystal",
    "yukawa, isolated",
    "yukawa, waves",
    "yukawa, slab",
)
USUAL = [path for path in PATHS if path not in LONG]


@pytest.mark.parametrize(("smearing", "exponent"), often(VALUES, VALUES[:1]))
@pytest.mark.parametrize("path", often(PATHS, USUAL))
def test_first_derivatives_by_finite_differences(path, smearing, exponent):
    """The differences are of plain fields, whose tables are made anew at every step."""
    function, _ = function_of_parameters(path)
    s, p = parameter(smearing), parameter(exponent)
    kind, cutoff, make, _ = PATHS[path]
    # a sum over a lattice begins to converge there, and has no slope
    begins = (kind, cutoff) == ("potential", None) and exponent == sum(make().pbc)
    values = function(s, p.detach() if begins else p)
    plain = function(smearing, exponent)
    torch.testing.assert_close(values.detach(), plain, rtol=1e-9, atol=1e-10)
    slopes = [five_point(lambda x: function(x, exponent), smearing, 2e-3)]
    if not begins:
        slopes.append(five_point(lambda x: function(smearing, x), exponent, 2e-3))
    for n in range(2):
        gradients = torch.autograd.grad(
            values[n], (s, p), retain_graph=True, materialize_grads=True, allow_unused=True
        )
        assert float(gradients[0]) == pytest.approx(float(slopes[0][n]), rel=1e-6)
        if not begins:
            assert float(gradients[1]) == pytest.approx(float(slopes[1][n]), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("exponent", often([1.0, 4.5], [1.0]))
@pytest.mark.parametrize("path", often(PATHS, USUAL))
def test_second_derivatives(path, exponent):
    """In smearing and exponent, mixed with each other and with the positions.

    Along random directions of all of them at once.
    """
    atoms = dimer() if "isolated" in path else cell_of_two()
    if "slab" in path:
        atoms = slab_of_two()
    function, positions = function_of_parameters(path, atoms, max_angular=1)
    arguments = (parameter(0.8), parameter(exponent), positions.clone().requires_grad_())
    how = {"eps": 1e-5, "fast_mode": True}
    assert torch.autograd.gradcheck(function, arguments, atol=1e-7, rtol=1e-6, **how)
    assert torch.autograd.gradgradcheck(function, arguments, atol=1e-6, rtol=1e-5, **how)


@pytest.mark.parametrize("single", ["smearing", "exponent"])
def test_one_parameter_alone(single):
    """The other one a number: the same derivative with fewer tables."""
    function, _ = function_of_parameters("potential, isolated")
    both, alone = (parameter(0.8), parameter(2.2)), [0.8, 2.2]
    place = ["smearing", "exponent"].index(single)
    alone[place] = parameter(alone[place])
    (expected,) = torch.autograd.grad(function(*both)[0], both[place])
    (found,) = torch.autograd.grad(function(*alone)[0], alone[place])
    assert float(found) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("periods", [1, 2, 3])
def test_no_slope_where_a_lattice_sum_begins_to_converge(periods):
    atoms = triclinic_perovskite()
    atoms.pbc = [True] * periods + [False] * (3 - periods)
    structures = structures_of(isolated_cluster(), atoms)

    def expanded(exponent, **settings):
        field = SmearedPotential(torch.tensor(1.0, dtype=torch.float64), exponent)
        expansion = FieldExpansion(field, Monomials(2, 2.0), 1, **settings)
        return expand(expansion, structures, species=(1, 6, 8, 22, 38), tolerance=1e-4)

    for offset in (0.0, 9e-10, -9e-10):
        there = parameter(periods + offset)
        with pytest.raises(StructureError, match=r"structure 1: the exponent is .* no derivative"):
            expanded(there)
        with pytest.raises(StructureError, match="or do not differentiate it"):
            expanded(there, range="far", near_radius=3.0)
    expanded(there, range="near", near_radius=3.0)
    with torch.no_grad():
        expanded(there)
    expanded(there.detach())
    expanded(float(periods))
    expanded(parameter(2.5))


def test_the_seam_between_two_windows_does_not_show():
    """Values and slopes from the tables on both sides of it agree."""
    function, _ = function_of_parameters("potential, isolated")
    smearing = window(SMEARING_RANGE, 0.8).largest
    exponent = window(EXPONENT_RANGE, 1.0).largest
    for s0, p0 in ((smearing, 1.0), (0.8, exponent)):
        sides = []
        for sign in (-1, 1):
            s, p = parameter(s0 * (1 + sign * 1e-12)), parameter(p0 * (1 + sign * 1e-12))
            values = function(s, p)[0]
            gradients = torch.autograd.grad(values, (s, p), create_graph=True)
            (second,) = torch.autograd.grad(gradients[0] + gradients[1], s)
            sides.append(torch.stack([values, *gradients, second]).detach())
        torch.testing.assert_close(*sides, rtol=1e-7, atol=0)
        sides = [window(SMEARING_RANGE, s0 * (1 + sign * 1e-9)) for sign in (-1, 1)]
        assert sides[0] != sides[1] or s0 == 0.8


@pytest.mark.slow
def test_windows_end_at_the_supported_range():
    assert window(SMEARING_RANGE, 99.9).largest == pytest.approx(100, rel=1e-15)
    assert window(EXPONENT_RANGE, 1.0001e-4).smallest == 1e-4
    field = SmearedPotential(parameter(0.0100001), parameter(19.99))
    plain = SmearedPotential(0.0100001, 19.99)
    basis, r = Monomials(1, 0.05), torch.linspace(0, 0.3, 9, dtype=torch.float64)
    found, expected = (real_table(f, basis, 1, None, 1e-8)(r) for f in (field, plain))
    assert (found - expected).abs().max() < 1e-6 * expected.abs().max()


def test_tables_are_met_again_as_a_parameter_moves():
    """And a parameter that is changed in place is seen, although it is the same object."""
    s = parameter(0.801)
    field = SmearedPotential(s, 1.0)
    first = reciprocal_table(field, BASIS, 2, 1e-10)
    r = torch.tensor([1.3], dtype=torch.float64)
    before = real_table(field, BASIS, 2, None, 1e-10)(r).detach()
    with torch.no_grad():
        s.mul_(1.005)
    assert reciprocal_table(field, BASIS, 2, 1e-10) is first
    after = real_table(field, BASIS, 2, None, 1e-10)(r).detach()
    expected = real_table(SmearedPotential(0.801 * 1.005, 1.0), BASIS, 2, None, 1e-10)(r)
    assert (after - before).abs().max() > 1e-4 * before.abs().max()
    assert (after - expected).abs().max() < 1e-9 * expected.abs().max()


def test_single_precision_structures():
    """Parameters stay float64; coefficients have the type of the positions."""
    structures = structures_of(isolated_cluster()).to(dtype=torch.float32)
    s, p = parameter(0.8), parameter(1.5)
    expansion = FieldExpansion(SmearedPotential(s, p), BASIS, 2)
    values = stacked(expand(expansion, structures, species=(1, 6, 8)))
    assert values.dtype == torch.float32
    gradients = torch.autograd.grad(values.square().sum(), (s, p))
    expansion = replace(expansion, field=SmearedPotential(s, p))
    double = stacked(expand(expansion, structures.to(dtype=torch.float64), species=(1, 6, 8)))
    expected = torch.autograd.grad(double.square().sum(), (s, p))
    for found, exact in zip(gradients, expected, strict=True):
        assert found.dtype == torch.float64
        assert float(found) == pytest.approx(float(exact), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "method"),
    [(isolated_cluster, PairSum(1e-10)), (triclinic_perovskite, ReciprocalSum(1e-10))],
)
def test_newton_steps_find_the_smearing(make, method):
    """Coefficients of a known smearing are fitted, by first and second derivatives."""
    atoms = make()
    structures, species = structures_of(atoms), species_of(atoms)

    def coefficients(s):
        expansion = FieldExpansion(SmearedPotential(s, 1.5), BASIS, 1)
        return stacked(expand(expansion, structures, species=species, method=method))

    target, s = coefficients(0.9), parameter(0.97)
    losses = []
    for _ in range(6):
        loss = (coefficients(s) - target).square().sum() / target.square().sum()
        (slope,) = torch.autograd.grad(loss, s, create_graph=True)
        (curvature,) = torch.autograd.grad(slope, s)
        with torch.no_grad():
            s -= slope / curvature
        losses.append(float(loss.detach()))
    assert losses[-1] < 1e-12 * losses[0]
    assert float(s.detach()) == pytest.approx(0.9, abs=1e-6)


def test_an_optimiser_lowers_a_loss_in_both_parameters():
    structures = structures_of(triclinic_perovskite())

    def coefficients(s, p):
        expansion = FieldExpansion(SmearedPotential(s, p), BASIS, 1)
        blocks = expand(expansion, structures, species=(8, 22, 38), method=ReciprocalSum(1e-10))
        return stacked(blocks)

    target, s, p = coefficients(0.9, 1.5), parameter(1.03), parameter(1.3)
    optimizer, losses = torch.optim.Adam([s, p], lr=0.02), []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (coefficients(s, p) - target).square().sum() / target.square().sum()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]
