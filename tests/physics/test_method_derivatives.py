"""Forces, stress, second derivatives and those in the field's parameters, for every method."""

import itertools
from dataclasses import replace

import ase
import pytest
import torch

from crystals import species_of, stacked, structures_of, triclinic_perovskite
from multilode.expansion import (
    EwaldSplit,
    FieldExpansion,
    Mesh,
    PairSum,
    ReciprocalSum,
    expand,
)
from multilode.fields import SmearedPotential
from multilode.numerics.limits import limits
from multilode.radial import Monomials
from often import often

METHODS = {
    "mesh": Mesh(1e-8),
    "coarse mesh": Mesh(1e-4),
    "split": EwaldSplit(1e-8),
    "split, direct": EwaldSplit(1e-8, 1.2, ReciprocalSum),
    "direct": ReciprocalSum(1e-8),
    "pairs": PairSum(1e-8),
}
PERIODICITIES = {
    "crystal": (True, True, True),
    "slab": (True, True, False),
    "wire": (False, True, False),
    "isolated": (False, False, False),
}
PATHS = [(m, p) for m in METHODS for p in PERIODICITIES if m != "pairs" or p == "isolated"]
# both parts of a split, and a mesh, are each on every periodicity by one path or another
USUAL = [
    *[(m, "crystal") for m in METHODS if m != "pairs"],
    ("mesh", "isolated"),
    ("coarse mesh", "slab"),
    ("split", "wire"),
    ("split, direct", "slab"),
    ("split, direct", "isolated"),
    ("direct", "slab"),
    ("direct", "wire"),
    ("direct", "isolated"),
    ("pairs", "isolated"),
]
every_path = pytest.mark.parametrize(("method", "periodicity"), often(PATHS, USUAL))


def five_point(function, step):
    values = [float(function(n * step)) for n in (-2, -1, 1, 2)]
    return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)


def scalar(expansion, structures, species, method):
    """A number that depends on all coefficients, each on the scale of its l."""
    blocks = expand(expansion, structures, species=species, method=method).blocks
    scales = {irrep: block.square().sum() for irrep, block in blocks.items()}

    def function(positions, strain):
        deformation = torch.eye(3, dtype=torch.float64) + strain
        moved = replace(
            structures, positions=positions @ deformation, cell=structures.cell @ deformation
        )
        blocks = expand(expansion, moved, species=species, method=method).blocks
        return sum(blocks[i].square().sum() / scales[i] for i in blocks)

    return function


@every_path
@pytest.mark.parametrize(
    "exponent", [1.0, *[pytest.param(p, marks=pytest.mark.slow) for p in (2.5, 6.0)]]
)
def test_forces_and_stress_by_finite_differences(method, periodicity, exponent):
    """The error of a mesh is smooth too, so even a coarse one has the slopes of its values."""
    atoms = triclinic_perovskite()
    atoms.pbc = PERIODICITIES[periodicity]
    structures, species = structures_of(atoms), species_of(atoms)
    expansion = FieldExpansion(SmearedPotential(0.8, exponent), Monomials(2, 2.0), 3)
    function = scalar(expansion, structures, species, METHODS[method])
    positions = structures.positions.clone().requires_grad_()
    strain = torch.zeros(3, 3, dtype=torch.float64).requires_grad_()
    force, virial = torch.autograd.grad(function(positions, strain), (positions, strain))
    generator = torch.Generator().manual_seed(3)
    step = torch.randn(positions.shape, generator=generator, dtype=torch.float64)
    shear = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    start, zero = structures.positions, torch.zeros(3, 3, dtype=torch.float64)
    # windows are smooth to a finite order, and sums over waves have an edge
    rel = {"coarse mesh": 1e-4}.get(method, 1e-6)
    with torch.no_grad():
        along = five_point(lambda t: function(start + t * step, zero), 1e-3)
        strained = five_point(lambda t: function(start, t * shear), 1e-4)
    assert float((force * step).sum()) == pytest.approx(along, rel=rel)
    assert float((virial * shear).sum()) == pytest.approx(strained, rel=rel)


def two_atoms(periods):
    cell = [[2.4, 0.0, 0.2], [0.5, 2.2, 0.0], [-0.3, 0.4, 2.6]]
    return ase.Atoms("HO", positions=[[0.1, 0.2, 0.3], [1.3, 1.0, 1.4]], cell=cell, pbc=periods)


