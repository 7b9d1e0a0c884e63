"""What is written is read back: every value, every digit, in every format that holds structures."""

import string

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numbers

from multilode.data.ase_atoms import from_ase
from multilode.data.dataset import DataError
from multilode.data.io import read, write
from multilode.data.writing import WRITERS
from multilode.errors import DataWarning, UserError

HOLDING = [".xyz", ".extxyz", ".xyz.gz", ".xyz.bz2", ".xyz.xz", ".npz", ".traj", ".db"]
TEXTS = [
    "",
    "two\nlines",
    'a "quoted" word',
    "it's",
    "C:\\new\\table",
    "007",
    "T",
    "1 2 3",
    "a=b",
    " x ",
]
TEXTS += [
    "_JSON {}",
    "[a]",
    "{b}",
    "tab\there",
    "Å – é",
    "nan",
    "a,b",
    "\x1b[0m",
    "None",
    "#",
    "\\",
    '"',
]
WATER = [[0, 0, 0.1], [0, 0.7, -0.4], [0, -0.7, -0.4]]


def equal(a, b):
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        return a.shape == b.shape and bool(np.all((a == b) | ((a != a) & (b != b))))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    return type(a) is type(b) and (a == b or a != a)


def same(first, second):
    """All values of two data sets, but for where they come from."""
    assert set(first.columns) == set(second.columns)
    for key, values in first.columns.items():
        for a, b in zip(values, second.columns[key], strict=True):
            assert equal(a, b), (key, a, b)
    assert set(first.atom_columns) == set(second.atom_columns)
    for key, arrays in first.atom_columns.items():
        for a, b in zip(arrays, second.atom_columns[key], strict=True):
            assert (a is None) == (b is None), key
            assert a is None or equal(a, b), (key, a, b)
    for name in ("positions", "species", "cell", "pbc", "structure_index"):
        a, b = getattr(first.structures, name), getattr(second.structures, name)
        assert a.tolist() == b.tolist(), name


def labelled(n=3):
    rng = np.random.default_rng(0)
    images = []
    for k in range(n):
        size = 3 - k % 2
        atoms = Atoms("OHH"[:size], rng.normal(size=(size, 3)) + np.array(WATER[:size]) * 3)
        if k:
            atoms.set_cell(rng.normal(size=(3, 3)) + 9 * np.eye(3))
            atoms.pbc = (True, k == 2, False)
        atoms.info |= {"gap": 3e-9 * (1 + k), "name": TEXTS[k], "n": k, "done": bool(k)}
        atoms.info["tensor"] = rng.normal(size=(3, 3))
        atoms.info["list"] = rng.normal(size=4)
        atoms.info["stress"] = (tensor := rng.normal(size=(3, 3))) + tensor.T
        if k != 1:
            atoms.info["only"] = "here"
            atoms.set_array("sometimes", rng.normal(size=(size, 3)))
        atoms.set_array("shielding", 3e-9 * rng.normal(size=size))
        atoms.set_array("mask", np.arange(size) % 2 == 0)
        atoms.set_array("bec", rng.normal(size=(size, 3, 3)))
        atoms.set_array("one", rng.normal(size=(size, 1)))
        atoms.set_array("wave", rng.normal(size=size) + 1j)
        atoms.set_array("site", np.array(["a", "b c", ""][:size]))
        atoms.info["psi"] = np.array([1j, 2.0])
        atoms.calc = SinglePointCalculator(
            atoms, energy=-1.0 / 3 - k, forces=rng.normal(size=(size, 3))
        )
        images.append(atoms)
    return from_ase(images)


