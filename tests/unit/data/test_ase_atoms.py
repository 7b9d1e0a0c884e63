"""Data sets from ASE's objects in memory, as files of the same structures give them."""

import ase.io
import numpy as np
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

import multilode as ml
from multilode.data.ase_atoms import from_ase, to_ase
from multilode.data.io import read


def labelled():
    images = [molecule("H2O"), bulk("NaCl", "rocksalt", a=5.6)]
    for k, image in enumerate(images):
        image.info["name"] = "ab"[k]
        image.set_array("charges", np.arange(len(image)) * 1.0)
        forces = np.full((len(image), 3), 0.5)
        image.calc = SinglePointCalculator(image, energy=-1.5 - k, forces=forces)
    return images


def test_objects_give_what_a_file_gives(tmp_path):
    ase.io.write(tmp_path / "both.xyz", labelled(), format="extxyz")
    memory, file = from_ase(labelled()), read(tmp_path / "both.xyz")
    assert memory.columns == file.columns
    assert set(memory.atom_columns) == set(file.atom_columns)
    for key in memory.atom_columns:
        np.testing.assert_allclose(memory.atom_column(key), file.atom_column(key))
    np.testing.assert_allclose(memory.structures.positions, file.structures.positions, atol=1e-7)
    assert memory.column("energy").tolist() == [-1.5, -2.5]


def test_one_object_a_list_and_a_generator():
    water = labelled()[0]
    for atoms in (water, [water], (image for image in [water])):
        data = ml.from_ase(atoms)
        assert len(data) == 1
        assert data.structures.counts.tolist() == [3]


def test_objects_go_to_a_data_set_and_back():
    data = from_ase(labelled())
    again = from_ase(to_ase(data))
    assert again.columns == data.columns
    np.testing.assert_array_equal(again.atom_column("forces"), data.atom_column("forces"))
    np.testing.assert_array_equal(again.structures.cell, data.structures.cell)
