"""Tensors through the command line: trained, saved, predicted, inspected."""

import json

import numpy as np
import pytest
from ase.io import read, write
from safetensors import safe_open
from scipy.spatial.transform import Rotation

from cli.conftest import pairs
from multilode.cli.main import run

CONFIG = """\
data: {train: train.xyz, test: test.xyz}
target: {key: alpha, unit: A^3, tensor: symmetric}
cutoff: 4.0
fields:
  rho: {basis: {n_radial: 3, max_angular: 2}}
  V: {basis: {n_radial: 2, max_angular: 2}}
features: [[rho, V], [rho, rho, V]]
contraction: {max_features: 20}
estimator: {regularization: 1e-8}
learning_curve: {sizes: [8, 16], repeats: 2}
"""


def tensors(n, seed):
    """The same molecules, each turned at random, with a dipole and an induced polarizability."""
    images = pairs(n, seed)
    for i, atoms in enumerate(images):
        turn = Rotation.random(random_state=1000 * seed + i).as_matrix()
        atoms.positions = atoms.positions @ turn.T
        arms = atoms.positions[:2] - atoms.positions[2]
        parts = [np.outer(r, r) / (r @ r) ** 2 for r in arms]
        atoms.info["alpha"] = (np.eye(3) + parts[0] + 0.5 * parts[1]).tolist()
        atoms.info["mu"] = (arms[0] / np.linalg.norm(arms[0]) ** 2).tolist()
    return images


@pytest.fixture
def tensor_folder(tmp_path, monkeypatch):
    write(tmp_path / "train.xyz", tensors(24, 1), format="extxyz")
    write(tmp_path / "test.xyz", tensors(6, 2), format="extxyz")
    (tmp_path / "config.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_tensor_from_one_configuration(tensor_folder, capsys):
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    shown = capsys.readouterr().out
    assert "test, l = 0" in shown
    assert "test, l = 2" in shown
    rows = json.loads((tensor_folder / "out" / "metrics.json").read_text())["rows"]
    errors = {(r["split"], r.get("component")): r["rmse"] for r in rows}
    assert {("test", None), ("test", "l = 0"), ("test", "l = 2")} <= set(errors)
    # one component of l = 0 and five of l = 2 among nine
    parts = errors["test", "l = 0"] ** 2 + 5 * errors["test", "l = 2"] ** 2
    assert 9 * errors["test", None] ** 2 == pytest.approx(parts)
    assert errors["test", None] < 0.05
    for name in ("report.html", "test_predictions.xyz"):
        assert (tensor_folder / "out" / name).is_file()

    turn = Rotation.random(random_state=7).as_matrix()
    turned = read("test.xyz", ":")
    for atoms in turned:
        atoms.positions = -atoms.positions @ turn.T  # an improper rotation
    write("turned.xyz", turned, format="extxyz")
    for source in ("test.xyz", "turned.xyz"):
        given = ["out/model.safetensors", source, "-o", f"predicted_{source}"]
        assert run(["predict", *given]) == 0
    for a, b in zip(
        read("predicted_test.xyz", ":"), read("predicted_turned.xyz", ":"), strict=True
    ):
        first, second = (np.reshape(x.info["predicted_alpha"], (3, 3)) for x in (a, b))
        np.testing.assert_allclose(turn @ first @ turn.T, second, atol=1e-7)

    capsys.readouterr()
    assert run(["inspect", "out/model.safetensors"]) == 0
    shown = capsys.readouterr().out
    assert "symmetric" in shown
    assert "l = 2" in shown
    assert run(["evaluate", "out/model.safetensors", "test.xyz", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["rows"]
    assert again[0]["rmse"] == pytest.approx(errors["test", None], rel=1e-6)
    assert [row.get("component") for row in again] == [None, "l = 0", "l = 2"]
    with safe_open("out/model.safetensors", framework="np") as file:
        names = list(file.keys())
    assert any(name.startswith("representation.1.projection") for name in names)


def test_learning_curves_and_features_of_tensors(tensor_folder, capsys):
    assert run(["learning-curve", "config.yaml", "-o", "curve"]) == 0
    assert "16" in capsys.readouterr().out
    assert run(["features", "config.yaml", "test.xyz", "-o", "features.npz"]) == 0
    arrays = np.load("features.npz")
    assert arrays["values_0_l2+"].shape[:2] == (18, 5)
    assert arrays["values_1_l0+"].shape == (18, 1, 20)
    assert len(arrays["feature_labels_0_l2+"]) == arrays["values_0_l2+"].shape[2]


@pytest.mark.parametrize("model", ["{kind: kernel, zeta: 2}", "{kind: kernel, zeta: 1}"])
def test_a_vector_with_a_kernel(tensor_folder, capsys, model):
    text = CONFIG.replace("alpha, unit: A^3, tensor: symmetric", "mu, tensor: vector")
    text = text.replace("{regularization: 1e-8}", model).replace(", [rho, rho, V]", "")
    (tensor_folder / "config.yaml").write_text(text)
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    rows = json.loads((tensor_folder / "out" / "metrics.json").read_text())["rows"]
    assert {row["split"] for row in rows} == {"train", "cross-validation", "test"}
    given = ["out/model.safetensors", "test.xyz", "-o", "p.xyz", "--std"]
    assert run(["predict", *given]) == 0
    first = read("p.xyz")
    assert np.shape(first.info["predicted_mu"]) == (3,)
    assert np.shape(first.info["predicted_mu_std"]) == (3,)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("{key: mu, tensor: symmetric}", "has 3 numbers, a tensor of kind 'symmetric' has 9"),
        ("{key: skew, tensor: symmetric}", "train.xyz, frame 3, key 'skew': "),
        ("{key: alpha, tensor: symmetric3}", "has 9 numbers, a tensor of kind 'symmetric3' has 27"),
    ],
)
def test_what_is_no_such_tensor_is_named(tensor_folder, capsys, target, said):
    images = read("train.xyz", ":")
    for i, atoms in enumerate(images):
        skew = np.reshape(atoms.info["alpha"], (3, 3)).copy()
        skew[0, 1] += 0.1 * (i == 3)
        atoms.info["skew"] = skew
    write("train.xyz", images, format="extxyz")
    text = CONFIG.replace("{key: alpha, unit: A^3, tensor: symmetric}", target)
    (tensor_folder / "config.yaml").write_text(text.replace(", test: test.xyz", ""))
    assert run(["train", "config.yaml", "-o", "out"]) == 2
    assert said in capsys.readouterr().err
    assert not (tensor_folder / "out").exists()
