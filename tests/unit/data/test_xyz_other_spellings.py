"""Cells, periods and lengths under other keys than those of extended XYZ."""

import numpy as np
import pytest
from ase import Atoms

from multilode.data.ase_atoms import from_ase
from multilode.data.io import read, write
from multilode.errors import DataWarning
from xyz_frames import BOX, CELL, refusal


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("periodic=XY", [1, 1, 0]),
        ("PERIODIC=z", [0, 0, 1]),
        ("periodic=none", [0, 0, 0]),
        ("periodic=F", [0, 0, 0]),
        ("boundary=p", [1, 1, 1]),
    ],
)
def test_periodicity_under_other_keys(frame, comment, expected):
    """A slab whose key was not read became a crystal."""
    assert frame(f"Lattice={BOX} {comment}").structures.pbc[0].tolist() == expected


@pytest.mark.parametrize("comment", ["periodicity=2", "periodic=3D", "boundary=mixed"])
def test_periodicity_that_says_no_flags_is_refused(frame, comment):
    assert "not three flags" in refusal(frame, f"Lattice={BOX} {comment}")


@pytest.mark.parametrize(
    "comment",
    [
        "i = 1, E = -17.1 Cell(A,B,C) 9.8 9.8 9.8",
        'cellpar="9 9 9 90 90 90"',
        'cell_lengths="9 9 9" cell_angles="90 90 90"',
        'lattice_parameters="9 9 9 90 90 90"',
        "CELL(abcABC): 9 9 9 90 90 90 positions{angstrom}",
        'box_size="9 9 9"',
        'cell="9 9 9 9"',
    ],
)
def test_cells_of_other_spellings_are_refused(frame, comment):
    """Boxes whose key was not read became molecules."""
    said = refusal(frame, comment)
    assert "Lattice=" in said


@pytest.mark.parametrize(
    "comment", ['cell_id="3"', "cell_volume=729.0", "boxed=T", 'cellulose="1 2 3"', "lattice=fcc"]
)
def test_keys_that_are_no_cells(frame, comment):
    data = frame(f'{comment} pbc="F F F"')
    assert not data.structures.cell.any()


def test_other_words_of_a_cell_beside_one_that_is_read(frame):
    data = frame(f'Lattice={BOX} cell_lengths="9 8 7"')
    assert data.column("cell_lengths").tolist() == [[9, 8, 7]]


def test_values_that_would_be_taken_for_a_cell_come_back(tmp_path):
    """`write` keeps them where no reader looks for a cell."""
    own = {"cell_offset": (np.array([1.0, 2, 3]),), "periodicity": (2,)}
    data = from_ase([Atoms("H")]).with_values(own)
    write(tmp_path / "a.xyz", data)
    again = read(tmp_path / "a.xyz")
    assert again.column("cell_offset").tolist() == [[1, 2, 3]]
    assert again.column("periodicity").tolist() == [2]


@pytest.mark.parametrize("key", ["length_unit", "Length_Units"])
@pytest.mark.parametrize(
    ("unit", "size"), [("bohr", 0.529177210), ("Bohr", 0.529177210), ("nm", 10.0)]
)
def test_a_unit_of_all_lengths_is_converted(tmp_path, frame, key, unit, size):
    """Positions and cell, also that of lines after the atoms; once, also if it is written again."""
    with pytest.warns(DataWarning, match="values per length, such as forces, are not"):
        data = frame(f"Lattice={BOX} {key}={unit}")
    expected = size * np.array([[0, 0, 0.1], [0, 0.7, -0.4], [0, -0.7, -0.4]])
    np.testing.assert_allclose(data.structures.positions, expected, rtol=1e-8)
    np.testing.assert_allclose(data.structures.cell[0], size * np.array(CELL), rtol=1e-8)
    assert not data.columns
    write(tmp_path / "b.xyz", data)
    np.testing.assert_allclose(read(tmp_path / "b.xyz").structures.positions, expected, rtol=1e-8)
    (tmp_path / "c.xyz").write_text(
        f"1\n{key}={unit}\nH 0 0 1\nVEC1 9 0 0\nVEC2 0 9 0\nVEC3 0 0 9\n"
    )
    with pytest.warns(DataWarning):
        again = read(tmp_path / "c.xyz").structures
    np.testing.assert_allclose(again.cell[0], 9 * size * np.eye(3), rtol=1e-8)


@pytest.mark.parametrize("unit", ["Angstrom", "A", "eV", "my own"])
def test_units_of_all_lengths_that_change_nothing(frame, unit):
    data = frame(f'length_unit="{unit}"')
    assert data.structures.positions[1].tolist() == [0, 0.7, -0.4]
    assert data.labels("length_unit") == (unit,)


@pytest.mark.parametrize("unit", ["au", "a.u.", "atomic_units"])
def test_a_unit_of_all_lengths_that_may_be_another_is_refused(frame, unit):
    assert "read in Å" in refusal(frame, f"Lattice={BOX} length_unit={unit}")