def weighted(expansion, structures, species, method):
    def function(positions, cell, smearing=None, exponent=None):
        moved = replace(structures, positions=positions, cell=cell)
        problem = expansion
        if smearing is not None:
            problem = replace(expansion, field=SmearedPotential(smearing, exponent))
        values = stacked(expand(problem, moved, species=species, method=method))
        generator = torch.Generator().manual_seed(1)
        weights = torch.randn(2, *values.shape, generator=generator, dtype=torch.float64)
        return (weights * values).sum(dim=(1, 2))

    return function


@pytest.mark.parametrize(
    ("method", "periodicity"),
    [
        ("mesh", "crystal"),
        ("mesh", "slab"),
        ("split", "crystal"),
        ("split, direct", "wire"),
        ("direct", "isolated"),
        ("pairs", "isolated"),
        *[
            pytest.param(m, p, marks=pytest.mark.slow)
            for m in ("mesh", "split", "split, direct", "direct")
            for p in PERIODICITIES
        ],
    ],
)
def test_first_and_second_derivatives(method, periodicity):
    atoms = two_atoms(PERIODICITIES[periodicity])
    structures, species = structures_of(atoms), species_of(atoms)
    expansion = FieldExpansion(SmearedPotential(1.1, 1.0), Monomials(1, 1.5), 1)
    chosen = replace(METHODS[method], tolerance=1e-5)
    if isinstance(chosen, EwaldSplit):
        chosen = replace(chosen, screening=1.5)
    function = weighted(expansion, structures, species, chosen)
    arguments = [t.clone().requires_grad_() for t in (structures.positions, structures.cell)]
    tolerances = {"eps": 1e-4, "atol": 1e-4, "rtol": 1e-3, "fast_mode": True}
    assert torch.autograd.gradcheck(function, arguments, **tolerances)
    assert torch.autograd.gradgradcheck(function, arguments, **tolerances)


SPLIT_ON = [("split", "wire"), ("split", "isolated")]


@pytest.mark.parametrize(
    "exponent", [2.0, *[pytest.param(p, marks=pytest.mark.slow) for p in (1.0, 4.5)]]
)
@pytest.mark.parametrize(
    ("method", "periodicity"),
    often(
        itertools.product(("mesh", "split"), PERIODICITIES),
        [("mesh", "crystal"), ("mesh", "slab"), ("split", "crystal"), *SPLIT_ON],
    ),
)
def test_derivatives_in_smearing_and_exponent(method, periodicity, exponent):
    """Against the direct sum, whose own derivatives are tested against differences."""
    atoms = two_atoms(PERIODICITIES[periodicity])
    structures, species = structures_of(atoms), species_of(atoms)
    expansion = FieldExpansion(SmearedPotential(0.8, exponent), Monomials(2, 1.5), 2)
    found = []
    chosen = Mesh(1e-10) if method == "mesh" else EwaldSplit(1e-10, 1.3)
    for way in (chosen, ReciprocalSum(1e-11)):
        function = weighted(expansion, structures, species, way)
        parameters = [torch.tensor(v, dtype=torch.float64) for v in (0.8, exponent)]
        parameters[0].requires_grad_()
        # the finite part of a sum over as many periods has no slope in the exponent
        parameters[1].requires_grad_(exponent != sum(PERIODICITIES[periodicity]))
        positions = structures.positions.clone().requires_grad_()
        value = function(positions, structures.cell, *parameters)[0]
        moved = [p for p in parameters if p.requires_grad]
        first = torch.autograd.grad(value, (*moved, positions), create_graph=True)
        mixed = torch.autograd.grad(sum(first[:-1]), positions)
        found.append([value.detach(), *(g.detach() for g in first), *mixed])
    scale = [x.abs().max() for x in found[1]]
    for ours, expected, size in zip(*found, scale, strict=True):
        assert (ours - expected).abs().max() < 1e-6 * max(float(size), 1e-2 * float(max(scale)))


def test_functions_that_are_made_in_parts_change_nothing():
    """Large meshes hold some of the functions at a time and make them again for the derivatives."""
    atoms = triclinic_perovskite()
    structures, species = structures_of(atoms), species_of(atoms)
    expansion = FieldExpansion(SmearedPotential(0.8, 1.0), Monomials(2, 2.0), 3)
    results = []
    for tight in ({}, {"block_bytes": 1, "kept_bytes": 0}):
        inputs = [t.clone().requires_grad_() for t in (structures.positions, structures.cell)]
        moved = replace(structures, positions=inputs[0], cell=inputs[1])
        with limits(**tight):
            values = stacked(expand(expansion, moved, species=species, method=Mesh(1e-6)))
        # outside of the limits: what is computed again is what was computed before
        gradients = torch.autograd.grad(values.cos().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in gradients), inputs)
        results.append([values, *gradients, *second])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)
