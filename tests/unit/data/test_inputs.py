"""Data come as data sets, structures or objects of ASE, and nothing else."""

import pytest
from ase import Atoms

from multilode.data.ase_atoms import from_ase
from multilode.data.inputs import as_dataset

ATOMS = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])


def test_objects_of_ase_structures_and_data_sets_are_data():
    dataset = from_ase([ATOMS, ATOMS])
    assert as_dataset(dataset) is dataset
    for given in (dataset.structures, [ATOMS, ATOMS], iter([ATOMS, ATOMS])):
        assert len(as_dataset(given)) == 2
    assert len(as_dataset(ATOMS)) == 1


def test_the_name_of_a_file_is_no_data():
    with pytest.raises(TypeError, match=r"data are 'train.xyz'.*; give read\('train.xyz'\)"):
        as_dataset("train.xyz")
