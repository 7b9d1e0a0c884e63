"""Outputs of electronic-structure codes: values in eV and Å, and what is wrong with a file is said.

The files in `outputs/` are written by hand, of two hydrogen atoms in one or two steps.
"""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import molecule
from ase.io import write

from multilode import read
from multilode.data.dataset import DataError
from multilode.errors import DataWarning

OUTPUTS = Path(__file__).parent / "outputs"
FIRST = np.array([[0.1, -0.2, 0.5], [-0.1, 0.2, -0.5]])
SECOND = np.array([[0.05, 0, 0.25], [-0.05, 0, -0.25]])
STRESS = np.array([1.0, 2.0, 3.0, 0.2, 0.3, 0.1])  # xx, yy, zz, yz, xz, xy
HARTREE = units.Hartree
# energy of the first step, free energy, stress per unit above, periodicity
FILES = {
    "OUTCAR": ([-6.65, -6.75], [-6.7, -6.8], -0.01, "TTT"),
    "vasprun.xml": ([-6.65, -6.75], [-6.7, -6.8], -0.01, "TTT"),
    "aims.out": ([-31.7, -31.8], [-31.7, -31.8], None, "FFF"),
    "relaxed.pwo": (
        [-2.3 * units.Ry, -2.31 * units.Ry],
        [-2.3 * units.Ry, -2.31 * units.Ry],
        -1e-4 * units.Ry / units.Bohr**3,
        "TTT",
    ),
    "molecule.log": ([-1.16 * HARTREE, -1.161 * HARTREE], None, None, "FFF"),
    "orca.out": ([-1.16 * HARTREE], [-1.16 * HARTREE], None, "FFF"),
    "molecule.nwo": ([-1.16 * HARTREE, -1.161 * HARTREE], None, None, "FFF"),
    "crystal.castep": ([-30.6], [-30.7], -0.01, "TTT"),
    "gpaw.txt": ([-6.65, -6.75], [-6.7, -6.8], None, "TTF"),
    "crystal.abo": ([-1.16 * HARTREE], None, -1e-4 * HARTREE / units.Bohr**3, "TTT"),
}
# what is said of an energy that is not the one of the forces
TWO_ENERGIES = ("OUTCAR", "vasprun.xml", "crystal.castep", "gpaw.txt")
# the last lines, which say that the program has come to its end, and what it says otherwise
FAILED = {
    "OUTCAR": ("aborting loop because EDIFF is reached", "aborting loop EDIFF was not reached"),
    "relaxed.pwo": ("JOB DONE.", "convergence NOT achieved after 100 iterations: stopping"),
    "molecule.log": ("Mulliken charges:", "Convergence failure -- run terminated."),
    "molecule.nwo": ("Total times  cpu:", "Calculation failed to converge"),
    "gpaw.txt": ("Kinetic:", "Did not converge!\n\nKinetic:"),
}


def quietly(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return read(path)


def said(path):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        read(path)
    return " ".join(str(one.message) for one in found)


@pytest.mark.parametrize("name", FILES)
def test_values_are_in_ev_and_angstrom(name):
    """Energies, forces, stresses positive under tension, and periods of every step."""
    energies, free, stress, pbc = FILES[name]
    found = quietly(OUTPUTS / name)
    np.testing.assert_allclose(found.column("energy"), energies, atol=1e-5)
    if free is not None:
        np.testing.assert_allclose(found.column("free_energy"), free, atol=1e-5)
    forces = np.concatenate([FIRST, SECOND][: len(energies)])
    np.testing.assert_allclose(found.atom_column("forces"), forces, atol=2e-6)
    places = np.array([[[0, 0, 0], [0, 0, 0.74]], [[0, 0, 0.01], [0, 0, 0.76]]], dtype=float)
    places = places[: len(energies)].reshape(-1, 3)
    np.testing.assert_allclose(found.structures.positions.numpy(), places, atol=1e-5)
    flags = "".join("FT"[int(flag)] for flag in found.structures.pbc[0])
    assert flags == pbc
    if "T" in pbc:
        cell = found.structures.cell[0].numpy()
        np.testing.assert_allclose(cell, np.diag([5.0, 5.0, 6.0]), atol=1e-6)
    if stress is not None:
        np.testing.assert_allclose(found.column("stress")[0], stress * STRESS, rtol=1e-4)


@pytest.mark.parametrize("name", FILES)
def test_what_is_said_of_a_whole_file(name):
    texts = said(OUTPUTS / name)
    assert ("slopes of 'free_energy'" in texts) == (name in TWO_ENERGIES)
    assert ("dipoles are left out" in texts) == (name == "molecule.log")
    assert "did not come to its end" not in texts
    assert "did not converge" not in texts


@pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml", "relaxed.pwo", "molecule.nwo"])
def test_files_that_end_too_early(tmp_path, name):
    lines = (OUTPUTS / name).read_text().splitlines()
    (tmp_path / name).write_text("\n".join(lines[:-8]))
    assert "did not come to its end" in said(tmp_path / name)


@pytest.mark.parametrize("name", ["aims.out", "orca.out", "crystal.castep"])
def test_files_whose_readers_want_their_end(tmp_path, name):
    lines = (OUTPUTS / name).read_text().splitlines()
    (tmp_path / name).write_text("\n".join(lines[:-8]))
    with pytest.raises(DataError, match="cannot be read"):
        quietly(tmp_path / name)


@pytest.mark.parametrize("name", FAILED)
def test_some_cycles_that_did_not_converge(tmp_path, name):
    text = (OUTPUTS / name).read_text()
    assert FAILED[name][0] in text
    (tmp_path / name).write_text(text.replace(*FAILED[name], 1))
    assert "1 of its self-consistency cycles did not converge" in said(tmp_path / name)


def test_cycles_of_an_xml_file_with_all_the_steps_they_may_have(tmp_path):
    text = (OUTPUTS / "vasprun.xml").read_text().replace('"NELM">     3', '"NELM">     2')
    (tmp_path / "vasprun.xml").write_text(text)
    assert "2 of its self-consistency cycles did not converge" in said(tmp_path / "vasprun.xml")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("crystal.castep", "*Warning* max. SCF cycles: system has not reached the groundstate"),
        ("crystal.abo", " nstep=   30 was not enough SCF cycles to converge;"),
        ("orca.out", " SCF NOT CONVERGED AFTER 125 CYCLES"),
    ],
)
def test_one_structure_that_did_not_converge_is_refused(tmp_path, name, text):
    lines = (OUTPUTS / name).read_text().splitlines()
    (tmp_path / name).write_text("\n".join([*lines[:9], text, *lines[9:]]))
    with pytest.raises(DataError, match="did not converge"):
        quietly(tmp_path / name)


