"""Committees through the command line: error bars that are trained, saved, predicted, reported."""

import json
import re

import numpy as np
import pytest
import torch
import yaml
from ase.io import read as read_ase

from cli.test_atom_targets import CONFIG as ATOMS
from cli.test_atom_targets import atom_folder  # noqa: F401 - a fixture
from multilode.cli.main import run
from multilode.config.store import load
from multilode.data.io import read
from multilode.engines.calculator import PredictorCalculator
from multilode.models.committee.calibration import fraction_inside

COMMITTEE = {"n_members": 8, "fraction": 0.7}


def with_model(folder, **model):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["estimator"] = model
    config["data"].pop("group")  # of which the folder has two, and members would be the same
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize("kind", ["ridge", "kernel"])
def test_error_bars_from_training_to_prediction(folder, kind, capsys):
    with_model(folder, kind=kind, regularization=1e-4, committee=COMMITTEE)
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    shown = capsys.readouterr().out
    assert "within the bar (%)" in shown
    assert "alpha" in shown
    found = json.loads((folder / "out" / "metrics.json").read_text())
    left_out, test = found["error_bars"]
    assert (left_out["split"], test["split"], test["n"]) == ("left out", "test", 10)
    assert left_out["alpha"][0] > 0
    assert f"committee of 8 x {kind}" in found["rows"][0]["model"]
    report = (folder / "out" / "report.html").read_text()
    assert "Errors against error bars" in report

    given = ["out/model.safetensors", "test.xyz", "-o", "o.xyz", "--std", "--forces"]
    assert run(["predict", *given]) == 0
    predicted = read("o.xyz")
    bars = predicted.column("predicted_gap_std")
    errors = predicted.column("predicted_gap") - predicted.column("gap")
    inside = fraction_inside(torch.from_numpy(errors), torch.from_numpy(bars))
    assert test["inside_percent"] == pytest.approx(100 * inside)
    saved = read("out/test_predictions.xyz")
    np.testing.assert_allclose(saved.column("predicted_gap_std"), bars, rtol=1e-6)

    capsys.readouterr()
    assert run(["inspect", "out/model.safetensors"]) == 0
    shown = capsys.readouterr().out
    assert f"committee, 8 members of kind {kind}" in shown
    assert "points left out" in shown
    assert run(["evaluate", "out/model.safetensors", "test.xyz"]) == 0

    atoms = read_ase("test.xyz", 0)
    atoms.calc = PredictorCalculator(load("out/model.safetensors"), with_std=True, tolerance=None)
    assert atoms.get_potential_energy() == pytest.approx(predicted.column("predicted_gap")[0])
    assert atoms.calc.results["energy_std"] == pytest.approx(bars[0], rel=1e-6)


def test_a_learning_curve_of_committees(folder):
    with_model(folder, regularization=1e-6, committee=COMMITTEE)
    assert run(["learning-curve", "config.yaml", "-o", "curve"]) == 0
    rows = json.loads((folder / "curve" / "learning_curve.json").read_text())["rows"]
    assert [row["n_train"] for row in rows] == [8, 16]
    assert rows[1]["rmse"] < rows[0]["rmse"]


def test_tensors_of_atoms(atom_folder, capsys):  # noqa: F811 - the fixture
    (atom_folder / "config.yaml").write_text(ATOMS + "centers: [Na, C]\n")
    with_model(atom_folder, regularization=1e-8, committee=COMMITTEE)
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    assert run(["predict", "out/model.safetensors", "test.xyz", "-o", "o.xyz", "--std"]) == 0
    for atoms in read_ase("o.xyz", ":"):
        bars = atoms.arrays["predicted_field_std"]
        assert np.isfinite(bars[[0, 2]]).all()
        assert (bars[[0, 2]] > 0).all()
        assert np.isnan(bars[1]).all()


@pytest.mark.parametrize(
    ("committee", "said"),
    [
        (
            {"members": 8},
            r"unknown setting 'estimator\.committee\.members'; did you mean 'n_members'\?",
        ),
        ({"n_members": 2}, r"'estimator\.committee': .*n_members 2 .*use at least 3 members"),
        (
            {"fraction": 1.0},
            r"'estimator\.committee': .*fraction.* is 1\.0; it must lie between",
        ),
        ({"seed": -1}, r"'estimator\.committee\.seed': "),
    ],
)
def test_bad_settings(folder, capsys, committee, said):
    with_model(folder, committee=committee)
    assert run(["train", "config.yaml", "-o", "out"]) == 2
    assert re.search(said, capsys.readouterr().err)


def test_too_few_structures_for_error_bars(folder, capsys):
    text = (folder / "config.yaml").read_text()
    with_model(folder, committee={"n_members": 3, "fraction": 0.99})
    assert run(["train", "config.yaml", "-o", "out"]) == 2
    assert "error bars of a committee need points" in capsys.readouterr().err
    (folder / "config.yaml").write_text(text.replace("1.0]", "1.0], committee: {}"))
    assert run(["train", "config.yaml", "-o", "out"]) == 2  # only two groups, two kinds of members
    assert "trained on the same data" in capsys.readouterr().err
    assert not (folder / "out").exists()