@pytest.mark.parametrize("suffix", HOLDING)
def test_every_value_survives(tmp_path, suffix):
    data = labelled()
    write(tmp_path / f"a{suffix}", data)
    again = read(tmp_path / f"a{suffix}")
    if suffix == ".traj":  # which has stresses as ASE has them
        full = [
            np.asarray(x)[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
            for x in again.columns["stress"]
        ]
        again = again.with_values({"stress": full})
    if suffix == ".db":
        full = [
            np.asarray(x)[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
            for x in again.columns["stress"]
        ]
        again = again.with_values({"stress": full})
    same(data, again)
    write(tmp_path / f"b{suffix}", read(tmp_path / f"a{suffix}"))
    same(read(tmp_path / f"a{suffix}"), read(tmp_path / f"b{suffix}"))


@pytest.mark.parametrize("suffix", HOLDING)
@pytest.mark.parametrize("text", TEXTS)
def test_case_6_texts_of_every_kind(tmp_path, suffix, text):
    atoms = Atoms("H", [[0, 0, 0]])
    atoms.info |= {"before": 1.5, "note": text, "after": 2.5}
    write(tmp_path / f"a{suffix}", from_ase(atoms))
    again = read(tmp_path / f"a{suffix}")
    assert again.columns["note"] == (text,)
    assert again.column("before").tolist() == [1.5]
    assert again.column("after").tolist() == [2.5]


def test_case_8_small_numbers_keep_their_digits(tmp_path):
    atoms = Atoms("H", [[1e-9 / 3, 0, 0]], info={"y": 1e-300})
    atoms.set_array("q", np.array([3e-9 / 7]))
    write(tmp_path / "a.xyz", from_ase(atoms))
    again = read(tmp_path / "a.xyz")
    assert again.atom_column("q").tolist() == [3e-9 / 7]
    assert again.structures.positions[0, 0].item() == 1e-9 / 3
    assert again.column("y").tolist() == [1e-300]


def test_other_readers_understand_what_is_written(tmp_path):
    data = labelled()
    write(tmp_path / "a.xyz", data)
    images = ase.io.read(tmp_path / "a.xyz", ":")
    for k, image in enumerate(images):
        assert image.get_potential_energy() == -1.0 / 3 - k
        np.testing.assert_array_equal(image.get_forces(), data.atom_columns["forces"][k])
        np.testing.assert_array_equal(image.get_stress(voigt=False), data.columns["stress"][k])
        assert image.info["name"] == TEXTS[k]
        assert image.info["gap"] == 3e-9 * (1 + k)
        np.testing.assert_array_equal(
            image.arrays["bec"], data.atom_columns["bec"][k].reshape(-1, 9)
        )
        assert image.pbc.tolist() == data.structures.pbc[k].tolist()


def test_what_is_written_by_others_is_read_as_they_do(tmp_path):
    atoms = Atoms("OHH", WATER, info={"note": 'a "b" c', "v": np.arange(3.0), "d": {"a": [1, 2]}})
    atoms.calc = SinglePointCalculator(
        atoms, energy=-2.5, stress=np.arange(6.0), charges=np.ones(3)
    )
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    data, known = read(tmp_path / "a.xyz"), from_ase(ase.io.read(tmp_path / "a.xyz"))
    assert data.labels("note") == known.labels("note") == ('a "b" c',)
    assert data.columns["d"] == known.columns["d"] == ({"a": [1, 2]},)
    assert data.column("energy").tolist() == [-2.5]
    assert (
        data.atom_column("charges").tolist() == known.atom_column("charges").tolist() == [1, 1, 1]
    )


def test_names_that_mean_something_else_in_a_file(tmp_path):
    atoms = Atoms("H", [[0, 0, 0]])
    names = [
        "Lattice",
        "pbc",
        "Properties",
        "lattice",
        "units",
        "multilode",
        "a b",
        "a=b",
        'q"',
        "uid",
        "x:y",
    ]
    atoms.info |= {name: value for name in names for value in ["9 0 0 0 9 0 0 0 9 bohr"]}
    for name in ("pos2", "species:x", "Z ", "charge", "pos ition"):
        atoms.set_array(name, np.array([0.5]))
    write(tmp_path / "a.xyz", from_ase(atoms))
    same(from_ase(atoms), read(tmp_path / "a.xyz"))


def test_values_that_no_file_holds_are_named(tmp_path):
    atoms = Atoms("H", [[0, 0, 0]], info={"thing": object(), "y": 1.0})
    for suffix in (".xyz", ".npz", ".db", ".traj"):
        with pytest.warns(DataWarning, match="not written.*thing"):
            write(tmp_path / f"a{suffix}", from_ase(atoms))
        assert read(tmp_path / f"a{suffix}").column("y").tolist() == [1]


@pytest.mark.parametrize(
    "name", ["a", "a.dat", "a.xyz.zip", "a.npz.gz", "a.pdb", "a.traj.gz", "a.zip"]
)
def test_case_17_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(UserError, match=r"suffix names no format.*\.xyz.*\.npz.*\.csv"):
        write(tmp_path / name, labelled())
    assert not list(tmp_path.iterdir())


def test_tables_have_values_and_are_no_structures(tmp_path):
    with pytest.warns(DataWarning, match="table of structures cannot hold them.*forces"):
        write(tmp_path / "a.csv", labelled())
    head, *rows = (tmp_path / "a.csv").read_bytes().decode().split("\r\n")
    assert head.startswith("file,frame,gap,name,n,done,tensor_0,tensor_1")
    assert rows[0].split(",")[:4] == ["structures in memory", "0", "3e-09", ""]
    with pytest.raises(DataError, match="table of values, without structures"):
        read(tmp_path / "a.csv")


def test_tables_of_atoms(tmp_path):
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 1]], info={"y": 1.5})
    atoms.set_array("predicted_q", np.array([0.25, np.nan]))
    write(tmp_path / "a.csv", from_ase(atoms))
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "file,frame,y,atom,element,predicted_q"
    assert lines[1].endswith(",0,1.5,0,O,0.25")
    assert lines[2].endswith(",0,1.5,1,H,nan")


