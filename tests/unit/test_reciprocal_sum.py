"""Blocks of wave vectors that are computed again in the backward pass change no number."""

from dataclasses import replace

import pytest
import torch

from crystals import structures_of, water_in_box
from multilode.expand import FieldExpansion, expand, reciprocal_sum
from multilode.fields import SmearedPotential
from multilode.radial import Monomials

CRYSTAL = structures_of(water_in_box())


def derivatives(max_angular):
    """A function of the coefficients, its gradients, and the gradients of those."""
    expansion = FieldExpansion(SmearedPotential(1.2, 1.0), Monomials(2, 2.0), max_angular)
    inputs = (
        CRYSTAL.positions.clone().requires_grad_(),
        CRYSTAL.cell.clone().requires_grad_(),
    )
    moved = replace(CRYSTAL, positions=inputs[0], cell=inputs[1])
    blocks = expand(expansion, moved, species=(1, 8)).blocks
    values = torch.cat([blocks[irrep].flatten() for irrep in sorted(blocks)])
    number = (values * torch.cos(values)).sum()
    first = torch.autograd.grad(number, inputs, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
    return [number.detach(), *(g.detach() for g in first), *second]


@pytest.mark.parametrize("max_angular", [0, 3])
def test_recomputed_blocks_change_nothing(monkeypatch, max_angular):
    expected = derivatives(max_angular)
    monkeypatch.setattr(reciprocal_sum, "_BLOCK_ELEMENTS", 1)
    monkeypatch.setattr(reciprocal_sum, "_RECOMPUTED_ELEMENTS", 0)
    for ours, theirs in zip(derivatives(max_angular), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
