"""What is computed again, kept, or refused by the sum over wave vectors."""

from dataclasses import replace

import pytest
import torch

from crystals import relative_difference, stacked, structures_of, tiny_cell, water_in_box
from multilode.expansion import FieldExpansion, ReciprocalSum, expand
from multilode.expansion.lattice.cell_cache import CELL_CACHE
from multilode.fields.field import SmearedPotential
from multilode.numerics.limits import limits
from multilode.radial.bases import Monomials

CRYSTAL = structures_of(water_in_box())


def derivatives(max_angular):
    """A function of the coefficients, its gradients, and the gradients of those."""
    expansion = FieldExpansion(SmearedPotential(1.2, 1.0), Monomials(2, 2.0), max_angular)
    inputs = (
        CRYSTAL.positions.clone().requires_grad_(),
        CRYSTAL.cell.clone().requires_grad_(),
    )
    moved = replace(CRYSTAL, positions=inputs[0], cell=inputs[1])
    blocks = expand(expansion, moved, species=(1, 8), method=ReciprocalSum(1e-10)).blocks
    values = torch.cat([blocks[irrep].flatten() for irrep in sorted(blocks)])
    number = (values * torch.cos(values)).sum()
    first = torch.autograd.grad(number, inputs, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
    return [number.detach(), *(g.detach() for g in first), *second]


@pytest.mark.parametrize("max_angular", [0, 3])
def test_recomputed_blocks_change_nothing(max_angular):
    expected = derivatives(max_angular)
    with limits(block_bytes=1, kept_bytes=0):
        found = derivatives(max_angular)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, True, False)])
def test_what_is_kept_of_a_cell_is_that_of_the_cell(pbc):
    """Back and forth between two cells, two fields and two types, with and without gradients."""
    first, second = water_in_box(), water_in_box((7.0, 8.0, 9.0 + 1e-9))
    first.pbc = second.pbc = pbc
    expansions = [
        FieldExpansion(SmearedPotential(1.2, p), Monomials(2, 2.0), 2) for p in (1.0, 4.0)
    ]
    cases = [
        (structures_of(atoms).to(dtype=dtype), expansion)
        for atoms in (first, second)
        for dtype in (torch.float64, torch.float32)
        for expansion in expansions
    ]

    def values():
        with torch.inference_mode():
            return [expand(e, s, species=(1, 8), method=ReciprocalSum()) for s, e in cases]

    CELL_CACHE.clear()
    fresh, kept = values(), values()
    assert CELL_CACHE.size > 0
    CELL_CACHE.clear()
    with limits(kept_bytes=0):
        blockwise = values()
    for (structures, expansion), *others in zip(cases, fresh, kept, blockwise, strict=True):
        moving = replace(structures, cell=structures.cell.clone().requires_grad_())
        expected = expand(expansion, moving, species=(1, 8), method=ReciprocalSum())
        single = structures.cell.dtype == torch.float32
        assert all(relative_difference(o, expected) < (1e-6 if single else 1e-13) for o in others)


def test_dynamics_at_a_fixed_cell_have_forces():
    """Values that a run without gradients left behind serve the backward pass."""
    expansion = FieldExpansion(SmearedPotential(1.2, 1.0), Monomials(2, 2.0), 2)
    CELL_CACHE.clear()
    with torch.inference_mode():
        expand(
            expansion, structures_of(water_in_box()), species=(1, 8), method=ReciprocalSum(1e-10)
        )
    gradients = []
    for moving_cell in (False, True):
        positions = CRYSTAL.positions.clone().requires_grad_()
        cell = CRYSTAL.cell.clone().requires_grad_(moving_cell)
        moved = replace(CRYSTAL, positions=positions, cell=cell)
        values = stacked(expand(expansion, moved, species=(1, 8), method=ReciprocalSum(1e-10)))
        gradients += torch.autograd.grad(values.cos().sum(), positions)
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_a_structure_too_large_along_a_free_axis():
    atoms = tiny_cell() * (1, 1, 2)
    atoms.pbc = (True, True, False)
    atoms.positions[1, 2] += 1e6
    expansion = FieldExpansion(SmearedPotential(0.1, 1.0), Monomials(2, 2.0), 2)
    with pytest.raises(
        ValueError, match=r"a box of .* vacuum included, needs up to .*extends less"
    ):
        expand(expansion, structures_of(atoms), species=(2,), method=ReciprocalSum(1e-10))


def test_a_crystal_with_too_many_waves():
    """Where a mesh or a split is not asked for; `auto` takes one."""
    atoms = water_in_box((2000.0, 2000.0, 2000.0))
    expansion = FieldExpansion(SmearedPotential(1.0, 1.0), Monomials(2, 2.0), 2)
    said = r"a cell of 2000, 2000, 2000 Å needs up to \S+ plane waves.*use pbc=False for a molecule"
    for method in (ReciprocalSum(1e-10), "reciprocal_sum"):
        with pytest.raises(ValueError, match=said):
            expand(expansion, structures_of(atoms), species=(1, 8), method=method)
