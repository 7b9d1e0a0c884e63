"""Training on energies and forces from a configuration."""

import json

import numpy as np
import pytest
from ase.io import read, write

from cli.conftest import pairs
from multilode.cli.main import run

CONFIG = """\
data: {train: train.xyz, test: test.xyz}
target: {key: gap, unit: eV, baseline: none, forces: {key: slopes}}
cutoff: 3.0
fields:
  V: {basis: {n_radial: 3, max_angular: 2}, center_weight: 0.0}
features: [[V], [V, V]]
learning_curve: {sizes: [4, 8], repeats: 2}
"""


def with_forces(n, seed):
    """Minus the derivatives of `gap`, which is a sum of inverse distances."""
    images = pairs(n, seed)
    for atoms in images:
        slopes = np.zeros((3, 3))
        for other, sign in ((0, 1), (1, -1)):
            apart = atoms.positions[2] - atoms.positions[other]
            force = sign * apart / np.linalg.norm(apart) ** 3
            slopes[2] += force
            slopes[other] -= force
        atoms.arrays["slopes"] = slopes
        atoms.info["many"] = [1.0, 2.0]
    return images


@pytest.fixture
def force_folder(tmp_path, monkeypatch):
    write(tmp_path / "train.xyz", with_forces(8, 1), format="extxyz")
    write(tmp_path / "test.xyz", with_forces(20, 2), format="extxyz")
    (tmp_path / "config.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def errors_of(folder, name):
    rows = json.loads((folder / name / "metrics.json").read_text())["rows"]
    return {(row["split"], row.get("component")): row for row in rows}


def test_forces_lower_the_errors_of_both(force_folder, capsys):
    assert run(["train", "config.yaml", "-o", "both"]) == 0
    assert "test, forces (meV/Å)" in capsys.readouterr().out
    both = errors_of(force_folder, "both")
    assert both["test", "forces"]["unit"] == "meV/Å"
    assert both["test", "forces"]["n"] == 60
    assert both["test", None]["unit"] == "eV"
    assert both["train", "forces"]["rmse"] < both["test", "forces"]["rmse"]
    assert "Predicted forces against references" in (force_folder / "both/report.html").read_text()

    (force_folder / "config.yaml").write_text(CONFIG.replace(", forces: {key: slopes}", ""))
    assert run(["train", "config.yaml", "-o", "alone"]) == 0
    alone = errors_of(force_folder, "alone")
    assert ("test", "forces") not in alone
    assert both["test", None]["rmse"] < 0.5 * alone["test", None]["rmse"]

    model = ["both/model.safetensors", "test.xyz"]
    capsys.readouterr()
    assert run(["evaluate", *model, "--forces", "slopes", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    (row,) = (r for r in rows if (r["group"], r.get("component")) == ("all", "forces"))
    assert row["rmse"] == pytest.approx(both["test", "forces"]["rmse"], rel=1e-6)
    assert run(["evaluate", *model, "--forces", "slopes"]) == 0
    said = capsys.readouterr().out
    assert "forces (meV/Å)" in said
    assert "Rows of forces count atoms" in said

    assert run(["predict", *model, "-o", "predicted.xyz", "--forces"]) == 0
    pairs_of = [
        (atoms.arrays["predicted_forces"], atoms.arrays["slopes"])
        for atoms in read("predicted.xyz", ":")
    ]
    left = np.concatenate([found - exact for found, exact in pairs_of])
    assert np.sqrt((left**2).mean()) == pytest.approx(row["rmse"] / 1000, rel=1e-4)


def test_learning_curves_and_few_directions(force_folder, capsys):
    few = "forces: {key: slopes, directions: 2, weight: 0.5, seed: 3}"
    for name, forces in (
        ("all", "forces: {key: slopes}"),
        ("few", few),
        ("none", "per: structure"),
    ):
        text = CONFIG.replace("forces: {key: slopes}", forces)
        (force_folder / f"{name}.yaml").write_text(text)
        assert run(["learning-curve", f"{name}.yaml", "-o", name]) == 0
    curves = {
        name: [
            row["rmse"]
            for row in json.loads((force_folder / name / "learning_curve.json").read_text())["rows"]
        ]
        for name in ("all", "few", "none")
    }
    assert curves["all"][0] < curves["none"][0]
    assert curves["few"] != curves["all"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("key: slopes", "key: slope", "the property is missing for the atoms of this frame"),
        ("key: slopes", "key: slopes, weight: -1", "greater than 0"),
        ("baseline: none", "per: atom", "forces are derivatives of an energy"),
        ("baseline: none", "reduce: mean", "use reduce: sum"),
        (
            "features:",
            "estimator: {intercept: true}\nfeatures:",
            "'estimator.intercept' has no derivative",
        ),
        ("key: gap", "key: many", "'many' has 2; choose one with target.component"),
        ("features:", "estimator: {kind: kernel}\nfeatures:", "not by a kernel between"),
    ],
)
def test_errors_say_what_to_do(force_folder, capsys, old, new, message):
    (force_folder / "config.yaml").write_text(CONFIG.replace(old, new))
    assert run(["train", "config.yaml", "-o", "out"]) != 0
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (force_folder / "out").exists()


def test_forces_of_a_file_must_have_three_components(force_folder, capsys):
    images = read("train.xyz", ":")
    for atoms in images:
        atoms.arrays["slopes"] = atoms.arrays["slopes"][:, :2].copy()
    write("train.xyz", images, format="extxyz")
    assert run(["train", "config.yaml", "-o", "out"]) != 0
    assert "2 numbers per atom, a force has 3" in " ".join(capsys.readouterr().err.split())


def test_a_test_set_without_forces_is_used_for_its_energies(force_folder, capsys):
    """It was refused, after the model had been trained."""
    write("test.xyz", pairs(20, 2), format="extxyz")
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    said = capsys.readouterr()
    assert "note: the test set has no 'slopes'" in said.err
    assert "train, forces" in said.out
    assert "test, forces" not in said.out
    assert ("test", None) in errors_of(force_folder, "out")
    assert "predicted_forces" in read("out/test_predictions.xyz", 0).arrays


def test_forces_of_some_frames_are_refused_before_anything_is_computed(
    force_folder, capsys, monkeypatch
):
    images = with_forces(4, 2)
    del images[2].arrays["slopes"]
    write("test.xyz", images, format="extxyz")
    monkeypatch.setattr(
        "multilode.workflow.experiment.train", lambda *_, **__: pytest.fail("trained")
    )
    assert run(["train", "config.yaml", "-o", "out"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "test.xyz" in said
    assert "frame 2" in said
    assert "the property is missing for the atoms of this frame" in said


def test_forces_and_targets_that_have_none(force_folder, capsys):
    text = CONFIG.replace("key: gap, unit: eV, baseline: none, forces: {key: slopes}", "{}")
    for name, target in (("atoms", "key: q, per: atom"), ("tensor", "key: v, tensor: vector")):
        for part in ("train", "test"):
            images = with_forces(8, 1)
            for atoms in images:
                atoms.arrays["q"] = atoms.positions[:, 0].copy()
                atoms.info["v"] = atoms.positions[2]
            write(f"{part}.xyz", images, format="extxyz")
        (force_folder / "config.yaml").write_text(text.replace("{}", target))
        assert run(["train", "config.yaml", "-o", name]) == 0
        model = f"{name}/model.safetensors"
        capsys.readouterr()
        assert run(["evaluate", model, "test.xyz", "--forces", "slopes"]) == 2
        assert "forces and stress need a target" in capsys.readouterr().err


def test_committees_and_sparse_kernels_learn_from_forces(force_folder, capsys):
    for name, model in (
        ("committee", "{committee: {n_members: 4, fraction: 0.5}}"),
        ("sparse", "{kind: sparse, n_active: 20}"),
        ("both", "{kind: sparse, n_active: 20, committee: {n_members: 4, fraction: 0.5}}"),
    ):
        (force_folder / "config.yaml").write_text(f"{CONFIG}estimator: {model}\n")
        assert run(["train", "config.yaml", "-o", name]) == 0
        found = errors_of(force_folder, name)
        capsys.readouterr()
        asked = ["evaluate", f"{name}/model.safetensors", "test.xyz", "--forces", "slopes"]
        assert run([*asked, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)["rows"]
        energy, _, forces = (row for row in rows if row["group"] == "all")
        assert forces["rmse"] == pytest.approx(found["test", "forces"]["rmse"], rel=1e-5)
        assert energy["rmse"] == pytest.approx(found["test", None]["rmse"], rel=1e-5)
        report = (force_folder / name / "report.html").read_text()
        assert "Predicted forces against references" in report


def test_forces_of_an_energy_without_unit(force_folder, capsys):
    (force_folder / "config.yaml").write_text(CONFIG.replace("unit: eV", "unit: ''"))
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    assert "test, forces (1/Å)" in capsys.readouterr().out
    assert errors_of(force_folder, "out")["test", "forces"]["unit"] == "1/Å"
