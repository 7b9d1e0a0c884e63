"""The error that a mesh plan announces is the one that is seen."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch

from crystals import species_of, structures_of, triclinic_perovskite, water_box
from multilode.expansion import FieldExpansion, Mesh, ReciprocalSum, expand
from multilode.expansion.mesh.plan import mesh_plan, plan_for
from multilode.fields import SmearedPotential
from multilode.radial import GaussianTypeOrbitals, Monomials
from often import often

CASES = {
    "gto, p = 1": FieldExpansion(SmearedPotential(1.0, 1.0), GaussianTypeOrbitals(6, 3.0), 4),
    "gto, p = 6": FieldExpansion(SmearedPotential(0.7, 6.0), GaussianTypeOrbitals(4, 3.0), 3),
    "monomial, p = 2.5": FieldExpansion(SmearedPotential(1.0, 2.5), Monomials(2, 2.0), 6),
}


@functools.cache
def exact_coefficients(case, make):
    atoms = make()
    method = ReciprocalSum(1e-12)
    return expand(CASES[case], structures_of(atoms), species=species_of(atoms), method=method)


def seen(case, make, tolerance):
    """Root mean square error over the largest coefficient, the worst l and n."""
    expansion, atoms, exact = CASES[case], make(), exact_coefficients(case, make)
    structures, species = structures_of(atoms), species_of(atoms)
    found = expand(expansion, structures, species=species, method=Mesh(tolerance))
    worst = 0.0
    for irrep, block in exact.blocks.items():
        size = block.abs().max()
        wrong = (found.blocks[irrep] - block).square().mean(dim=(0, 1)).sqrt().max()
        worst = max(worst, float(wrong / size))
    return worst


MAKERS = {"water": water_box, "triclinic": triclinic_perovskite}
ESTIMATES = list(itertools.product(CASES, (1e-3, 1e-5, 1e-7), MAKERS))
# large meshes of the water take a second each
USUAL = [e for e in ESTIMATES if e[2] == "triclinic" or e[0] == "gto, p = 1"]


@pytest.mark.parametrize(("case", "tolerance", "name"), often(ESTIMATES, USUAL))
def test_the_estimate(case, tolerance, name):
    """Never too small by more than the tolerance allows, and not far too large."""
    make = MAKERS[name]
    expansion, atoms = CASES[case], make()
    plan = plan_for(expansion, tolerance, atoms.cell[:][None], len(atoms))
    error = seen(case, make, tolerance)
    assert plan.error <= tolerance
    assert error < 3 * plan.error + 0.2 * tolerance  # the compression has a share of its own
    assert plan.error < 100 * error


def test_tighter_tolerances_take_more():
    field, basis = SmearedPotential(1.0, 1.0), GaussianTypeOrbitals(6, 3.0)
    plans = [mesh_plan(field, basis, 4, t, 8.0) for t in (1e-3, 1e-5, 1e-7, 1e-9)]
    cell = 10 * np.eye(3)
    work = [
        p.window.width**3 * 800 + 8 * math.prod(p.shape(cell)) * p.compression.n_functions
        for p in plans
    ]
    assert work == sorted(work)
    waves = [p.compression.k_max for p in plans]
    assert waves == sorted(set(waves))


def test_dilute_systems_take_coarser_meshes():
    field, basis = SmearedPotential(0.5, 1.0), GaussianTypeOrbitals(6, 3.0)
    dense, dilute = (mesh_plan(field, basis, 4, 1e-6, v) for v in (2.0, 4096.0))
    assert dilute.oversampling < dense.oversampling
    assert dilute.window.width > dense.window.width


@pytest.mark.parametrize("edges", [(4.0, 5.0, 6.0), (1.0, 30.0, 7.3)])
def test_the_mesh_holds_all_waves(edges):
    plan = mesh_plan(SmearedPotential(0.8, 1.0), Monomials(2, 2.0), 3, 1e-5, 8.0)
    cell = np.diag(edges)
    for count, length in zip(plan.shape(cell), edges, strict=True):
        waves = math.floor(plan.compression.k_max * length / (2 * math.pi))
        assert count >= plan.oversampling * (2 * waves + 1)
        assert count < 1.3 * plan.oversampling * (2 * waves + 1) + 4
        rest = count
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        assert rest == 1


def test_a_plan_made_in_inference_mode_serves_gradients():
    with torch.inference_mode():
        plan = mesh_plan(SmearedPotential(0.913, 1.0), Monomials(2, 2.0), 2, 1e-4, 8.0)
    assert not any(m.is_inference() for m in plan.compression.maps)
    assert not plan.compression.functions.coefficients.is_inference()


def test_the_tolerance_that_a_mesh_cannot_reach():
    field, basis = SmearedPotential(1.0, 1.0), GaussianTypeOrbitals(6, 3.0)
    said = r"a mesh reaches [0-9.e-]+ for max_angular 14, not the tolerance of 1.0e-12; .*Reciproc"
    with pytest.raises(ValueError, match=said):
        mesh_plan(field, basis, 14, 1e-12, 8.0)
