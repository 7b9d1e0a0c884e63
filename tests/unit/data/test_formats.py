"""Structures and values in the formats of other programs are what was written, or are refused."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from multilode import read
from multilode.data.dataset import DataError
from multilode.errors import DataWarning

CELL = np.array([[5.6, 0, 0], [0.3, 5.7, 0], [0.1, 0.2, 6.1]])
FORCES = np.arange(9.0).reshape(3, 3) / 10
STRESS = np.array([1, 2, 3, 4, 5, 6]) / 100  # xx, yy, zz, yz, xz, xy
MATRIX = np.array([[1, 6, 5], [6, 2, 4], [5, 4, 3]]) / 100
DIGITS = 2e-3  # Å; GROMACS and PDB write no more
WITH_VALUES = ("traj", "json", "db", "extxyz")
CRYSTALS = {
    "cif": "x.cif",
    "vasp": "POSCAR",
    "aims": "geometry.in",
    "xsf": "x.xsf",
    "proteindatabank": "x.pdb",
    "gen": "x.gen",
    "res": "x.res",
    "lammps-data": "x.lammps-data",
    "gaussian-in": "x.com",
    "espresso-in": "x.pwi",
    "castep-cell": "x.cell",
    "nwchem-in": "x.nwi",
    "struct": "x.struct",
    "dlp4": "x.config",
    "gromacs": "x.gro",
    "v-sim": "x.ascii",
    "magres": "x.magres",
    "abinit-in": "x.abi",
    "onetep-in": "x.dat",
    "cfg": "x.cfg",
    "gpumd": "xyz.in",
    "xtd": "x.xtd",
} | {kind: f"x.{kind}" for kind in WITH_VALUES}
MOLECULES = {
    "aims": "geometry.in",
    "xsf": "x.xsf",
    "proteindatabank": "x.pdb",
    "gen": "x.gen",
    "turbomole": "coord",
    "gaussian-in": "x.com",
    "nwchem-in": "x.nwi",
    "mol": "x.mol",
    "sdf": "x.sdf",
    "xyz": "x.xyz",
} | {kind: f"x.{kind}" for kind in WITH_VALUES}
MORE = {
    "espresso-in": {"pseudopotentials": {"Na": "a", "Cl": "b", "O": "c"}},
    "lammps-data": {"masses": True},
}


def structure(*, periodic):
    positions = [[0.1, 0.2, 0.3], [2.9, 0.4, 0.1], [0.3, 2.1, 2.2]]
    image = Atoms("NaClO", positions, pbc=periodic, cell=CELL if periodic else None)
    values = {"energy": -3.25, "forces": FORCES} | ({"stress": STRESS} if periodic else {})
    image.calc = SinglePointCalculator(image, **values)
    return image


def distances(image):
    found = image[np.argsort(image.numbers)]  # some formats sort the atoms
    return found.get_all_distances(mic=bool(image.pbc.any()))


@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
@pytest.mark.parametrize(
    ("kind", "name", "periodic"),
    [(*item, True) for item in CRYSTALS.items()] + [(*item, False) for item in MOLECULES.items()],
)
def test_what_a_format_says_is_read(kind, name, periodic, tmp_path):
    image = structure(periodic=periodic)
    write(tmp_path / name, image, format=kind, **MORE.get(kind, {}))
    dataset = read(tmp_path / name)
    own = dataset.structures
    again = Atoms(own.species.numpy(), own.positions.numpy(), cell=own.cell[0].numpy())
    again.pbc = own.pbc[0].numpy()
    assert sorted(again.symbols) == sorted(image.symbols)
    assert again.pbc.tolist() == [periodic] * 3
    np.testing.assert_allclose(distances(again), distances(image), atol=DIGITS)
    np.testing.assert_allclose(again.cell.cellpar(), image.cell.cellpar(), atol=5e-3)
    if not periodic:
        assert not own.cell.any()
    if kind in WITH_VALUES:
        assert dataset.columns["energy"][0] == pytest.approx(-3.25)
    if kind in (*WITH_VALUES, "xsf"):
        np.testing.assert_allclose(dataset.atom_columns["forces"][0], FORCES, atol=1e-6)
    if kind in WITH_VALUES and periodic:
        stress = np.asarray(dataset.columns["stress"][0])
        np.testing.assert_allclose(stress, MATRIX if stress.ndim == 2 else STRESS)
    # nothing is made up
    known = {"energy", "stress"} if kind in WITH_VALUES else set()
    assert {"energy", "stress", "dipole", "free_energy"} & set(dataset.columns) == (
        known if periodic else known - {"stress"}
    )


LAMMPS = """comment

3 atoms
2 atom types
0 6 xlo xhi
0 6 ylo yhi
0 6 zlo zhi

Atoms # atomic

1 1 0 0 0
2 2 1 0 0
3 2 0 1 0
"""
TURBOMOLE = """$coord
 0 0 0.2 o
 0 1.4 -0.9 h
 0 -1.4 -0.9 h
$periodic 3
$lattice bohr
 10 0 0
 0 10 0
 0 0 10
$end
"""
DISORDERED = """data_x
_cell_length_a 5.0
_cell_length_b 5.0
_cell_length_c 5.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0 0 0 0.5
K1 K 0 0 0 0.5
Cl1 Cl 0.5 0.5 0.5 1.0
"""


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.lammps-data", LAMMPS, "types of atoms but no elements"),
        ("coord", TURBOMOLE, "is periodic, but the reader of this format"),
        ("x.cif", DISORDERED, "occupied by 50 % Na, 50 % K|occupied by 50 % K, 50 % Na"),
        ("x.cif", DISORDERED.replace("K1 K 0 0 0", "K1 K 0.5 0 0"), "occupied by 50 % Na;"),
    ],
)
def test_what_ase_would_make_up_is_refused(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words):
        read(tmp_path / name)


def test_the_cell_of_a_pdb_file_that_stands_for_none(tmp_path):
    write(tmp_path / "x.pdb", structure(periodic=False))
    line = f"CRYST1{1:9.3f}{1:9.3f}{1:9.3f}{90:7.2f}{90:7.2f}{90:7.2f} P 1           1\n"
    (tmp_path / "y.pdb").write_text(line + (tmp_path / "x.pdb").read_text())
    with pytest.warns(DataWarning, match="stands for none"):
        found = read(tmp_path / "y.pdb").structures
    assert not found.pbc.any()
    assert not found.cell.any()
    assert (found.positions == read(tmp_path / "x.pdb").structures.positions).all()


def test_a_cube_file_is_said_to_be_read_as_a_crystal(tmp_path):
    write(tmp_path / "x.cube", structure(periodic=True), data=np.zeros((2, 2, 2)))
    with pytest.warns(DataWarning, match="does not tell a crystal from a molecule"):
        found = read(tmp_path / "x.cube").structures
    np.testing.assert_allclose(found.cell[0], CELL, atol=1e-4)
