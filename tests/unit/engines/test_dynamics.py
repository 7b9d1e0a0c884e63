"""One path in all engines, and its energy is conserved: the short form of `benchmarks/dynamics`."""

import sys
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk

from driven import model, salt
from multilode.config.store import save

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks" / "dynamics"))
from barostats import BAROSTATS
from engines import ENGINES, Run

NEEDED = {
    "LAMMPS": ["lammps"], "OpenMM": ["openmm"], "i-PI": ["ipi"], "i-PI, socket": ["ipi"],
    "metatomic in ASE": ["metatomic_ase"], "metatomic in i-PI": ["ipi", "metatomic_ase"],
}  # fmt: skip
SLOW = [pytest.param("i-PI, socket", marks=pytest.mark.slow)]
QUICK = [engine for engine in ENGINES if engine != "i-PI, socket"]
pytestmark = pytest.mark.filterwarnings("ignore")  # those of the engines


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A model of a salt, and its exported form."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(model("linear").with_tolerance(1e-4), path)
    if find_spec("metatomic"):
        from multilode.engines.metatomic import export

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            export(path, path.with_suffix(".pt"))
    return path


@pytest.fixture
def run(file, tmp_path, monkeypatch):
    """Sixteen steps of a crystal in a rectangular cell."""
    monkeypatch.chdir(tmp_path)
    atoms = bulk("NaCl", "rocksalt", a=5.6, orthorhombic=True)
    atoms.rattle(0.15, seed=1)
    speeds = np.random.default_rng(0).normal(size=(len(atoms), 3))
    atoms.set_velocities(speeds * np.sqrt(600 * units.kB / atoms.get_masses())[:, None])
    return Run(file, atoms, step=8.0, steps=16, early=8)


def done(engine, run):
    for module in NEEDED.get(engine, []):
        pytest.importorskip(module, reason=f"{module} is not installed")
    return ENGINES[engine](run)


@pytest.mark.parametrize("engine", [*QUICK[1:], *SLOW])
def test_the_path_is_that_of_ase(run, engine):
    printed = "socket" in engine  # in a file, with six digits
    first, other = done("ASE", run), done(engine, run)
    assert np.abs(first.early - run.start.positions).max() > 0.01
    wrong = 2e-4 if printed else 1e-6  # constants of the programs are from different years
    np.testing.assert_allclose(other.early, first.early, rtol=0, atol=wrong)
    paths = [np.subtract(one.energies, one.energies[0]) for one in (first, other)]
    assert np.ptp(paths[0]) > 1e-5
    np.testing.assert_allclose(paths[1], paths[0], rtol=0, atol=1e-5 if printed else 1e-6)


@pytest.mark.parametrize("engine", [*QUICK, *SLOW])
def test_fluctuations_of_the_energy_are_those_of_the_square_of_the_step(run, engine):
    coarse = np.std(done(engine, run).energies)
    fine = np.std(done(engine, replace(run, step=4.0, steps=32, every=2, early=32)).energies)
    assert coarse > 1e-5
    assert coarse / fine == pytest.approx(4, abs=0.3)


@pytest.mark.parametrize("engine", ["ASE", "LAMMPS", "i-PI"])
def test_virials_of_moving_boxes_are_those_of_differences(run, engine, tmp_path):
    for module in NEEDED.get(engine, []):
        pytest.importorskip(module, reason=f"{module} is not installed")
    save(model("linear"), tmp_path / "exact.safetensors")  # the number of waves changes with boxes
    found = BAROSTATS[engine](replace(run, model=tmp_path / "exact.safetensors"), 600.0, 10.0)
    assert np.ptp(found["volumes"]) > 1e-3
    own, slopes = np.moveaxis(found["virials"], 1, 0)
    assert np.abs(slopes).max() > 0.1
    np.testing.assert_allclose(own, slopes, rtol=0, atol=1e-5)


@pytest.mark.parametrize("engine", [one for one in QUICK if one != "metatomic in i-PI"])
def test_layers_feel_no_height_of_the_cell(run, engine):
    found = []
    for side in (20.0, 33.0):
        atoms = salt("slab")
        atoms.set_cell([[5.6, 0, 0], [0, 5.6, 0], [0, 0, side]])
        atoms.positions[:, 2] += 0.4 * side
        found.append(done(engine, replace(run, start=atoms, steps=4, early=4)))
    low, high = found
    np.testing.assert_allclose(high.energies, low.energies, rtol=1e-6)
    moved = high.early - low.early
    np.testing.assert_allclose(moved[:, 2], 0.4 * 13, atol=1e-6)
    np.testing.assert_allclose(moved[:, :2], 0, atol=1e-6)
