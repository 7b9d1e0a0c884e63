"""Layers, wires and molecules that files call crystals are told by their empty layers."""

import numpy as np
import pytest
from ase.build import bulk, fcc111, molecule, nanotube
from hypothesis import given
from hypothesis import strategies as st

from multilode.data.ase_atoms import from_ase
from multilode.data.vacuum import empty_layers
from multilode.workflow.doubts import doubts_of_structures


def found(image, pbc=True):
    image.pbc = pbc
    return [doubt for doubt in doubts_of_structures(from_ase([image])) if doubt.kind == "vacuum"]


def boxed(image, vacuum):
    image.center(vacuum=vacuum)
    return image


@pytest.mark.parametrize(
    ("image", "noun"),
    [
        (fcc111("Al", (2, 2, 3), vacuum=5.0), "layers"),
        (nanotube(5, 0, length=2, vacuum=9.0), "wires"),
        (boxed(molecule("H2O"), 5.0), "molecules"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_is_no_crystal(image, noun):
    said = found(image)
    assert [noun in doubt.text for doubt in said] == [True]
    assert said[0].frames[0][1] == 0


def test_what_is_said_by_the_periods_is_not_doubted():
    assert not found(fcc111("Al", (2, 2, 3), vacuum=9.0), (True, True, False))
    assert not found(boxed(molecule("H2O"), 9.0), False)
    for crystal in (bulk("NaCl", "rocksalt", a=5.6), bulk("Cu") * (5, 1, 1), bulk("C")):
        assert not found(crystal)
    assert not found(fcc111("Al", (2, 2, 3), vacuum=2.5))


@given(st.integers(0, 10**6), st.integers(0, 2))
def test_empty_layers_are_those_that_were_made(seed, axis):
    """A skew cell, atoms in a part of it, moved by any vector: 30 % of a height is empty."""
    rng = np.random.default_rng(seed)
    cell = 9 * np.eye(3) + rng.normal(size=(3, 3))
    fractions = rng.random((400, 3))
    fractions[:, axis] = 0.7 * np.linspace(0, 1, 400)
    positions = (fractions + rng.random(3) + rng.integers(-2, 3, (400, 3))) @ cell
    height = abs(np.linalg.det(cell)) / np.linalg.norm(
        np.cross(cell[(axis + 1) % 3], cell[(axis + 2) % 3])
    )
    assert empty_layers(positions, cell)[axis] == pytest.approx(0.3 * height, rel=1e-9)


def test_cells_and_positions_of_no_use():
    for cell in (np.zeros((3, 3)), np.full((3, 3), np.nan), np.ones((3, 3))):
        assert not empty_layers(np.zeros((1, 3)), cell).any()
    assert not empty_layers(np.zeros((0, 3)), np.eye(3)).any()
