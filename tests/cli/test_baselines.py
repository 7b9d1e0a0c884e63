"""A calculator as the baseline, from the configuration to errors of forces and stresses."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.io import read, write

from multilode.cli.main import run

CONFIG = """
data: {train: train.xyz, test: test.xyz, weights: mass}
target:
  key: total
  unit: eV
  forces: {key: total_forces}
  baseline: {calculator: ase.calculators.lj.LennardJones, arguments: {sigma: 2.2, rc: 4.0}}
cutoff: 3.0
fields:
  rho: {basis: {n_radial: 2, max_angular: 1}}
features: [[rho, rho]]
estimator: {committee: {n_members: 3, fraction: 0.5}}
"""


def layers(n: int, seed: int) -> list[Atoms]:
    """Layers and crystals, with a harmonic energy beside that of a Lennard-Jones calculator."""
    rng, images = np.random.default_rng(seed), []
    for k in range(n):
        places = np.array([[0, 0, 0], [2.2, 0.2, 0.1], [0.1, 2.3, 2.1]])[: 2 + k % 2]
        atoms = Atoms(
            "CuAgCu"[: 4 + 2 * (k % 2)], places + rng.normal(scale=0.1, size=places.shape)
        )
        atoms.cell, atoms.pbc = np.diag([4.4, 4.6, 6.0]), (True, True, k % 3 > 0)
        atoms.calc = LennardJones(sigma=2.2, rc=4.0)
        apart = atoms.positions[1] - atoms.positions[0]
        pull = 2 * (np.linalg.norm(apart) - 2) * apart / np.linalg.norm(apart)
        forces = atoms.get_forces()
        forces[0] += pull
        forces[1] -= pull
        info = {"total": atoms.get_potential_energy() + (np.linalg.norm(apart) - 2) ** 2}
        info |= {"total_stress": atoms.get_stress(), "mass": 1.0 + k % 2}
        atoms.calc = None
        atoms.info, atoms.arrays["total_forces"] = info, forces
        images.append(atoms)
    return images


def test_the_baseline_is_given_from_training_to_evaluation(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("train.xyz", layers(12, 0), format="extxyz")
    write("test.xyz", layers(6, 1), format="extxyz")
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    capsys.readouterr()
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    rows = {(row["split"], row.get("component")): row for row in metrics["rows"]}
    learned = rows["test", "forces"]
    assert learned["rmse_percent_of_rest"] > learned["rmse_percent"]  # the rest varies less
    assert 0 <= learned["within_bars_percent"] <= 100
    assert rows["cross-validation", "forces"]["unit"] == "meV/Å"
    listed = {row["group"] for row in metrics["groups"]}
    assert listed == {"2 atoms", "3 atoms", "Cu", "Ag"}
    report = (tmp_path / "out" / "report.html").read_text()
    assert report.count("The same less the baseline, which is what the model learns") == 4
    assert "Errors of the test set by size and element" in report

    model, given = "out/model.safetensors", ["--baseline", "out/config.yaml"]
    assert run(["predict", model, "test.xyz", "-o", "new.xyz", "--forces"]) == 2
    assert "only what the calculator LennardJones leaves" in capsys.readouterr().err
    asked = ["--forces", "--std", "--stress"]
    assert run(["predict", model, "test.xyz", "-o", "new.xyz", *asked, *given]) == 0
    found = read("new.xyz", ":")
    wrong = [atoms.arrays["predicted_forces"] - atoms.arrays["total_forces"] for atoms in found]
    rmse = 1000 * np.sqrt(np.mean(np.concatenate(wrong) ** 2))
    assert learned["rmse"] == pytest.approx(rmse, rel=1e-5)
    assert all((atoms.arrays["predicted_forces_std"] >= 0).all() for atoms in found)
    assert not np.any(found[0].info["predicted_stress"][2])  # a layer

    capsys.readouterr()
    asked = ["--forces", "total_forces", "--stress", "total_stress", "--std", "--json"]
    assert run(["evaluate", model, "test.xyz", *asked, *given]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert (rows[-1]["component"], rows[-1]["unit"]) == ("stress", "meV/Å^3")
    assert rows[0]["within_bars_percent"] is not None
    assert run(["inspect", model]) == 0
    assert "another model, LennardJones" in capsys.readouterr().out

    plain = CONFIG.replace(
        "calculator: ase.calculators.lj.L", "calculator: ase.calculators.morse.M"
    )
    plain = plain.replace("MennardJones", "MorsePotential").replace("{sigma: 2.2, rc: 4.0}", "{}")
    (tmp_path / "other.yaml").write_text(plain)
    assert run(["evaluate", model, "test.xyz", "--baseline", "other.yaml"]) == 2
    assert "got a MorsePotential" in capsys.readouterr().err
    (tmp_path / "other.yaml").write_text("data: {train: train.xyz}\ntarget: {key: total}\n")
    assert run(["evaluate", model, "test.xyz", "--baseline", "other.yaml"]) == 2
    assert "names no calculator" in capsys.readouterr().err
    assert run(["learning-curve", "config.yaml", "-o", "curve"]) == 2
    assert "does not use setting 'data.weights'" in capsys.readouterr().err


LINEAR = """
data: {train: train.xyz}
target: {key: total, unit: eV, forces: {key: total_forces}}
preset: fast
cutoff: 3.0
fields:
  rho: {basis: {n_radial: 2, max_angular: 1}}
features: [[rho, rho]]
"""
NETWORK = """
data: {train: train.xyz, test: test.xyz}
target:
  key: total
  unit: eV
  forces: {key: total_forces}
  baseline:
    calculator: multilode.PredictorCalculator
    arguments: {predictor: linear/model.safetensors}
cutoff: 3.0
fields:
  rho: {basis: {n_radial: 2, max_angular: 1}}
features: [[rho]]
estimator: {kind: network, channels: 4, hidden: 8, steps: 20, charges: 1, dipoles: 0}
"""


def test_a_network_learns_what_a_linear_model_of_ours_leaves(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("train.xyz", layers(12, 0), format="extxyz")
    write("test.xyz", layers(6, 1), format="extxyz")
    (tmp_path / "linear.yaml").write_text(LINEAR)
    (tmp_path / "network.yaml").write_text(NETWORK)
    assert run(["train", "linear.yaml", "-o", "linear"]) == 0
    assert run(["train", "network.yaml", "-o", "out"]) == 0
    capsys.readouterr()
    asked = ["--forces", "total_forces", "--json", "--baseline", "out/config.yaml"]
    assert run(["evaluate", "out/model.safetensors", "test.xyz", *asked]) == 0
    both = json.loads(capsys.readouterr().out)["rows"]
    asked = ["--forces", "total_forces", "--json"]
    assert run(["evaluate", "linear/model.safetensors", "test.xyz", *asked]) == 0
    linear = json.loads(capsys.readouterr().out)["rows"]
    assert both[-1]["component"] == linear[-1]["component"] == "forces"
    # after twenty steps a network alone knows next to nothing of these forces
    assert both[-1]["rmse"] < 1.5 * linear[-1]["rmse"]
    percent = both[-1]["rmse"] / both[-1]["rmse_percent"]
    assert percent == pytest.approx(linear[-1]["rmse"] / linear[-1]["rmse_percent"], rel=1e-6)
