"""Mesh and split do not see how a structure is described, to their tolerance."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from crystals import one_atom_crystal, species_of, structures_of, tiny_cell, triclinic_perovskite
from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.rotation import rotate_equivariants
from multilode.expansion import EwaldSplit, FieldExpansion, Mesh, expand
from multilode.fields import SmearedPotential
from multilode.radial import GaussianTypeOrbitals
from ten_structures import slab, typical_sizes, wire, worst_error

TOLERANCE = 1e-6
METHODS = {"mesh": Mesh(TOLERANCE), "split": EwaldSplit(TOLERANCE, 1.4)}
EXPANSION = FieldExpansion(SmearedPotential(0.8, 2.5), GaussianTypeOrbitals(3, 2.5), 4)
SIZES = typical_sizes(EXPANSION)
PLACES = {
    "triclinic": triclinic_perovskite,
    "one atom": one_atom_crystal,
    "tiny": tiny_cell,
    "slab": slab,
    "wire": wire,
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
every_place = pytest.mark.parametrize("atoms", [m() for m in PLACES.values()], ids=PLACES)


def expanded(atoms, method):
    return expand(EXPANSION, structures_of(atoms), species=species_of(atoms), method=method)


def assert_same(found, expected):
    assert worst_error(found, expected, SIZES) < 3 * TOLERANCE  # each has the error of its mesh


@st.composite
def unimodular(draw):
    matrix = np.eye(3, dtype=int)
    for _ in range(2):
        i, j = draw(st.permutations(range(3)))[:2]
        shear = np.eye(3, dtype=int)
        shear[i, j] = draw(st.integers(-3, 3))
        matrix = shear @ matrix
    return matrix[[1, 0, 2]] if draw(st.booleans()) else matrix


@every_place
@every_method
@given(seed=st.integers(0, 2**32 - 1), improper=st.booleans())
def test_rotation(method, atoms, seed, improper):
    matrix = Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    matrix = -matrix if improper else matrix
    turned = atoms.copy()
    turned.set_cell(atoms.cell[:] @ matrix.T)
    turned.positions = atoms.positions @ matrix.T
    before, after = expanded(atoms, method), expanded(turned, method)
    assert_same(after, rotate_equivariants(before, torch.from_numpy(matrix.copy())))


@every_place
@every_method
@given(shift=st.tuples(*[st.floats(-20, 20)] * 3))
def test_translation(method, atoms, shift):
    moved = atoms.copy()
    moved.positions += shift
    assert_same(expanded(moved, method), expanded(atoms, method))


@every_place
@every_method
@given(seed=st.integers(0, 1000))
def test_atoms_outside_of_the_cell(method, atoms, seed):
    moved = atoms.copy()
    steps = np.random.default_rng(seed).integers(-3, 4, (len(atoms), 3)) * atoms.pbc
    moved.positions += steps @ atoms.cell[:]
    found, expected = expanded(moved, method), expanded(atoms, method)
    assert worst_error(found, expected, SIZES) < 1e-10  # the same mesh, and places on it


@pytest.mark.parametrize("make", [triclinic_perovskite, one_atom_crystal, tiny_cell])
@every_method
@given(matrix=unimodular())
def test_other_lattice_vectors(method, make, matrix):
    atoms = make()
    other = atoms.copy()
    other.set_cell(matrix @ atoms.cell[:])
    assert_same(expanded(other, method), expanded(atoms, method))


@every_method
@pytest.mark.parametrize("name", ["slab", "wire"])
def test_supercells_along_the_periods(name, method):
    atoms = PLACES[name]()
    repeats = [2 if p else 1 for p in atoms.pbc]
    single, many = expanded(atoms, method), expanded(atoms.repeat(repeats), method)
    copies = int(np.prod(repeats))
    blocks = {irrep: b.repeat(copies, 1, 1) for irrep, b in single.blocks.items()}
    assert_same(many, Equivariants(blocks, single.labels, many.centers))
