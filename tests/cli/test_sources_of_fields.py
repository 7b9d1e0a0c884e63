"""Sources and fragments as a user meets them: a configuration, its report, and its predictions."""

import ase.io
import numpy as np
import pytest

from multilode.cli.main import run
from multilode.engines.calculator import PredictorCalculator

CONFIG = """
data: {train: pairs.xyz, test_fraction: 0.25}
target: {key: energy_of_both, fragments: monomer, unit: eV}
cutoff: 3.0
fields:
  rho: {basis: {n_radial: 2, max_angular: 2}}
  V: {basis: {n_radial: 2, max_angular: 2}, sources: SOURCES}
features: [[rho, V]]
"""


def pairs(path, n=24):
    """Two molecules whose charges are columns of the file."""
    generator = np.random.default_rng(0)
    frames = []
    for _ in range(n):
        charges = generator.uniform(-1, 1, size=2)
        distance = generator.uniform(4, 8)
        positions = [[0, 0, 0], [1.1, 0, 0], [distance, 0, 0], [distance, 1.1, 0]]
        atoms = ase.Atoms("COCO", positions)
        atoms.set_array("monomer", np.array([1, 1, 2, 2]))
        atoms.set_array("q", np.array([charges[0], 0, charges[1], 0]))
        atoms.info["energy_of_both"] = charges.prod() / distance
        frames.append(atoms)
    ase.io.write(path, frames)
    return frames


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pairs(tmp_path / "pairs.xyz")
    return tmp_path


@pytest.mark.filterwarnings("ignore:surroundings vary in fewer")
@pytest.mark.parametrize(
    ("sources", "told"),
    [
        ("{kind: given, keys: [q]}", "'q' of the data"),
        ("{kind: described, components: 1}", "±"),
        ("{kind: fitted, components: 1, steps: 3}", "±"),
        ("{kind: responding, components: 1, steps: 3}", "±"),
    ],
)
def test_training_inspection_and_prediction(folder, capsys, sources, told):
    (folder / "c.yaml").write_text(CONFIG.replace("SOURCES", sources))
    assert run(["train", "c.yaml", "-o", "out"]) == 0
    assert run(["inspect", "out/model.safetensors"]) == 0
    assert told in capsys.readouterr().out
    assert (
        told.replace("'", "&#x27;") in (folder / "out" / "report.html").read_text()
        or told in (folder / "out" / "report.html").read_text()
    )
    assert run(["predict", "out/model.safetensors", "pairs.xyz", "--forces", "-o", "p.xyz"]) == 0
    assert len(ase.io.read("p.xyz", ":")) == 24


def test_charges_that_are_given_are_learned_and_go_into_dynamics(folder):
    given = CONFIG.replace("SOURCES", "{kind: given, keys: [q]}").replace(
        "  rho: {basis: {n_radial: 2, max_angular: 2}}",
        "  rho: {basis: {n_radial: 2, max_angular: 2}, neighbor_cutoff: 1.0, center_weight: 1.0,"
        " sources: {kind: given, keys: [q]}}",
    )
    (folder / "c.yaml").write_text(given)
    assert run(["train", "c.yaml", "-o", "out"]) == 0
    atoms = ase.io.read("pairs.xyz", 0)
    atoms.calc = PredictorCalculator("out/model.safetensors")
    expected = atoms.info["energy_of_both"]
    assert atoms.get_potential_energy() == pytest.approx(expected, abs=0.01)
    atoms.arrays["q"][2] *= -1  # a change that ASE itself does not look at
    assert atoms.get_potential_energy() == pytest.approx(-expected, abs=0.01)
    atoms.arrays["q"][2] *= -1
    step = 1e-4
    force = atoms.get_forces()[2, 0]
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[2, 0] += sign * step
        moved.calc = atoms.calc
        energies.append(moved.get_potential_energy())
    assert force == pytest.approx((energies[1] - energies[0]) / (2 * step), rel=1e-3, abs=1e-6)


def test_a_file_without_the_column_is_refused_in_one_line(folder, capsys):
    (folder / "c.yaml").write_text(CONFIG.replace("SOURCES", "{kind: given, keys: [spin]}"))
    assert run(["train", "c.yaml", "-o", "out"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "pairs.xyz, frame 0, key 'spin'" in said


def test_learning_curves_do_not_fit_sources(folder, capsys):
    (folder / "c.yaml").write_text(CONFIG.replace("SOURCES", "fitted"))
    assert run(["learning-curve", "c.yaml", "-o", "out"]) == 2
    assert "sources" in capsys.readouterr().err
    (folder / "d.yaml").write_text(CONFIG.replace("SOURCES", "{kind: given, keys: [q]}"))
    assert run(["learning-curve", "d.yaml", "-o", "out"]) == 0
