"""Properties of atoms: scalars and vectors, for all atoms and for some."""

import json

import numpy as np
import pytest
from ase.io import read, write
from scipy.spatial.transform import Rotation

from cli.conftest import pairs
from multilode.cli.main import run

CONFIG = """\
data: {train: train.xyz, test: test.xyz, group: label}
target: {key: field, unit: V/A, tensor: vector, per: atom}
cutoff: 5.0
fields:
  rho: {basis: {n_radial: 4, max_angular: 2}}
  V: {basis: {n_radial: 4, max_angular: 2}}
features: [[V], [rho, V]]
estimator: {regularization: 1e-8}
learning_curve: {sizes: [8, 16], repeats: 2}
"""


def molecules(n, seed):
    """Turned at random, with the electric field of the other atoms and the potential at each."""
    images = pairs(n, seed)
    charges = np.array([1.0, -1.0, 0.3])
    for i, atoms in enumerate(images):
        turn = Rotation.random(random_state=1000 * seed + i).as_matrix()
        atoms.positions = atoms.positions @ turn.T
        apart = atoms.positions[:, None] - atoms.positions
        distance = np.linalg.norm(apart, axis=2) + 1e9 * np.eye(3)
        atoms.arrays["field"] = np.einsum("j,ijx->ix", charges, apart / distance[..., None] ** 3)
        atoms.arrays["potential"] = (charges / distance).sum(axis=1) + atoms.numbers
    return images


@pytest.fixture
def atom_folder(tmp_path, monkeypatch):
    write(tmp_path / "train.xyz", molecules(30, 1), format="extxyz")
    write(tmp_path / "test.xyz", molecules(6, 2), format="extxyz")
    (tmp_path / "config.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predicted(source, key):
    given = ["out/model.safetensors", source, "-o", f"predicted_{source}"]
    assert run(["predict", *given]) == 0
    return [atoms.arrays[f"predicted_{key}"] for atoms in read(f"predicted_{source}", ":")]


def rows_of(folder):
    return json.loads((folder / "out" / "metrics.json").read_text())


def test_vectors_on_atoms(atom_folder, capsys):
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    shown = capsys.readouterr().out
    assert "atoms" in shown
    metrics = rows_of(atom_folder)
    (test,) = [row for row in metrics["rows"] if row["split"] == "test"]
    assert test["n"] == 18
    assert test["rmse_percent"] < 30
    assert {row["group"] for row in metrics["groups"]} == {"odd", "even"}

    turn = Rotation.random(random_state=7).as_matrix()
    turned = read("test.xyz", ":")
    for atoms in turned:
        atoms.positions = -atoms.positions @ turn.T
    write("turned.xyz", turned, format="extxyz")
    both = zip(predicted("test.xyz", "field"), predicted("turned.xyz", "field"), strict=True)
    for first, second in both:
        assert first.shape == (3, 3)
        np.testing.assert_allclose(-first @ turn.T, second, atol=1e-7)
    capsys.readouterr()
    assert run(["evaluate", "out/model.safetensors", "test.xyz", "--group", "label", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["rows"]
    assert again[0]["rmse"] == pytest.approx(test["rmse"], rel=1e-6)
    assert len(again) == 3


def test_scalars_on_some_atoms(atom_folder, capsys):
    """Others have no prediction and no error."""
    text = CONFIG.replace("field, unit: V/A, tensor: vector", "potential")
    text += "centers: [Na, Cl]\n"
    (atom_folder / "config.yaml").write_text(text)
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    (test,) = [row for row in rows_of(atom_folder)["rows"] if row["split"] == "test"]
    assert test["n"] == 12
    assert test["rmse"] < 0.1  # of a potential with the atomic numbers added
    for values in predicted("test.xyz", "potential"):
        assert values.shape == (3,)
        np.testing.assert_array_equal(np.isnan(values), [False, False, True])
    assert run(["learning-curve", "config.yaml", "-o", "curve"]) == 0
    capsys.readouterr()
    assert run(["predict", "out/model.safetensors", "test.xyz", "-o", "f.xyz", "--forces"]) == 2
    assert "forces and stress need a target of structures" in capsys.readouterr().err


def test_a_property_of_structures_is_no_property_of_atoms(atom_folder, capsys):
    text = CONFIG.replace("field, unit: V/A, tensor: vector", "gap")
    (atom_folder / "config.yaml").write_text(text)
    assert run(["train", "config.yaml", "-o", "out"]) == 2
    assert "frame 0, key 'gap': the property is missing for the atoms" in capsys.readouterr().err
