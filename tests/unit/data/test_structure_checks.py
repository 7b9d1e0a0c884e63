"""Structures that cannot be used are refused, doubtful ones are doubted."""

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given
from hypothesis import strategies as st

from multilode.data.ase_atoms import from_ase
from multilode.data.dataset import DataError
from multilode.data.structure_checks import check_species
from multilode.errors import DataWarning

SLAB = bulk("Cu", cubic=True) * (1, 1, 2)  # 7.22 Å thick, period included


def slab(height, pbc=(True, True, False), turned=False):
    atoms = SLAB.copy()
    atoms.set_cell([*SLAB.cell[:2], [0.5, 0.2, height]])
    atoms.pbc = pbc
    if turned:
        atoms.rotate(50, (3, 1, 2), rotate_cell=True)
    return atoms


@pytest.mark.parametrize("turned", [False, True])
def test_a_slab_in_two_halves_is_doubted(turned):
    """Moved by half its thickness and wrapped: the vacuum of 16 - 5.4 Å is inside."""
    whole, torn = slab(16.0, turned=turned), slab(16.0, turned=turned)
    torn.positions -= 0.2 * torn.cell[2]
    torn.wrap(pbc=True)
    from_ase([whole])
    with pytest.warns(DataWarning) as found:
        from_ase([whole, torn, whole, torn, torn])
    assert len(found) == 1
    said = str(found[0].message)
    assert said.startswith("structures in memory, frame 1 (and 2 more): along c, which is not")
    assert re.search(r"10\.6 Å between them and 1\.8\d? Å around them", said)
    assert "move one part by the lattice vector, or set pbc to T there" in said


@pytest.mark.parametrize("height", [5.5, 8.0, 30.0])
def test_slabs_that_nobody_doubts(height):
    """In one part, periodic, without a vector, farther than it, or between layers of a bulk."""
    torn = slab(30.0)
    torn.positions[:2] += torn.cell[2] - [0, 0, 0.5]
    periodic, molecule_, free = torn.copy(), torn.copy(), torn.copy()
    periodic.pbc, molecule_.pbc = True, False
    free.set_cell([*torn.cell[:2], [0, 0, 0]])
    far = slab(height)
    far.positions[:3] += 3 * far.cell[2]
    bilayer = Atoms("C2", [[0, 0, 0], [0, 0, 3.4]], cell=[3, 3, 5], pbc=(True, True, False))
    from_ase([slab(height), periodic, molecule_, free, far, bilayer])


def test_a_wire_in_two_halves_is_doubted():
    wire = Atoms("C3", [[0, 0.3, 1], [0, 19.5, 1], [1.2, 0.2, 1]], pbc=(True, False, False))
    wire.set_cell([2.5, 20, 0])
    with pytest.warns(DataWarning, match=r"along b, .* 19.2 Å between them and 0.7 Å around them"):
        from_ase([wire])
    wire.set_cell(np.diag([2.5, 50, 0]))
    from_ase([wire])


@pytest.mark.filterwarnings("ignore::multilode.errors.DataWarning")
@given(
    shift=st.tuples(*[st.integers(-2, 2)] * 3),
    skew=st.floats(-3, 3),
    sign=st.sampled_from([-1.0, 1.0]),
    pbc=st.tuples(*[st.booleans()] * 3),
)
def test_a_periodic_image_is_the_same_place_in_any_cell(shift, skew, sign, pbc):
    cell = np.array([[4.0, 0, 0], [skew, 5, 0], [1, skew, 6 * sign]])
    first = np.array([0.1, 1e-9, -1e-9])
    image = first + np.array(shift) @ cell + [0, 0, 5e-4]
    atoms = Atoms("HH", [first, image], cell=cell, pbc=pbc)
    hidden = all(p or not s for p, s in zip(pbc, shift, strict=True))
    if hidden:
        with pytest.raises(DataError, match="same place"):
            from_ase([atoms])
    else:
        assert len(from_ase([atoms])) == 1


def test_unknown_elements_are_named():
    data = from_ase([molecule("H2O"), bulk("NaCl", "rocksalt", a=5.6)])
    check_species(data, [1, 8, 11, 17])
    with pytest.raises(DataError, match=r"frame 1: contains Na.*it knows H, O") as caught:
        check_species(data, [1, 8])
    assert caught.value.frame == 1
