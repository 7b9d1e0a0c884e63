"""Targets of the atoms of some elements: what others have, or lack, changes nothing."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from multilode.cli.main import run

WATER = np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
CONFIG = """\
data: {{train: train.xyz}}
target: {{{target}}}
cutoff: 3.0
fields:
  rho: {{basis: {{n_radial: 2, max_angular: 1}}}}
  V: {{basis: {{n_radial: 2, max_angular: 1}}}}
{more}
"""


def waters(n=12, seed=0):
    rng = np.random.default_rng(seed)
    pair = np.concatenate([WATER, WATER + np.array([0, 0, 3])])
    return [Atoms("OHHOHH", pair + rng.normal(0, 0.08, (6, 3))) for _ in range(n)]


def prepared(frames, target, more="centers: [O]\n"):
    ase.io.write("train.xyz", frames, format="extxyz")
    Path("config.yaml").write_text(CONFIG.format(target=target, more=more))


def trained(out="run"):
    assert run(["train", "config.yaml", "-o", out]) == 0
    return json.loads(Path(out, "metrics.json").read_text())["rows"]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def noise(other):
    """Charges of O without anything to learn, and of H far from them."""
    frames, rng = waters(16), np.random.default_rng(1)
    for atoms in frames:
        values = np.where(atoms.numbers == 8, -0.8, other) + 0.01 * rng.normal(size=6)
        atoms.arrays["q"] = values
    return frames


def test_case_1_cross_validation_is_of_the_centers(capsys):
    prepared(noise(0.4), "key: q, per: atom")
    rows = {row["split"]: row for row in trained()}
    assert rows["cross-validation"]["n"] == rows["train"]["n"] == 32
    assert 90 < rows["cross-validation"]["rmse_percent"] < 130
    q = np.concatenate([a.arrays["q"][a.numbers == 8] for a in ase.io.read("train.xyz", ":")])
    said = 100 * rows["cross-validation"]["rmse"] / q.std()
    assert rows["cross-validation"]["rmse_percent"] == pytest.approx(said, rel=1e-6)
    assert rows["cross-validation"]["rmse_percent_of_rest"] == pytest.approx(said, rel=0.1)


def test_case_9_values_of_other_atoms_may_be_missing(capsys):
    prepared(noise(0.4), "key: q, per: atom")
    full = trained("full")
    prepared(noise(np.nan), "key: q, per: atom")
    gaps = trained("gaps")
    assert [row["rmse"] for row in gaps] == [row["rmse"] for row in full]
    assert run(["predict", "gaps/model.safetensors", "train.xyz", "-o", "out.xyz"]) == 0
    predicted = ase.io.read("out.xyz", 0).arrays["predicted_q"]
    assert np.isnan(predicted).tolist() == [False, True, True, False, True, True]
    capsys.readouterr()
    given = ["evaluate", "gaps/model.safetensors", "out.xyz", "--key", "predicted_q", "--json"]
    assert run(given) == 0
    (row,) = [r for r in json.loads(capsys.readouterr().out)["rows"] if r["group"] == "all"]
    assert (row["n"], row["rmse"]) == (32, 0)


def test_frames_without_centers_need_no_values(capsys):
    frames = noise(np.nan)
    frames[3] = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
    prepared(frames, "key: q, per: atom")
    rows = {row["split"]: row for row in trained()}
    assert rows["train"]["n"] == rows["cross-validation"]["n"] == 30


def test_a_center_without_a_value_is_named(capsys):
    frames = noise(np.nan)
    frames[5].arrays["q"][3] = np.nan
    prepared(frames, "key: q, per: atom")
    assert run(["train", "config.yaml", "-o", "run"]) == 2
    said = capsys.readouterr().err
    assert "train.xyz, frame 5, key 'q': the value of atom 3 is not finite (nan)" in said
    prepared(noise(np.nan), "key: q, per: atom", more="")
    assert run(["train", "config.yaml", "-o", "run"]) == 2
    assert "frame 0, key 'q': the value of atom 1 is not finite" in capsys.readouterr().err


def test_learning_curves_are_relative_to_the_centers(capsys):
    frames = noise(0.4)
    prepared(
        frames, "key: q, per: atom", "centers: [O]\nlearning_curve: {sizes: [6], repeats: 1}\n"
    )
    config = Path("config.yaml")
    config.write_text(config.read_text().replace("train.xyz", "train.xyz, test_fraction: 0.25"))
    assert run(["learning-curve", "config.yaml", "-o", "curve"]) == 0
    (row,) = json.loads(Path("curve/learning_curve.json").read_text())["rows"]
    assert 80 < row["rmse_percent"] < 400


def test_tensors_of_some_atoms(capsys):
    frames, rng = waters(12), np.random.default_rng(2)
    for atoms in frames:
        vectors = rng.normal(size=(6, 3))
        vectors[atoms.numbers == 1] = np.nan
        atoms.arrays["mu"] = vectors
    prepared(frames, "key: mu, per: atom, tensor: vector")
    rows = {row["split"]: row for row in trained()}
    assert rows["train"]["n"] == rows["cross-validation"]["n"] == 24


@pytest.mark.parametrize("target", ["key: y, forces: {key: f}", "key: f, per: atom"])
def test_case_11_columns_that_change_their_width(capsys, target):
    frames, rng = waters(), np.random.default_rng(0)
    for i, atoms in enumerate(frames):
        atoms.info["y"] = float(i)
        atoms.arrays["f"] = rng.normal(size=(6, 3)) if i < 6 else rng.normal(size=6)
    prepared(frames, target, more="")
    assert run(["train", "config.yaml", "-o", "run"]) == 2
    said = capsys.readouterr().err
    assert "frame 6, key 'f': has shape (6,), but (6, 3) in train.xyz, frame 0" in said


def test_case_12_vectors_of_molecules_with_three_atoms(capsys):
    frames = [atoms[:3] for atoms in waters()]
    for i, atoms in enumerate(frames):
        atoms.info["polarization"] = np.array([0.1 * i, 0.2, 0.3])
    prepared(frames, "key: polarization, tensor: vector", more="")
    rows = {row["split"]: row for row in trained()}
    assert rows["train"]["n"] == 12


@pytest.mark.parametrize("numbers", [6, 9])
def test_case_14_stresses_are_symmetric_tensors(capsys, numbers):
    rng, lines = np.random.default_rng(0), []
    for atoms in waters():
        full = (half := rng.normal(size=(3, 3))) + half.T
        given = full.ravel() if numbers == 9 else full.ravel()[[0, 4, 8, 5, 2, 1]]
        text = " ".join(map(repr, given.tolist()))
        head = f'Lattice="12 0 0 0 12 0 0 0 12" Properties=species:S:1:pos:R:3 stress="{text}"'
        rows = [
            f"{s} {x} {y} {z}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)
        ]
        lines += ["6", head, *rows]
    Path("train.xyz").write_text("\n".join([*lines, ""]))
    target = "key: stress, tensor: symmetric, reduce: mean"
    Path("config.yaml").write_text(CONFIG.format(target=target, more=""))
    assert {row["split"]: row for row in trained()}["train"]["n"] == 12
    text = Path("train.xyz").read_text().replace("stress=", "moment=")
    Path("train.xyz").write_text(text)
    Path("config.yaml").write_text(
        CONFIG.format(target=target.replace("stress", "moment"), more="")
    )
    code = run(["train", "config.yaml", "-o", "other"])
    assert code == (0 if numbers == 9 else 2)
    if code:
        assert "give all nine, since six may stand in any order" in capsys.readouterr().err


def test_the_other_kind_of_property_is_named(capsys):
    frames = noise(0.4)
    for i, atoms in enumerate(frames):
        atoms.info["y"] = float(i)
    prepared(frames, "key: y, per: atom", more="")
    assert run(["train", "config.yaml", "-o", "run"]) == 2
    assert "it is one of structures: leave target.per out" in capsys.readouterr().err
    prepared(frames, "key: q", more="")
    assert run(["train", "config.yaml", "-o", "run"]) == 2
    assert "'q' is a property of atoms (target.per: atom)" in capsys.readouterr().err
