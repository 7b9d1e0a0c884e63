"""What must not change when only the description of a structure does, and what must rotate."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from crystals import (
    DIVERSE,
    block,
    isolated_cluster,
    one_atom_crystal,
    relative_difference,
    rock_salt,
    slab_with_vacuum,
    species_of,
    stacked,
    structures_of,
    tiny_cell,
    triclinic_perovskite,
    water_in_box,
)
from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.rotation import rotate_equivariants
from multilode.expansion import FieldExpansion, expand
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import ShiftedCosine
from multilode.radial import GaussianTypeOrbitals, Monomials
from multilode.representation.representation import Representation

MAX_ANGULAR = 4
GTO = GaussianTypeOrbitals(3, 2.5)
EXPANSIONS = {
    "density": FieldExpansion(GaussianDensity(0.5), GTO, MAX_ANGULAR, 3.5, ShiftedCosine(1.0)),
    "p = 1": FieldExpansion(SmearedPotential(0.8, 1.0), GTO, MAX_ANGULAR),
    "p = 3": FieldExpansion(SmearedPotential(0.8, 3.0), Monomials(2, 2.0), MAX_ANGULAR),
    "p = 6": FieldExpansion(SmearedPotential(0.8, 6.0), GTO, MAX_ANGULAR, center_weight=0.5),
}
PLACES = {
    "isolated": isolated_cluster,
    "triclinic": triclinic_perovskite,
    "slab in a box": slab_with_vacuum,
    "one atom": one_atom_crystal,
}
every_expansion = pytest.mark.parametrize("expansion", EXPANSIONS.values(), ids=EXPANSIONS)
every_place = pytest.mark.parametrize("atoms", [m() for m in PLACES.values()], ids=PLACES)


def expanded(expansion, atoms, *, species=None) -> Equivariants:
    return expand(expansion, structures_of(atoms), species=species or species_of(atoms))


@st.composite
def orthogonal(draw):
    """Rotations and rotations times the inversion."""
    seed, improper = draw(st.integers(0, 2**32 - 1)), draw(st.booleans())
    matrix = Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    return -matrix if improper else matrix


@st.composite
def unimodular(draw):
    """Integer matrices of determinant 1 or -1: shears of the lattice, and a swap of two vectors."""
    matrix = np.eye(3, dtype=int)
    for _ in range(2):
        i, j = draw(st.permutations(range(3)))[:2]
        shear = np.eye(3, dtype=int)
        shear[i, j] = draw(st.integers(-2, 2))
        matrix = shear @ matrix
    return matrix[[1, 0, 2]] if draw(st.booleans()) else matrix


def rotated(atoms, matrix):
    copy = atoms.copy()
    copy.set_cell(atoms.cell[:] @ matrix.T)
    copy.positions = atoms.positions @ matrix.T
    return copy


@every_place
@every_expansion
@given(matrix=orthogonal())
def test_coefficients_rotate(expansion, atoms, matrix):
    before, after = expanded(expansion, atoms), expanded(expansion, rotated(atoms, matrix))
    expected = rotate_equivariants(before, torch.from_numpy(matrix.copy()))
    assert relative_difference(after, expected) < 1e-8


def recipe_for(*atoms):
    species = species_of(*atoms)
    return Representation(
        fields={"rho": EXPANSIONS["density"], "V": EXPANSIONS["p = 1"]},
        products=(("rho", "rho"), ("rho", "V"), ("V", "V"), ("rho",), ("V",)),
        species=species,
        centers=species,
    )


def assert_same(found, expected, tolerance=1e-8):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < tolerance * expected.abs().max()


@every_place
@given(matrix=orthogonal())
def test_features_do_not_rotate(atoms, matrix):
    recipe = recipe_for(atoms)
    before = recipe.compute(structures_of(atoms))
    after = recipe.compute(structures_of(rotated(atoms, matrix)))
    for old, new in zip(before.invariants, after.invariants, strict=True):
        assert_same(new, old)


@every_place
@every_expansion
@given(shift=st.tuples(*[st.floats(-20, 20)] * 3))
def test_translation(expansion, atoms, shift):
    moved = atoms.copy()
    moved.positions += shift
    assert relative_difference(expanded(expansion, moved), expanded(expansion, atoms)) < 1e-8


@every_place
@every_expansion
@given(seed=st.integers(0, 1000))
def test_permutation(expansion, atoms, seed):
    order = np.random.default_rng(seed).permutation(len(atoms))
    found = stacked(expanded(expansion, atoms[order]))
    assert_same(found, stacked(expanded(expansion, atoms))[torch.from_numpy(order)], 1e-11)


@pytest.mark.parametrize("make", [triclinic_perovskite, one_atom_crystal, slab_with_vacuum])
@every_expansion
@given(seed=st.integers(0, 1000))
def test_atoms_outside_of_the_cell(expansion, make, seed):
    atoms = make()
    moved = atoms.copy()
    steps = np.random.default_rng(seed).integers(-3, 4, (len(atoms), 3))
    moved.positions += steps @ atoms.cell[:]
    assert relative_difference(expanded(expansion, moved), expanded(expansion, atoms)) < 1e-9


@pytest.mark.parametrize("make", [triclinic_perovskite, one_atom_crystal, tiny_cell])
@every_expansion
@given(matrix=unimodular())
def test_other_lattice_vectors(expansion, make, matrix):
    """The same lattice in skewed vectors, in a left-handed order too."""
    atoms = make()
    other = atoms.copy()
    other.set_cell(matrix @ atoms.cell[:])
    assert relative_difference(expanded(expansion, other), expanded(expansion, atoms)) < 1e-8


@pytest.mark.parametrize("name", DIVERSE)
def test_left_handed_cells(name):
    atoms = DIVERSE[name]()
    other = atoms.copy()
    other.set_cell(atoms.cell[:][[0, 2, 1]])
    assert np.linalg.det(other.cell) * np.linalg.det(atoms.cell) < 0
    for expansion in (EXPANSIONS["density"], EXPANSIONS["p = 1"]):
        assert relative_difference(expanded(expansion, other), expanded(expansion, atoms)) < 1e-8


@pytest.mark.parametrize("repeats", [(2, 1, 1), (1, 2, 3), (2, 2, 2)])
@pytest.mark.parametrize("make", [one_atom_crystal, tiny_cell, triclinic_perovskite])
@every_expansion
def test_supercell(expansion, make, repeats):
    atoms = make()
    found = stacked(expanded(expansion, atoms.repeat(repeats)))
    expected = stacked(expanded(expansion, atoms)).repeat(int(np.prod(repeats)), 1)
    assert_same(found, expected)


def test_primitive_and_conventional_cell():
    from ase.build import bulk

    primitive, cubic = bulk("NaCl", "rocksalt", 5.64), bulk("NaCl", "rocksalt", 5.64, cubic=True)
    for expansion in EXPANSIONS.values():
        found, expected = (
            stacked(expanded(expansion, cubic)),
            stacked(expanded(expansion, primitive)),
        )
        kinds = torch.from_numpy((cubic.numbers == 17).astype(np.int64))
        assert_same(found, expected[kinds])


def test_batch_equals_single():
    """Crystals, molecules, duplicates and different sets of species in one batch."""
    different = [
        water_in_box(),
        isolated_cluster(),
        rock_salt(),
        one_atom_crystal(),
        triclinic_perovskite(),
    ]
    order = [0, 1, 2, 3, 0, 4]
    batch = [different[i] for i in order]
    species = species_of(*batch)

    def one_by_one(function):
        found = [function(atoms) for atoms in different]
        return torch.cat([found[i] for i in order])

    for expansion in EXPANSIONS.values():
        together = expand(expansion, structures_of(*batch), species=species)
        alone = one_by_one(lambda a, e=expansion: stacked(expanded(e, a, species=species)))
        assert_same(stacked(together), alone, 1e-11)
    recipe = recipe_for(*batch)
    features = recipe.compute(structures_of(*batch)).joined()
    alone = one_by_one(lambda a: recipe.compute(structures_of(a)).joined())
    assert_same(features, alone, 1e-11)


@every_expansion
def test_inversion_symmetric_sites_have_no_odd_components(expansion):
    coefficients = expanded(expansion, one_atom_crystal())
    for l in (1, 2, 3):  # nor has a cubic site l = 2
        assert block(coefficients, l).abs().max() < 1e-9 * block(coefficients, 0).abs().max()
    assert block(coefficients, 4).abs().max() > 1e-9 * block(coefficients, 0).abs().max()


def test_species_of_the_training_set_only_add_empty_channels():
    """Channels come from the recipe and not from the structure at hand."""
    atoms = rock_salt()
    for expansion in EXPANSIONS.values():
        wide = expanded(expansion, atoms, species=(1, 11, 13, 17))
        narrow = expanded(expansion, atoms)
        for irrep, values in wide.blocks.items():
            kind = wide.labels[irrep].values[:, 0]
            present = torch.from_numpy(np.isin(kind, (11, 17)))
            assert_same(values[:, :, present], narrow.blocks[irrep], 1e-12)
            assert (values[:, :, ~present] == 0).all()


@every_expansion
def test_chosen_centers(expansion):
    """Some atoms as centers, every atom as a neighbor; none at all is a legal choice."""
    for atoms in (rock_salt(), isolated_cluster()):
        structures, species = structures_of(atoms), species_of(atoms)
        everything = expand(expansion, structures, species=species)
        for chosen in ([1, 4, 5], [3], []):
            centers = torch.tensor(chosen, dtype=torch.int64)
            some = expand(expansion, structures, species=species, centers=centers)
            for irrep, values in some.blocks.items():
                expected = everything.blocks[irrep][centers]
                assert values.shape == expected.shape
                assert torch.allclose(values, expected, rtol=0, atol=1e-12)