def test_parquet_or_a_refusal(tmp_path):
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        with pytest.raises(UserError, match="needs the package pyarrow"):
            write(tmp_path / "a.parquet", labelled())
        return
    write(tmp_path / "a.parquet", from_ase(Atoms("H", info={"y": 3e-9, "name": "x"})))
    table = parquet.read_table(tmp_path / "a.parquet").to_pydict()
    assert (table["y"], table["name"], table["frame"]) == ([3e-9], ["x"], [0])


def test_an_archive_of_others_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", R=np.zeros((1, 3, 3)), z=np.array([8, 1, 1]))
    with pytest.raises(DataError, match="no archive of structures"):
        read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", positions=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="no archive of structures"):
        read(tmp_path / "b.npz")


def test_all_formats_of_the_table_are_tested():
    assert set(WRITERS) == {*(s for s in HOLDING if s.count(".") == 1), ".csv", ".parquet"}


ARRAYS = numbers.arrays(
    st.sampled_from([np.float64, np.int64, np.bool_]),
    numbers.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3),
)
VALUES = st.one_of(
    st.text(max_size=12),
    st.text(alphabet=string.punctuation + " \n\t\\\"'ab1", max_size=12),
    st.floats(),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    ARRAYS,
    st.dictionaries(
        st.text(max_size=4), st.one_of(st.text(max_size=4), st.integers(-5, 5)), max_size=3
    ),
)
KEYS = st.one_of(
    st.text(min_size=1, max_size=8), st.sampled_from(["pbc", "Lattice", "units", "cell", "uid"])
)


@given(
    values=st.dictionaries(KEYS.filter(lambda k: k not in ("charges", "tags")), VALUES, max_size=5)
)
def test_any_values_survive_extended_xyz(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "any.xyz"
    data = from_ase(Atoms("OH", [[0, 0, 0], [0, 0, 1]], info=values))
    write(path, data)
    same(data, read(path))


@given(
    arrays=st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda k: k not in ("numbers", "positions")),
        st.one_of(
            numbers.arrays(
                st.sampled_from([np.float64, np.int64, np.bool_]),
                st.sampled_from([(2,), (2, 1), (2, 3), (2, 2, 2)]),
            ),
            st.lists(st.text(max_size=5), min_size=2, max_size=2).map(lambda x: np.array(x)),
        ),
        max_size=4,
    )
)
def test_any_arrays_of_atoms_survive_extended_xyz(tmp_path_factory, arrays):
    path = tmp_path_factory.getbasetemp() / "arrays.xyz"
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 1]])
    for key, array in arrays.items():
        atoms.arrays[key] = array
    data = from_ase(atoms)
    write(path, data)
    same(data, read(path))
