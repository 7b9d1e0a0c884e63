"""Results of calculators are taken if they belong to the structure at hand, and to no other."""

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

import multilode as ml
from multilode.data.ase_atoms import from_ase
from multilode.data.dataset import DataError
from multilode.data.io import read, write
from multilode.errors import DataWarning


class Results:
    """A calculator that has results and cannot tell for which atoms."""

    def __init__(self, **results):
        self.results = results


def copper(seed, calc):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=seed)
    atoms.calc = calc
    atoms.get_potential_energy()
    return atoms


def test_case_5_one_calculator_of_several_structures():
    shared = EMT()
    images = [copper(seed, shared) for seed in range(3)]
    with pytest.warns(DataWarning, match=r"frame 0 \(and 1 more\).*another structure.*positions"):
        data = from_ase(images)
    assert data.columns["energy"] == (None, None, images[2].calc.results["energy"])
    assert data.atom_columns["forces"][:2] == (None, None)


def test_case_5_atoms_that_were_moved_after_the_calculation():
    for change in (
        lambda atoms: atoms.rattle(0.1),
        lambda atoms: atoms.set_cell(atoms.cell * 1.01),
        lambda atoms: atoms.set_pbc([True, True, False]),
        lambda atoms: atoms.numbers.__setitem__(0, 47),
    ):
        atoms = copper(0, EMT())
        change(atoms)
        with pytest.warns(DataWarning, match="are those of another structure"):
            assert "energy" not in from_ase(atoms).columns


def test_results_of_each_own_calculator_are_taken(tmp_path):
    images = [copper(seed, EMT()) for seed in range(3)]
    energies = [image.get_potential_energy() for image in images]
    assert from_ase(images).column("energy").tolist() == energies
    ase.io.write(tmp_path / "a.traj", images)
    assert read(tmp_path / "a.traj").column("energy").tolist() == energies


def test_case_21_two_values_that_disagree():
    atoms = molecule("H2O")
    atoms.info["energy"] = -100.0
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.ones((3, 3)))
    with pytest.raises(
        DataError, match=r"frame 0, key 'energy'.*-100.0 in info and -1.0 of its calc"
    ):
        from_ase([atoms])
    atoms.info["energy"] = -1.0 - 1e-9
    assert from_ase([atoms]).column("energy").tolist() == [-1.0 - 1e-9]
    atoms.set_array("forces", np.zeros((3, 3)))
    with pytest.raises(DataError, match=r"key 'forces'.*0.0 0.0 0.0 ... in arrays and 1.0"):
        from_ase([atoms])
    atoms.arrays.pop("forces")
    atoms.info["forces"] = np.zeros((3, 3))
    with pytest.raises(DataError, match="key 'forces'"):
        from_ase([atoms])


def test_stresses_of_six_and_nine_numbers_that_agree():
    atoms = copper(0, EMT())
    atoms.calc = SinglePointCalculator(atoms, stress=np.arange(6.0))
    atoms.info["stress"] = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2.0]])
    np.testing.assert_array_equal(from_ase(atoms).column("stress")[0], atoms.info["stress"])
    atoms.info["stress"] = -atoms.info["stress"]
    with pytest.raises(DataError, match="key 'stress'"):
        from_ase(atoms)


def test_two_values_in_a_row_of_a_database(tmp_path):
    with ase.db.connect(tmp_path / "a.db") as database:
        database.write(molecule("H2O"), gap=1.0, data={"gap": 1.0})
        database.write(molecule("H2O"), gap=1.0, data={"gap": 2.0})
    with pytest.raises(DataError, match=r"a.db, frame 1, key 'gap': .*1.0 in the row and 2.0"):
        read(tmp_path / "a.db")


@pytest.mark.parametrize(
    "energy", [-2.0, np.array(-2.0), np.array([-2.0]), np.array([[-2.0]]), [-2.0]]
)
def test_case_44_energies_as_arrays(energy):
    one, two = Atoms("O"), molecule("H2O")
    one.calc, two.calc = Results(energy=energy), Results(energy=-3.0)
    data = from_ase([one, two])
    assert data.column("energy").tolist() == [-2.0, -3.0]
    assert not data.atom_columns


