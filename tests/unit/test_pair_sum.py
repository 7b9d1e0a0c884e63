"""Blocks of pairs, and pairs that are computed again in the backward pass, change no number."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from multilode.expand import FieldExpansion, expand, pair_sum
from multilode.fields import SmearedPotential
from multilode.radial import Monomials
from multilode.structures import Structures

EXPANSION = FieldExpansion(SmearedPotential(0.7, 1.0), Monomials(2, 2.0), 2)


def cluster():
    generator = torch.Generator().manual_seed(3)
    positions = 4 * torch.rand(9, 3, generator=generator, dtype=torch.float64)
    kinds = np.array([1, 1, 1, 1, 6, 6, 8, 8, 8])
    isolated = np.zeros(3, dtype=bool)
    return Structures.from_arrays([positions.numpy()], [kinds], [np.zeros((3, 3))], [isolated])


def coefficients(positions, structures):
    moved = replace(structures, positions=positions)
    blocks = expand(EXPANSION, moved, species=(1, 6, 8)).blocks
    return torch.cat([blocks[irrep].flatten() for irrep in sorted(blocks)])


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(pair_sum, "_BLOCK_PAIRS", 16)
    monkeypatch.setattr(pair_sum, "_RECOMPUTED_PAIRS", 0)


def value_and_gradient(structures):
    positions = structures.positions.clone().requires_grad_()
    values = coefficients(positions, structures)
    cotangent = torch.linspace(-1, 1, len(values), dtype=torch.float64)
    return values.detach(), torch.autograd.grad(values, positions, cotangent)[0]


def test_blocks_change_nothing(request):
    structures = cluster()
    whole = value_and_gradient(structures)
    request.getfixturevalue("small_blocks")
    for ours, expected in zip(value_and_gradient(structures), whole, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.usefixtures("small_blocks")
def test_second_derivatives_of_recomputed_blocks():
    structures = cluster().select([0])
    positions = structures.positions.clone().requires_grad_()

    def one_number(p):
        values = coefficients(p, structures)
        return (values * torch.cos(values)).sum()

    assert torch.autograd.gradcheck(one_number, (positions,))
    assert torch.autograd.gradgradcheck(one_number, (positions,))


def test_atoms_in_the_same_place_are_named():
    structures = cluster()
    positions = structures.positions.clone()
    positions[7] = positions[2]
    with pytest.raises(ValueError, match=r"atoms 2 and 7 of the batch \(structure 0\)"):
        coefficients(positions, structures)
