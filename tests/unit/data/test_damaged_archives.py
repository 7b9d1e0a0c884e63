"""Archives, databases and files of other programs that are damaged: one sentence names the file."""

import numpy as np
import pytest
from ase import Atoms

from multilode.data.ase_atoms import from_ase
from multilode.data.dataset import DataError
from multilode.data.io import read, write


@pytest.fixture
def archive(tmp_path):
    """An archive of two molecules, and its arrays."""
    images = [Atoms("OH", [[0, 0, 0], [0, 0, 1.0 + i / 10]], info={"e": float(i)}) for i in (0, 1)]
    for image in images:
        image.arrays["q"] = np.array([-0.5, 0.5])
    path = tmp_path / "a.npz"
    write(path, from_ase(images))
    with np.load(path, allow_pickle=False) as file:
        return path, {name: file[name] for name in file.files}


def refused(path, said):
    with pytest.raises(DataError, match=said) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("name", "new", "said"),
    [
        ("positions", np.zeros((4, 2)), r"'positions' has shape \(4, 2\)"),
        ("positions", np.zeros(4), "'positions' has shape"),
        ("positions", np.full((4, 3), np.nan), "not finite"),
        ("positions", np.zeros((4, 3)), "frame 0: atoms 0 and 1 are"),
        ("positions", np.zeros((4, 3), dtype=complex), "is no archive"),
        ("positions", np.array(["x"] * 4), "is no archive"),
        ("species", np.array([8, 1, 8, 119]), "frame 1: atom 1 has no chemical element"),
        ("species", np.array([8.5, 1, 8, 1]), "no whole numbers"),
        ("species", np.array([8, 1, 8]), "'species' has shape"),
        ("cell", np.zeros((3, 3, 3)), "has shape"),
        ("cell", np.array(0.0), "is no archive"),
        ("pbc", np.ones((2, 3), dtype=bool), "structure 0 is periodic along abc"),
        ("structure_index", np.array([0, 0, -1, 1]), "ascend"),
        ("structure_index", np.array([0, 0, 0, 0]), "frame 0: atoms 0 and 2 are"),
        ("structure_index", np.array([0, 0, 0, 2**40]), "ascend"),
        ("column:e", np.zeros(3), "'e' has 3 entries for 2 structures"),
        ("atom_column:q", np.zeros(3), "has 3 rows for 4 atoms"),
        ("json:column:x", np.array("[1"), "JSONDecodeError"),
        ("json:column:x", np.array("7"), "is no archive"),
    ],
)
def test_arrays_that_do_not_fit(archive, name, new, said):
    path, arrays = archive
    np.savez(path, **{**arrays, name: new})
    refused(path, said)


def test_archives_that_are_none(archive):
    path, arrays = archive
    data = path.read_bytes()
    for damaged in (data[:-30], data[:200] + b"x" * 40 + data[240:], b"PK\x03\x04", b"\x00" * 50):
        path.write_bytes(damaged)
        refused(path, "is no archive")
    del arrays["pbc"]
    np.savez(path, **arrays)
    refused(path, "'pbc")


def test_integers_of_other_kinds_are_read(archive):
    path, arrays = archive
    kinds = {"species": np.int16, "structure_index": np.uint8}
    np.savez(path, **{k: v.astype(kinds[k]) if k in kinds else v for k, v in arrays.items()})
    assert read(path).structures.species.tolist() == [8, 1, 8, 1]


def test_a_number_that_is_taken_for_a_size(tmp_path):
    """A reader that asks for terabytes is refused as any other that fails."""
    path = tmp_path / "a.cube"
    path.write_text("x\ny\n1 0 0 0\n" + "99999 1 0 0\n" * 3 + "8 0 0 0 0\n0 0 0\n")
    refused(path, "cannot be read")


def test_a_cube_file_that_announces_too_many_orbitals(tmp_path):
    """ASE's reader ran on at the end of the file."""
    path = tmp_path / "a.cube"
    grid = "2 1 0 0\n2 0 1 0\n2 0 0 1\n"
    path.write_text(f"x\ny\n-1 0 0 0\n{grid}8 0 0 0 0\n9999 1\n" + "0 " * 8 + "\n")
    refused(path, "fewer than the 9999 orbitals")


def test_a_dump_that_announces_too_many_atoms(tmp_path):
    """ASE's reader went on for as many lines as were announced, in any of the frames."""
    path = tmp_path / "a.dump"
    frame = (
        "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{}\nITEM: BOX BOUNDS ff ff ff\n0 1\n0 1\n0 1\n"
        "ITEM: ATOMS id element x y z\n1 O 0 0 0\n"
    )
    path.write_text(frame.format(1) + frame.format("100000000000"))
    refused(path, "announces 100000000000 atoms")