def test_case_12_known_properties_are_what_they_are():
    atoms = molecule("H2O")
    given = {"polarization": np.arange(3.0), "dipole": np.ones(3), "dielectric_tensor": np.eye(3)}
    of_atoms = {"born_effective_charges": np.zeros((3, 3, 3)), "charges": np.arange(3.0)}
    atoms.calc = Results(**given, **of_atoms, magmoms=np.zeros(3), energies=np.zeros(3))
    data = from_ase(atoms)
    assert set(data.columns) == set(given)
    assert set(data.atom_columns) == {*of_atoms, "magmoms", "energies"}


def test_unknown_properties_belong_to_what_they_have_the_length_of():
    three, two = molecule("H2O"), molecule("H2")
    three.calc, two.calc = Results(q=np.arange(3.0)), Results(q=np.arange(2.0))
    assert set(from_ase([three, two]).atom_columns) == {"q"}
    two.calc = Results(q=np.arange(3.0))
    data = from_ase([three, two])
    assert data.column("q").shape == (2, 3)
    assert not data.atom_columns
    either = from_ase(three)  # three atoms, three numbers: whatever the user asks for
    assert either.column("q").tolist() == [[0, 1, 2]]
    assert either.atom_column("q").tolist() == [0, 1, 2]


def test_case_22_energies_that_a_reader_makes_up(tmp_path):
    dump = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
    rows = "ITEM: ATOMS id element x y z fx fy fz\n1 O 0 0 0 0.1 0 0\n2 H 0 0 1 -0.1 0 0\n"
    (tmp_path / "z.lammpstrj").write_text(dump + rows)
    data = read(tmp_path / "z.lammpstrj")
    assert "energy" not in data.columns
    np.testing.assert_allclose(data.atom_column("forces")[:, 0], [0.1, -0.1])
    types = rows.replace("element", "type").replace(" O ", " 1 ").replace(" H ", " 2 ")
    (tmp_path / "t.lammpstrj").write_text(dump + types)
    with pytest.raises(DataError, match="types of atoms but no elements"):
        read(tmp_path / "t.lammpstrj")


def test_everything_that_holds_structures(tmp_path):
    images = [molecule("H2O"), molecule("NH3")]
    ase.io.write(tmp_path / "a.traj", images)
    database = ase.db.connect(tmp_path / "a.db")
    for image in images:
        database.write(image, name=image.get_chemical_formula())
    with ase.io.Trajectory(tmp_path / "a.traj") as trajectory:
        assert from_ase(trajectory).structures.counts.tolist() == [3, 4]
    holders = [images, tuple(images), (x for x in images)]
    holders += [database, database.select()]
    for holder in holders:
        data = from_ase(holder)
        assert data.structures.counts.tolist() == [3, 4]
    assert data.labels("name") == ("H2O", "H3N")
    assert len(from_ase(database.get(1))) == 1
    assert read(images, 1).structures.counts.tolist() == [4]
    assert read(images[0]).structures.counts.tolist() == [3]
    assert read([tmp_path / "a.traj", images[1]]).structures.counts.tolist() == [3, 4, 4]
    assert read(database, ":1").structures.counts.tolist() == [3]


def test_case_16_slips(tmp_path):
    write(tmp_path / "y.xyz", from_ase([molecule("H2O"), molecule("NH3")]))
    assert read(tmp_path / "y.xyz", 1).source[0].frame == 1
    assert len(read(tmp_path / "y.xyz", slice(1, None))) == 1
    with pytest.raises(DataError, match="index '5' does not fit"):
        read(tmp_path / "y.xyz", 5)
    with pytest.raises(TypeError, match=r"item 0 is 'H'.*no ase\.Atoms"):
        from_ase(["H"])
    with pytest.raises(TypeError, match="read files by read"):
        from_ase(str(tmp_path / "y.xyz"))
    with pytest.raises(TypeError, match=r"ase\.Atoms"):
        ml.read(3)
