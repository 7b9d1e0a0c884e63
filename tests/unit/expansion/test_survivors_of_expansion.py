"""Small mistakes in the code that no other test of this room saw: docs/reliability.md, mutants."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from multilode.expansion import EwaldSplit, FieldExpansion, Mesh, ReciprocalSum, expand
from multilode.expansion.auto import workload_of
from multilode.expansion.lattice.box import Box, free_directions
from multilode.expansion.lattice.kernel import _edge, _windowed_transform
from multilode.expansion.lattice.reduced_cell import reduction
from multilode.expansion.mesh.kernels import mesh_kernels
from multilode.expansion.mesh.plan import plan_for
from multilode.expansion.mesh.window import Window
from multilode.expansion.pairs.pair_sum import pairs_of_box
from multilode.expansion.problem import Problem
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.radial import LaplacianEigenstates, Monomials
from multilode.radial.tables import _fit_together
from multilode.structures.batch import Structures


def layer() -> Structures:
    """Two species, periodic in a plane."""
    return Structures.from_arrays(
        [np.array([[0.1, 0.2, 0.3], [1.5, 1.0, 1.1], [2.5, -0.4, -1.2]])],
        [np.array([11, 17, 17])],
        [np.array([[3.2, 0.3, 0.2], [-0.9, 4.1, 0.3], [0, 0, 0]])],
        [np.array([True, True, False])],
    )


@pytest.mark.parametrize("exponent", [1.0, 6.0])
def test_a_layer_on_a_mesh(exponent):
    """The box of a layer reaches as far as its basis; `pbc.any()` for `pbc.all()` cut it off."""
    expansion = FieldExpansion(SmearedPotential(exponent, 0.8), Monomials(2, 5.0), 2)
    given = {"species": (11, 17)}
    found = expand(expansion, layer(), method=Mesh(1e-6), **given)
    exact = expand(expansion, layer(), method=ReciprocalSum(1e-10), **given)
    for irrep, block in exact.blocks.items():
        size = float(block.abs().max())
        torch.testing.assert_close(found.blocks[irrep], block, rtol=0, atol=2e-5 * size)


@pytest.mark.parametrize("species", [(17, 11), (11, 11, 17)])
def test_species_that_do_not_ascend_are_refused(species):
    expansion = FieldExpansion(GaussianDensity(0.8), Monomials(2, 1.5), 1)
    with pytest.raises(ValueError, match="ascend"):
        expand(expansion, layer(), species=species)


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_reduction_does_not_depend_on_the_unit(size):
    """Cosines are those of unit vectors."""
    cell = np.array([[1.0, 0, 0], [0.9, 1.0, 0], [0.1, 0.2, 1.0]])
    transform = reduction(size * cell, (True, True, True))
    np.testing.assert_array_equal(transform, reduction(cell, (True, True, True)))
    assert not np.array_equal(transform, np.eye(3))


def test_a_table_of_two_widths_reaches_as_far_as_the_widest():
    fields = (GaussianDensity(0.3), GaussianDensity(1.5))
    basis = Monomials(2, 1.5)
    together, _ = _fit_together(fields, basis, 1, None, 1e-8)
    alone, _ = _fit_together(fields[1:], basis, 1, None, 1e-8)
    assert together.upper >= alone.upper - 0.1


def test_fault_12_accuracy_where_neighbors_are_far():
    """An atom of a wire whose images are 15.4 Å apart: l = 4 is 1e-5 of l = 0.

    Errors are small relative to the coefficients of l = 0, as docs/reliability.md promises;
    relative to those of the same l they are not.
    """
    wire = Structures.from_arrays(
        [np.zeros((1, 3))],
        [np.array([11])],
        [np.array([[15.4, 0, 0], [0, 0, 0], [0, 0, 0]])],
        [np.array([True, False, False])],
    )
    expansion = FieldExpansion(SmearedPotential(6.0, 1.3), LaplacianEigenstates(2, 2.93), 5)
    found = expand(expansion, wire, species=(11,), tolerance=1e-6)
    exact = expand(expansion, wire, species=(11,), method=ReciprocalSum(1e-12))
    sizes = {irrep.degree: float(block.abs().max()) for irrep, block in exact.blocks.items()}
    assert sizes[4] < 1e-4 * sizes[0]
    for irrep, block in exact.blocks.items():
        away = float((found.blocks[irrep] - block).abs().max())
        assert away < 1e-6 * sizes[0], irrep


def test_a_wire_in_any_direction_has_normals():
    """The axis that stands aside is the one with the smallest component, whatever its sign."""
    for wire in ([-5.0, 0.0, 0.0], [0.0, -3.0, 1.0], [1.0, 2.0, -4.0]):
        cell = torch.tensor([wire, [0.0] * 3, [0.0] * 3], dtype=torch.float64)
        found = free_directions(cell, (True, False, False))
        torch.testing.assert_close(found @ found.T, torch.eye(2).double(), rtol=0, atol=1e-12)
        torch.testing.assert_close(found @ cell[0], torch.zeros(2).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("t", [0.05, 4.0, 60.0])
def test_transforms_along_free_axes_are_integrals(t):
    """A narrow Gaussian needs more nodes than the window: beside an integral with many."""
    box = Box(torch.eye(3).double(), (True, True, False), (0.0, 0.0, 6.0), 4.0, 25.0)
    k = torch.linspace(0, 9 * (2 * t) ** 0.5, 7, dtype=torch.float64)
    nodes = torch.tensor([t], dtype=torch.float64)
    found = _windowed_transform(nodes, k, box, axis=2)[0]
    z = torch.linspace(0, 10, 20001, dtype=torch.float64)
    window = torch.from_numpy(_edge((2 * (z - 6) / 4 - 1).numpy(), 25.0))
    waves = torch.exp(-t * z**2) * window * torch.cos(z[:, None] * k).T
    expected = 2 * torch.trapezoid(waves, z)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10 * float(expected.max()))


def test_nothing_is_differentiated_without_gradients():
    smearing = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    trained = FieldExpansion(SmearedPotential(smearing, 1.0), Monomials(2, 3.0), 1)
    problem = Problem.checked(trained, layer(), (11, 17), None, 1e-8)
    assert problem.differentiated
    with torch.no_grad():
        assert not problem.differentiated
    fixed = FieldExpansion(SmearedPotential(1.0, 0.8), Monomials(2, 3.0), 1)
    assert not Problem.checked(fixed, layer(), (11, 17), None, 1e-8).differentiated


def test_slopes_in_strengths_alone():
    """Coefficients are linear in strengths: slopes along a direction are those of the direction."""
    expansion = FieldExpansion(SmearedPotential(0.8, 1.0), Monomials(2, 3.0), 2)
    generator = torch.Generator().manual_seed(2)
    strengths, along = torch.randn(2, 3, 2, generator=generator, dtype=torch.float64)
    crystal = replace(layer(), cell=10 * torch.eye(3).double()[None], pbc=torch.ones(1, 3).bool())
    for structures in (layer(), crystal):
        for method in (ReciprocalSum(), EwaldSplit(), Mesh()):
            given = strengths.clone().requires_grad_()
            found = expand(expansion, structures, strengths=given, method=method)
            weights = {k: torch.randn_like(block) for k, block in found.blocks.items()}
            total = sum((weights[k] * block).sum() for k, block in found.blocks.items())
            slope = (torch.autograd.grad(total, given)[0] * along).sum()
            own = expand(expansion, structures, strengths=along, method=method)
            expected = sum((weights[k] * block).sum() for k, block in own.blocks.items())
            torch.testing.assert_close(slope, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_windows_are_continuous_where_their_series_begins(order):
    """Bessel functions of small arguments are a series, near the edge of the window."""
    window = Window(width=8, smoothing=2, shape=9.0)
    root = np.array([0.99e-3, 1.01e-3])  # on both sides
    y = np.sqrt(1 - (root / window.shape) ** 2)
    below, above = window._kaiser_bessel(3.0 * y, order)
    assert below == pytest.approx(above, rel=1e-5)
    assert below != 0


def test_estimates_of_pairs_count_images_of_periodic_structures_only():
    expansion = FieldExpansion(SmearedPotential(0.8, 1.0), Monomials(2, 3.0), 1)
    free = replace(layer(), pbc=torch.zeros(1, 3).bool())
    found = []
    for structures in (free, layer()):
        problem = Problem.checked(expansion, structures, (11, 17), None, 1e-6)
        found.append(pairs_of_box(workload_of(problem, 0, slice(0, 3)), 60.0))
    assert found[0] <= 9 < found[1]


def test_equal_boxes_share_the_kernel_of_a_mesh():
    field, cell = SmearedPotential(0.8, 1.0), 8 * torch.eye(3).double()
    plan = plan_for(FieldExpansion(field, Monomials(2, 3.0), 1), 1e-4, cell[None].numpy(), 3)
    box = Box(cell, (True, True, True), (0.0, 0.0, 0.0), 0.0, 0.0)
    other = replace(box, cell=1.01 * cell)
    assert len(mesh_kernels(field, plan, [box, box], (16, 16, 16))) == 1
    both = mesh_kernels(field, plan, [box, other], (16, 16, 16))
    assert len(both) == 2
    torch.testing.assert_close(both[:1], mesh_kernels(field, plan, [box], (16, 16, 16)))
