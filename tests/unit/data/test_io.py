"""Files of every kind are read in full or refused with one clear sentence."""

import gzip

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

from multilode.data.dataset import DataError
from multilode.data.io import read, write
from multilode.data.writing import WRITERS

WATER = """3
Properties=species:S:1:pos:R:3 energy=-1.5 charge=0 name=a pbc="F F F"
O 0.0 0.0 0.1
H 0.0 0.7 -0.4
H 0.0 -0.7 -0.4
"""
SALT = """2
Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:forces:R:3 energy=-3 name=b
Na 0.0 0.0 0.0 0.1 0.0 0.0
Cl 5.0 2.0 2.0 -0.1 0.0 0.0
"""


@pytest.fixture
def both(tmp_path):
    path = tmp_path / "both.xyz"
    path.write_text(WATER + SALT)
    return path


def refused(path, text, index=":"):
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError) as caught:
        read(path, index)
    assert "\n" not in str(caught.value)
    assert caught.value.file == str(path)
    assert str(path) in str(caught.value)
    return caught.value


def test_structures_and_values_of_an_extended_xyz_file(both):
    data = read(both)
    assert data.structures.counts.tolist() == [3, 2]
    assert data.structures.species.tolist() == [8, 1, 1, 11, 17]
    assert data.structures.pbc.tolist() == [[False] * 3, [True] * 3]
    assert data.structures.positions[4].tolist() == [5.0, 2.0, 2.0]  # outside the cell, unwrapped
    np.testing.assert_array_equal(data.column("energy"), [-1.5, -3.0])
    assert data.labels("name") == ("a", "b")
    assert [str(o) for o in data.source] == [f"{both}, frame 0", f"{both}, frame 1"]
    assert data.atom_columns["forces"][0] is None
    assert data.select([1]).atom_column("forces")[1].tolist() == [-0.1, 0.0, 0.0]


@pytest.mark.parametrize(("index", "frames"), [("1", [1]), ("-1", [1]), ("::-1", [1, 0])])
def test_index_keeps_the_number_of_the_frame(both, index, frames):
    assert [origin.frame for origin in read(both, index).source] == frames


@pytest.mark.parametrize("index", ["7", "x", "5:", "1:2:3:4"])
def test_an_index_that_selects_nothing_is_refused(both, index):
    assert index in str(refused(both, None, index))


def test_several_files_compressed_files_and_progress(both, tmp_path):
    compressed = tmp_path / "more.xyz.gz"
    compressed.write_bytes(gzip.compress(SALT.encode()))
    calls = []
    data = read([both, compressed], progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2), (1, 1)]
    assert [origin.frame for origin in data.source] == [0, 1, 0]
    with pytest.raises(DataError, match=r"both.xyz, frame 1, key 'charge'.*missing.*1 other"):
        data.column("charge")


def test_another_format_of_ase(tmp_path):
    ase.io.write(tmp_path / "POSCAR", bulk("NaCl", "rocksalt", a=5.64))
    data = read(tmp_path / "POSCAR")
    assert sorted(data.structures.species.tolist()) == [11, 17]
    np.testing.assert_allclose(data.structures.volumes.numpy(), [5.64**3 / 4], rtol=1e-12)


def test_sqlite_database(tmp_path):
    path = tmp_path / "set.db"
    with ase.db.connect(path) as database:
        for energy in (-1.0, -2.0):
            atoms = molecule("H2O")
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.ones((3, 3)))
            database.write(atoms, band_gap=2.5 * energy, data={"tensor": np.arange(9.0)})
    data = read(path)
    assert data.column("energy").tolist() == [-1.0, -2.0]
    assert data.column("band_gap").tolist() == [-2.5, -5.0]
    assert data.column("tensor").shape == (2, 9)
    assert data.atom_column("forces").shape == (6, 3)
    path.write_bytes(b"not a database")
    assert "database" in str(refused(path, None))


