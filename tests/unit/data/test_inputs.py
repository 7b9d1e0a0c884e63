"""Objects of ASE are taken wherever structures are; their own results are not looked at there."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.emt import EMT

import multilode as ml
from multilode.data.inputs import as_dataset, as_structures

RHO = ml.FieldExpansion(
    ml.GaussianDensity(0.4), ml.GaussianTypeOrbitals(2, 3.0), max_angular=1, neighbor_cutoff=3.0
)
WATERS = ml.Representation(
    fields={"rho": RHO}, products=(("rho", "rho"),), species=(1, 8), centers=(1, 8)
)


def stale():
    """Water with the results of a calculator that ran before it was moved."""
    atoms = molecule("H2O")
    atoms.calc = EMT()
    atoms.get_potential_energy()
    atoms.rattle(0.05, seed=0)
    return atoms


def same(first, second):
    return first.blocks.keys() == second.blocks.keys() and all(
        torch.equal(first.blocks[irrep], second.blocks[irrep]) for irrep in first.blocks
    )


def test_features_and_fields_of_objects():
    atoms = stale()
    known = ml.from_ase(atoms, results=False)
    for given in (atoms, [atoms], known, known.structures, (x for x in [atoms])):
        found = WATERS.compute(given)
        assert same(found.terms[0], WATERS.compute(known.structures).terms[0])
    field, again = ml.expand(RHO, atoms, species=(1, 8)), ml.expand(RHO, known, species=(1, 8))
    assert same(field, again)
    assert ml.features("rho*rho").for_structures([atoms]).species == (1, 8)


def test_models_learn_from_and_predict_objects():
    waters = [stale() for _ in range(6)]
    for k, atoms in enumerate(waters):
        atoms.rattle(0.05, seed=k)
    data = ml.from_ase(waters, results=False)
    model = ml.train(WATERS, data, "y", y=np.arange(6.0))
    one = model.predict(waters[2])
    torch.testing.assert_close(one.values, model.predict(data).values[2:3])
    torch.testing.assert_close(model.predict(waters).values, model.predict(data).values)


def test_case_16_symbols_in_the_place_of_atomic_numbers():
    """Outside of the tests, where no types are checked before."""
    code = (
        "import multilode as ml\n"
        "try: ml.features('rho*rho').representation(('O', 'H'))\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "species and centers are atomic numbers, not 'H'; give 1\n"


def test_names_of_files_are_no_structures(tmp_path):
    for given in ("a.xyz", tmp_path / "a.xyz"):
        with pytest.raises(TypeError, match="the name of a file; give read"):
            as_dataset(given)
    with pytest.raises(TypeError, match=r"ase\.Atoms"):
        as_structures(3)
