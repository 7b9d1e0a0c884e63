"""Every command on real files: what it writes, prints and returns."""

import json
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
import yaml

from multilode.cli.main import run
from multilode.config.config import load_config
from multilode.config.store import load
from multilode.data.io import read

OLD_MODELS = sorted((Path(__file__).parents[1] / "reference" / "models").glob("*.safetensors"))


def test_train_writes_model_errors_report_configuration_and_predictions(folder, capsys):
    assert run(["train", "config.yaml", "-o", "results/first"]) == 0
    out = folder / "results" / "first"
    assert sorted(p.name for p in out.iterdir()) == [
        "config.yaml",
        "metrics.json",
        "model.safetensors",
        "report.html",
        "test_predictions.xyz",
        "timings.json",
        "train.log",
    ]
    stages = json.loads((out / "timings.json").read_text())["stages"]
    assert {"reading structures", "writing results"} <= {row["stage"] for row in stages}
    assert all(row["seconds"] >= 0 and row["largest_memory_gb"] > 0 for row in stages)
    metrics = json.loads((out / "metrics.json").read_text())
    rows = {row["split"]: row for row in metrics["rows"] if "component" not in row}
    assert set(rows) == {"train", "test"}
    assert rows["test"]["n"] == 10
    assert rows["test"]["unit"] == "eV"
    assert {row["group"] for row in metrics["groups"]} == {"odd", "even"}
    assert {row["split"] for row in metrics["rows"] if row.get("component") == "per atom"}
    test = read(out / "test_predictions.xyz")
    errors = test.column("predicted_gap") - test.column("gap")
    assert rows["test"]["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-6)
    assert rows["test"]["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-6)
    percent = 100 * np.sqrt(np.mean(errors**2)) / np.std(test.column("gap"))
    assert rows["test"]["rmse_percent"] == pytest.approx(percent, rel=1e-6)
    assert percent < 20  # it has learned something
    text = (out / "report.html").read_text()
    assert "RMSE%" in text
    assert "smearing" in text  # the configuration
    printed = capsys.readouterr()
    assert "RMSE (eV)" in printed.out
    assert printed.err == ""


def test_the_written_configuration_trains_the_same_model(folder):
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    assert load_config("out/config.yaml").estimator == load_config("config.yaml").estimator
    assert run(["train", "out/config.yaml", "-o", "again"]) == 0
    first, second = (
        json.loads(path.read_text())["rows"]
        for path in (folder / "out" / "metrics.json", folder / "again" / "metrics.json")
    )
    assert first == second


def test_cross_validation_is_reported_and_settings_have_defaults(folder):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["estimator"], config["data"]["test"]
    config["data"]["test_fraction"] = 0.25
    del config["data"]["group"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    rows = json.loads((folder / "out" / "metrics.json").read_text())["rows"]
    assert [(row["split"], row["n"]) for row in rows if "component" not in row] == [
        ("train", 18),
        ("cross-validation", 18),
        ("test", 6),
    ]


def test_predict_writes_values_and_forces(folder, model, capsys):
    assert run(["predict", model, "test.xyz", "-o", "out.xyz", "--forces", "--index", "::3"]) == 0
    assert "predicted_gap (eV)" in capsys.readouterr().out
    images = ase.io.read("out.xyz", ":")
    expected = load(model).predict(read("test.xyz", "::3").structures, forces=True)
    values = [image.info["predicted_gap"] for image in images]
    np.testing.assert_allclose(values, expected.values, rtol=1e-6)
    forces = np.concatenate([image.arrays["predicted_forces"] for image in images])
    np.testing.assert_allclose(forces, expected.forces, atol=1e-7)
    assert images[0].info["label"] == "even"


@pytest.mark.slow
def test_workers_do_the_same(folder, model):
    for name, where in (("here", []), ("there", ["--scheduler", "local:2"])):
        assert run(["train", "config.yaml", "-o", name, *where]) == 0
        assert run(["learning-curve", "config.yaml", "-o", f"{name}-curve", *where]) == 0
        assert run(["predict", model, "test.xyz", "-o", f"{name}.xyz", "--forces", *where]) == 0
    for file in ("{}/metrics.json", "{}-curve/learning_curve.json"):
        here, there = (json.loads(Path(file.format(x)).read_text()) for x in ("here", "there"))
        assert there["rows"] == here["rows"]
    assert Path("there.xyz").read_bytes() == Path("here.xyz").read_bytes()


def test_predict_for_structures_without_reference(folder, model):
    images = ase.io.read("test.xyz", ":2")
    for image in images:
        image.info.clear()
    ase.io.write("plain.xyz.gz", images, format="extxyz")
    assert run(["predict", model, "plain.xyz.gz", "-o", "out.xyz.gz"]) == 0
    assert read("out.xyz.gz").column("predicted_gap").shape == (2,)


def test_evaluate_prints_a_table_or_json(folder, model, capsys):
    assert run(["evaluate", model, "test.xyz", "--json", "--group", "label"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    whole = [row for row in rows if "component" not in row]
    assert [(row["group"], row["n"]) for row in whole] == [("all", 10), ("even", 5), ("odd", 5)]
    assert run(["evaluate", model, "test.xyz"]) == 0
    printed = capsys.readouterr().out
    assert f"{rows[0]['rmse']:.4g}" in printed
    assert "RMSE% is the RMSE divided by the standard deviation" in printed


def test_features_are_labelled(folder, capsys):
    assert run(["features", "config.yaml", "test.xyz", "-o", "f.npz", "--index", ":2"]) == 0
    assert "(6, " in capsys.readouterr().out
    with np.load("f.npz", allow_pickle=False) as arrays:
        assert arrays["samples"].tolist()[3:] == [[1, 0, 11], [1, 1, 17], [1, 2, 6]]
        assert arrays["sample_names"].tolist() == ["structure", "atom", "species"]
        for k, names in enumerate([["rho", "rho"], ["rho", "V"]]):
            assert arrays[f"correlation_{k}"].tolist() == names
            n_features = arrays[f"values_{k}"].shape[1]
            assert arrays[f"feature_labels_{k}"].shape == (
                n_features,
                len(arrays[f"feature_names_{k}"]),
            )
        assert np.isfinite(arrays["values_1"]).all()


def test_learning_curve(folder, capsys):
    assert run(["learning-curve", "config.yaml", "-o", "curve"]) == 0
    names = sorted(p.name for p in (folder / "curve").iterdir())
    wanted = ["config.yaml", "learning_curve.json", "learning_curve.png", "report.html"]
    assert names == [*wanted, "timings.json"]
    assert "What to do next" in (folder / "curve" / "report.html").read_text()
    rows = json.loads((folder / "curve" / "learning_curve.json").read_text())["rows"]
    assert [row["n_train"] for row in rows] == [8, 16]
    for row in rows:
        assert row["rmse"] == pytest.approx(np.mean(row["rmse_of_repeats"]))
        spread = np.std(row["rmse_of_repeats"], ddof=1) / np.sqrt(2)
        assert row["standard_error"] == pytest.approx(spread)
    assert "training structures" in capsys.readouterr().out


def test_inspect(folder, model, capsys):
    assert run(["inspect", model]) == 0
    printed = capsys.readouterr().out
    for part in ("gap (eV)", "C, Na, Cl", "potential, p = 1", "rho x V", "all atoms"):
        assert part in printed
    assert run(["inspect", model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "multilode-model"


@pytest.mark.parametrize(
    ("field", "method", "said"),
    [
        ("", "", ("method auto", "tolerance default", "all atoms")),
        (
            "range: far, near_radius: 2.25, ",
            "method: mesh\ntolerance: 1e-3\n",
            ("method mesh", "tolerance 0.001", "far, 2.25 Å"),
        ),
        ("range: near, ", "method: pair_sum\n", ("method pair_sum", "near, 2.5 Å")),
    ],
)
def test_inspect_says_how_fields_are_expanded(folder, capsys, field, method, said):
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("V: {", "V: {" + field) + method)
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    capsys.readouterr()
    assert run(["inspect", "out/model.safetensors"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for part in said:
        assert part in printed


def test_a_target_without_unit_and_names_that_look_like_formulas(folder, capsys):
    for name in ("train.xyz", "test.xyz"):
        images = ase.io.read(name, ":")
        for image in images:
            image.info["$gap^^$"] = image.info["gap"]
            image.info["label"] = "$^$"
        ase.io.write(name, images, format="extxyz")
    text = Path("config.yaml").read_text()
    Path("config.yaml").write_text(text.replace("gap, unit: eV", "'$gap^^$', unit: ''"))
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    assert run(["inspect", "out/model.safetensors"]) == 0
    assert run(["evaluate", "out/model.safetensors", "test.xyz"]) == 0
    assert run(["learning-curve", "config.yaml", "-o", "curve"]) == 0
    assert "()" not in capsys.readouterr().out


def test_help_and_version_do_not_load_torch(folder):
    code = (
        "import sys; from multilode.cli.main import run; "
        "assert run(['--help']) == 0; assert run(['--version']) == 0; "
        "assert not {'torch', 'ase', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("train", "predict", "evaluate", "features", "learning-curve", "inspect"):
        assert command in done.stdout
    assert "multilode 0." in done.stdout


def test_tensor_component_and_split_by_a_key(folder):
    images = [*ase.io.read("train.xyz", ":"), *ase.io.read("test.xyz", ":")]
    for i, image in enumerate(images):
        value = image.info.pop("gap")
        image.info["tensor"] = np.diag([value, 2 * value, 0.5]).ravel()
        image.info["part"] = "train" if i < 24 else "test"
    ase.io.write("all.xyz", images, format="extxyz")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["data"] = {"train": "all.xyz", "split": "part"}
    config["target"] = {"key": "tensor", "component": "trace", "reduce": "mean"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    rows = json.loads((folder / "out" / "metrics.json").read_text())["rows"]
    assert [(row["split"], row["n"]) for row in rows] == [("train", 24), ("test", 10)]
    predicted = read("out/test_predictions.xyz")
    trace = predicted.column("tensor")[:, [0, 4, 8]].sum(axis=1)
    error = np.sqrt(np.mean((predicted.column("predicted_tensor") - trace) ** 2))
    assert rows[1]["rmse"] == pytest.approx(error, rel=1e-6)
    # the model remembers which component it was trained on
    assert run(["evaluate", "out/model.safetensors", "all.xyz", "--group", "part"]) == 0


def test_a_kernel_model_and_its_uncertainty(folder):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["estimator"] = {"kind": "kernel", "zeta": 2, "regularization": 1e-6}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    assert run(["predict", "out/model.safetensors", "test.xyz", "-o", "o.xyz", "--std"]) == 0
    assert (read("o.xyz").column("predicted_gap_std") >= 0).all()


def test_slabs_from_file(folder):
    """Layers among molecules, trained on and predicted, with the zeros that ASE writes."""
    for name in ("train.xyz", "test.xyz"):
        images = ase.io.read(name, ":")
        for image in images[::2]:
            image.cell, image.pbc = [[7.0, 0, 0], [1.0, 8.0, 0], [0, 0, 0]], (True, True, False)
        ase.io.write(name, images, format="extxyz")
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    assert run(["predict", "out/model.safetensors", "test.xyz", "-o", "o.xyz", "--forces"]) == 0
    assert np.isfinite(read("o.xyz").column("predicted_gap")).all()


@pytest.mark.parametrize("path", OLD_MODELS, ids=lambda path: path.stem)
def test_inspect_shows_models_of_earlier_formats(path, capsys):
    assert run(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "species" in shown
    assert "H, C, O" in shown
    assert run(["inspect", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["training"] == {"n": 12}