def test_what_is_written_is_read_back(both, tmp_path):
    data = read(both)
    path = tmp_path / "out.xyz.gz"
    write(path, data)
    again = read(path)
    assert again.labels("name") == data.labels("name")
    assert again.column("energy").tolist() == data.column("energy").tolist()
    assert again.atom_columns["forces"][1].tolist() == data.atom_columns["forces"][1].tolist()
    np.testing.assert_allclose(again.structures.positions, data.structures.positions, atol=1e-8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["both.xyz", "out.xyz.gz"]


def test_an_interrupted_write_leaves_the_old_file(both, tmp_path, monkeypatch):
    def interrupted(path, dataset):
        path.write_text("half")
        raise KeyboardInterrupt

    data = read(both)
    path = tmp_path / "out.xyz"
    path.write_text("old")
    monkeypatch.setitem(WRITERS, ".xyz", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(path, data)
    assert path.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["both.xyz", "out.xyz"]


def test_empty_missing_and_binary_files(tmp_path):
    assert "empty" in str(refused(tmp_path / "empty.xyz", ""))
    assert "no structure" in str(refused(tmp_path / "blank.xyz", "\n\n"))
    assert "no such file" in str(refused(tmp_path / "none.xyz", None))
    (tmp_path / "binary.xyz").write_bytes(bytes(range(128, 256)))
    assert "not a text file" in str(refused(tmp_path / "binary.xyz", None))
    with pytest.raises(DataError, match="at least one"):
        read([])


@pytest.mark.parametrize("kept", [12, 60, len(WATER) - 25, len(WATER) + 90])
def test_truncated_files_name_their_frame(tmp_path, kept):
    error = refused(tmp_path / "cut.xyz", (WATER + SALT)[:kept])
    assert error.frame == (0 if kept < len(WATER) else 1)
    assert "truncated" in str(error) or "expected" in str(error)


def test_truncated_digits_at_the_end_of_columns_of_one_width(tmp_path, both):
    write(tmp_path / "fixed.xyz", read(both, "0"))
    text = (tmp_path / "fixed.xyz").read_text()
    assert len(read_text(tmp_path / "complete.xyz", text[:-1])) == 1  # only the line break
    error = refused(tmp_path / "cut.xyz", text[:-3])
    assert "shorter than the others" in str(error)
    assert len(read_text(tmp_path / "by_hand.xyz", WATER.rstrip())) == 1


def read_text(path, text):
    path.write_text(text)
    return read(path)


def test_truncated_compressed_file(tmp_path):
    path = tmp_path / "cut.xyz.gz"
    path.write_bytes(gzip.compress((WATER * 200).encode())[:-40])
    assert "truncated or damaged" in str(refused(path, None))


def test_an_empty_line_between_frames_does_not_hide_the_rest(tmp_path):
    error = refused(tmp_path / "gap.xyz", WATER + "\n" + WATER)
    assert error.frame == 1
    (tmp_path / "end.xyz").write_text(WATER + "\n\n")
    assert len(read(tmp_path / "end.xyz")) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.7 -0.4\nH", "nan -0.4\nH", "atom 1 is not finite"),
        ("0.7 -0.4\nH", "inf -0.4\nH", "atom 1 is not finite"),
        ("0.7 -0.4\nH", "-0.7 -0.4005\nH", "atoms 1 and 2 are in the same place"),
        ('"F F F"', '"T T T"', "no volume"),
        ('pbc="F F F"', 'Lattice="9 0 0 0 9 0 9 9 .01" pbc="T T T"', "repeats every 0.01 Å"),
        ('pbc="F F F"', 'Lattice="9 0 0 0 9 0 0 0 1e200" pbc="F F T"', "longer than 1e+08 Å"),
        ("0.7 -0.4\nH", "1e300 -0.4\nH", "atom 1 is farther than 1e+08 Å from the origin"),
        ("H 0.0 0.7", "Xq 0.0 0.7", "atom 1: 'Xq' is not a chemical element"),
        ("H 0.0 0.7", "X 0.0 0.7", "no chemical element"),
        ("H 0.0 0.7", "H 0.0 abc", "atom 1 has 'abc', which is no number"),
    ],
)
def test_structures_that_cannot_be_used(tmp_path, old, new, said):
    error = refused(tmp_path / "bad.xyz", SALT + WATER.replace(old, new, 1))
    assert said in str(error)
    assert error.frame == 1


def test_paths_that_are_no_files(tmp_path):
    for path, said in [
        (tmp_path, "is a folder"),
        ("x" * 5000, "cannot be read"),
        ("a/b", "no such"),
    ]:
        with pytest.raises(DataError, match=said):
            read(path)


def test_names_and_marks_that_mean_something_to_others(tmp_path):
    (tmp_path / "marked.xyz").write_text(WATER, encoding="utf-8-sig")
    assert len(read(tmp_path / "marked.xyz")) == 1
    ase.io.write(tmp_path / "name@1.traj", Atoms("H"), format="traj")
    assert len(read(tmp_path / "name@1.traj")) == 1
    with pytest.raises(DataError, match="the index '' does not fit"):
        read(tmp_path / "marked.xyz", "")


def test_values_that_are_no_numbers_name_file_frame_and_key(tmp_path):
    path = tmp_path / "v.xyz"
    for value, said in [
        ("high", "'high' is not a number"),
        ("nan", "value nan is not finite"),
        ("1e300", "value 1e\\+300 is too large"),
        ('"1 2"', "shape"),
        ("T", "not a number"),
    ]:
        path.write_text(
            WATER.replace("charge=0", "gap=1") + WATER.replace("charge=0", f"gap={value}")
        )
        with pytest.raises(DataError, match=rf"v.xyz, frame 1, key 'gap': .*{said}"):
            read(path).column("gap")
    with pytest.raises(DataError, match=r"key 'gpa': .*keys of this frame are.*mean 'gap'"):
        read(path).column("gpa")
