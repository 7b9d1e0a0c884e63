"""Sparse kernels through the command line."""

import json

import pytest
import yaml

from cli.test_tensors import tensor_folder  # noqa: F401 - a fixture
from multilode.cli.main import run
from multilode.data.io import read

SPARSE = {"kind": "sparse", "n_active": 12, "n_explored": 15, "regularization": 1e-6}


def with_model(folder, **model):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["estimator"] = model
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize("extra", [{}, {"zeta": [2, 1]}], ids=["quadratic", "mixed"])
def test_from_training_to_prediction(folder, extra, capsys):
    with_model(folder, **SPARSE, **extra)
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    rows = json.loads((folder / "out" / "metrics.json").read_text())["rows"]
    assert rows[-1]["rmse_percent"] < 30
    given = ["out/model.safetensors", "test.xyz", "-o", "o.xyz", "--std", "--forces"]
    assert run(["predict", *given]) == 0
    assert (read("o.xyz").column("predicted_gap_std") > 0).all()
    capsys.readouterr()
    assert run(["inspect", "out/model.safetensors"]) == 0
    assert "sparse" in capsys.readouterr().out
    assert run(["evaluate", "out/model.safetensors", "test.xyz"]) == 0


def test_a_learning_curve_compares_both_sets_with_the_same_environments(folder):
    with_model(folder, **SPARSE)
    assert run(["learning-curve", "config.yaml", "-o", "curve"]) == 0
    rows = json.loads((folder / "curve" / "learning_curve.json").read_text())["rows"]
    assert rows[1]["rmse"] < rows[0]["rmse"]


def test_a_committee_of_tensors(tensor_folder, capsys):  # noqa: F811 - the fixture
    config = yaml.safe_load((tensor_folder / "config.yaml").read_text())
    config["features"] = [["rho", "V"]]
    (tensor_folder / "config.yaml").write_text(yaml.safe_dump(config))
    with_model(tensor_folder, **SPARSE, committee={"n_members": 4, "fraction": 0.6})
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    rows = json.loads((tensor_folder / "out" / "metrics.json").read_text())["error_bars"]
    assert [row["part"] for row in rows] == ["l = 0", "l = 2", "all"]
    assert run(["predict", "out/model.safetensors", "test.xyz", "-o", "o.xyz", "--std"]) == 0
    bars = read("o.xyz").column("predicted_alpha_std")
    assert bars.reshape(6, 9).shape == (6, 9)
    assert (bars > 0).all()
    assert run(["learning-curve", "config.yaml", "-o", "curve"]) == 0
    capsys.readouterr()
    assert run(["inspect", "out/model.safetensors"]) == 0
    assert "4 members of kind sparse" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_active": 0}, "setting 'estimator': n_active is 0"),
        ({"zeta": [2, 1, 2]}, "setting 'estimator.zeta': has 3 values for 2 features"),
        ({"active": 5}, "did you mean 'n_active'?"),
    ],
)
def test_bad_settings(folder, capsys, settings, said):
    with_model(folder, kind="sparse", **settings)
    assert run(["train", "config.yaml", "-o", "out"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["kernel", "sparse"])
def test_a_mixture_for_tensors(tensor_folder, kind, capsys):  # noqa: F811 - the fixture
    config = yaml.safe_load((tensor_folder / "config.yaml").read_text())
    config["features"] = [["rho", "V"], ["V"]]
    (tensor_folder / "config.yaml").write_text(yaml.safe_dump(config))
    with_model(tensor_folder, kind=kind, zeta=[2, 1], regularization=1e-8)
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    capsys.readouterr()
    assert run(["inspect", "out/model.safetensors"]) == 0
    shown = capsys.readouterr().out
    assert "(rho x V)^2" in shown
    assert "(V)^2" not in shown
    assert run(["predict", "out/model.safetensors", "test.xyz", "-o", "o.xyz", "--std"]) == 0
