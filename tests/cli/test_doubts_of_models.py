"""Doubts about predictions and error bars, on the terminal and in the files."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.io import read, write

from multilode.cli.main import run
from multilode.engines.calculator import PredictorCalculator
from multilode.errors import DataWarning


def compressed(image):
    again = image.copy()
    again.positions *= 0.7
    return again


@pytest.fixture
def strange(folder):
    """Ten structures like those of the training, two of them compressed."""
    images = read("test.xyz", ":")
    for k in (3, 7):
        images[k] = compressed(images[k])
    write("strange.xyz", images, format="extxyz")
    return "strange.xyz"


def kinds(doubts):
    return {doubt["kind"]: [frame["frame"] for frame in doubt["frames"]] for doubt in doubts}


def test_predict_says_which_structures_are_far(model, strange, capsys):
    assert run(["predict", model, strange, "-o", "o.xyz"]) == 0
    said = capsys.readouterr().err
    assert "2 of 10 structures of these have atoms whose surroundings are far" in said
    assert "strange.xyz frame 3, strange.xyz frame 7" in said
    assert run(["predict", model, "test.xyz", "-o", "p.xyz"]) == 0
    assert "far" not in capsys.readouterr().err


def test_evaluate_says_it_too(model, strange, capsys):
    assert run(["evaluate", model, strange, "--json"]) == 0
    said = capsys.readouterr()
    assert kinds(json.loads(said.out)["doubts"]) == {"far from training": [3, 7]}
    assert "are far" in said.err


def test_a_test_set_far_from_training(strange, capsys):
    text = Path("config.yaml").read_text().replace("test: test.xyz", f"test: {strange}")
    Path("config.yaml").write_text(text)
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    assert "2 of 10 structures of the test set" in capsys.readouterr().err
    found = kinds(json.loads(Path("out/metrics.json").read_text())["doubts"])
    assert found["far from training"] == [3, 7]
    assert "far from training" in Path("out/report.html").read_text()


def test_dynamics_say_it_once(model):
    atoms = read("test.xyz", 0)
    atoms.calc = PredictorCalculator(model, unit="eV", tolerance=None)
    energies = [atoms.get_potential_energy()]
    far = compressed(atoms)
    far.calc = PredictorCalculator(model, unit="eV", tolerance=None)
    with pytest.warns(DataWarning, match="surroundings of atom . .* far from all of the training"):
        energies.append(far.get_potential_energy())
    for _ in range(25):  # warnings are errors
        far.rattle(0.01)
        energies.append(far.get_potential_energy())
    assert np.isfinite(energies).all()


def test_a_committee_calibrated_on_little(folder, capsys):
    images, rng = read("train.xyz", ":14"), np.random.default_rng(0)
    for k, image in enumerate(images):  # noise, which members differ by
        image.info["gap"] += rng.normal(scale=0.05)
        image.info["label"] = f"group {k % 6}"
    write("train.xyz", images, format="extxyz")
    old = "estimator: {regularization"
    new = "estimator: {committee: {n_members: 8, fraction: 0.5}, regularization"
    Path("config.yaml").write_text(Path("config.yaml").read_text().replace(old, new))
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    said = capsys.readouterr().err
    found = kinds(json.loads(Path("out/metrics.json").read_text())["doubts"])
    assert {"bars from few errors", "bars from few groups"} <= set(found)
    assert "errors and is known to" in said
    assert "comes from 6 groups of 'label'" in said


def test_a_learning_curve_has_the_doubts_of_its_data(folder, capsys):
    images = read("train.xyz", ":")
    write("train.xyz", [*images, images[4]], format="extxyz")
    assert run(["learning-curve", "config.yaml", "-o", "out"]) == 0
    found = kinds(json.loads(Path("out/learning_curve.json").read_text())["doubts"])
    assert found == {"duplicates": [24]}
    assert "1 of 25 structures are copies" in capsys.readouterr().err
    assert "duplicates" in Path("out/report.html").read_text()


def test_a_forecast_of_a_fit_to_many_forces_is_that_of_the_training(folder, capsys):
    """Rows, features and memory are those that the training itself names before it begins."""
    rng = np.random.default_rng(3)
    images = [image.copy() for image in 7 * read("train.xyz", ":")]
    for image in images:
        image.rattle(0.05, rng=rng)
        image.arrays["forces"] = rng.normal(size=(3, 3))
    write("train.xyz", images, format="extxyz")
    text = Path("config.yaml").read_text()
    text = text.replace("unit: eV", "unit: eV, forces: {key: forces}, reduce: sum")
    text = text.replace("estimator: {", "estimator: {kind: ridge, ")
    Path("config.yaml").write_text(text)
    assert run(["check", "config.yaml"]) == 0
    foreseen = capsys.readouterr().out.split("The fit: ")[1].split(", about")[0]
    assert foreseen.startswith(f"normal equations of {10 * len(images)} rows of ")
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    said = capsys.readouterr().err + Path("out/train.log").read_text()
    assert foreseen.split(":")[0] in said