def test_an_output_without_structures(tmp_path):
    """Of another program: the suffix `.out` is Quantum ESPRESSO's for ASE."""
    (tmp_path / "cp2k.out").write_text(" CP2K| version string: 2023.1\n ENERGY| Total -17.2\n" * 9)
    with pytest.raises(DataError, match="no structure that the reader of the format 'espresso"):
        read(tmp_path / "cp2k.out")


def test_vectors_of_abinit_that_have_lengths(tmp_path):
    text = (OUTPUTS / "crystal.abo").read_text().replace("1.8897261246E+00", "1.0000000000E+01")
    (tmp_path / "crystal.abo").write_text(text)
    with pytest.raises(DataError, match="acell is 10, 10, 10 bohr"):
        read(tmp_path / "crystal.abo")


def test_forces_of_gaussian_beside_turned_positions(tmp_path):
    text = (OUTPUTS / "molecule.log").read_text().replace("Input orientation", "Some orientation")
    (tmp_path / "molecule.log").write_text(text)
    with pytest.raises(DataError, match="standard orientation"):
        read(tmp_path / "molecule.log")


def test_molecules_in_boxes(tmp_path):
    text = (OUTPUTS / "OUTCAR").read_text()
    for old, new in (("5.000000000", "15.000000000"), ("6.000000000", "16.000000000")):
        text = text.replace(f" {old}", f" {new}")
    (tmp_path / "OUTCAR").write_text(text)
    assert "2 of its structures have more than 8 Å of vacuum" in said(tmp_path / "OUTCAR")


@pytest.mark.parametrize("side", ["inf", "nan", "1e200", "0", "1e-200"])
def test_cells_that_enclose_nothing_are_no_boxes(tmp_path, side):
    """Found by random damage: the decomposition of a cell that is not finite has an error."""
    path = tmp_path / "POSCAR"
    write(path, molecule("H2O", vacuum=6.0), format="vasp")
    lines = path.read_text().splitlines()
    lines[2] = f"{side} 0 0"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_compressed_outputs(tmp_path):
    import gzip

    with (
        (OUTPUTS / "relaxed.pwo").open("rb") as source,
        gzip.open(tmp_path / "relaxed.pwo.gz", "wb") as file,
    ):
        shutil.copyfileobj(source, file)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        assert len(read(tmp_path / "relaxed.pwo.gz")) == 2


def test_files_of_atomeye_are_crystals(tmp_path):
    write(tmp_path / "x.cfg", molecule("H2O", cell=[4, 4, 4]), format="cfg")
    assert "read as a crystal" in said(tmp_path / "x.cfg")


PLANE_WAVES = """\
              Northwest Computational Chemistry Package (NWChem) 7.0.2

                             Geometry "geometry" -> ""
                             -------------------------

 Output coordinates in angstroms (scale by  1.889725989 to convert to a.u.)

  No.       Tag          Charge          X              Y              Z
 ---- ---------------- ---------- -------------- -------------- --------------
    1 H                    1.0000     0.00000000     0.00000000     0.00000000
    2 H                    1.0000     0.00000000     0.00000000     0.74000000

      Lattice Parameters
      ------------------

      lattice vectors in angstroms (scale by  1.889725989 to convert to a.u.)

      a1=<   5.000   0.000   0.000 >
      a2=<   0.000   5.000   0.000 >
      a3=<   0.000   0.000   6.000 >
      a=       5.000 b=      5.000 c=       6.000

          *               NWPW PSPW Calculation              *

 orbital energies:
    -0.3919370E+00 ( -10.665eV) occ=1.000

 Total PSPW energy     :  -0.1160000000E+01

 Total times  cpu:        1.0s     wall:        1.2s
"""


def test_plane_waves_of_nwchem_are_periodic(tmp_path):
    """ASE reads their cell, without periods, as that of a molecule."""
    (tmp_path / "x.nwo").write_text(PLANE_WAVES)
    found = quietly(tmp_path / "x.nwo")
    assert bool(found.structures.pbc.all())
    np.testing.assert_allclose(found.column("energy"), [-1.16 * HARTREE])
