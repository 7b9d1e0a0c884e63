"""Outputs: the format of the suffix, no input overwritten, nothing of an earlier run left."""

import csv
import os
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from multilode.cli.main import run
from multilode.config.store import load
from multilode.data.io import read

TRAIN = ["train", "config.yaml", "-o", "out"]
CURVE = ["learning-curve", "config.yaml", "-o", "out"]


def refusal(arguments, capsys):
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    capsys.readouterr()
    assert run(arguments) == 2
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    return capsys.readouterr().err


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_case_41_nothing_of_an_earlier_run_is_left(folder, capsys):
    assert run(TRAIN) == 0
    assert "test_predictions.xyz" in names("out")
    Path("out/notes.txt").write_text("mine")
    said = refusal(TRAIN, capsys)
    assert "'out' holds the results of an earlier run (config.yaml, metrics.json" in said
    assert "--overwrite" in said
    config = Path("config.yaml")
    config.write_text(config.read_text().replace("test: test.xyz, ", ""))
    assert run([*TRAIN, "--overwrite"]) == 0
    assert names("out") == [
        *("config.yaml", "metrics.json", "model.safetensors", "notes.txt", "report.html"),
        "timings.json",
        "train.log",
    ]
    config.write_text(config.read_text().replace("train.xyz,", "train.xyz, test: test.xyz,"))
    assert "earlier run" in refusal(CURVE, capsys)
    assert run([*CURVE, "--overwrite"]) == 0
    assert "model.safetensors" not in names("out")
    assert "notes.txt" in names("out")


def test_a_run_that_fails_leaves_the_earlier_one(folder, capsys):
    assert run(TRAIN) == 0
    before = Path("out/metrics.json").read_bytes()
    Path("config.yaml").write_text(Path("config.yaml").read_text().replace("key: gap", "key: gpa"))
    refusal([*TRAIN, "--overwrite"], capsys)
    assert Path("out/metrics.json").read_bytes() == before


@pytest.mark.parametrize("command", [TRAIN, CURVE])
def test_a_run_never_overwrites_what_it_reads(folder, capsys, command):
    at_home = [*command[:3], ".", "--overwrite"]
    assert "'config.yaml' would overwrite the input" in refusal(at_home, capsys)
    Path("out").mkdir()
    Path("train.xyz").rename("out/test_predictions.xyz")
    text = Path("config.yaml").read_text().replace("train.xyz", "out/test_predictions.xyz")
    Path("config.yaml").write_text(text)
    assert "would overwrite the input" in refusal([*command, "--overwrite"], capsys)


@pytest.mark.parametrize("way", ["same", "symlink", "hardlink", "other path"])
def test_predict_never_overwrites_its_input(folder, model, capsys, way):
    name = {"same": "test.xyz", "other path": f"../{folder.name}/test.xyz"}.get(way, "link.xyz")
    if way == "symlink":
        os.symlink("test.xyz", name)
    if way == "hardlink":
        os.link("test.xyz", name)
    said = refusal(["predict", model, "test.xyz", "-o", name], capsys)
    assert "would overwrite the input" in said
    assert "choose another place" in said


def test_no_command_overwrites_its_other_inputs(folder, model, capsys):
    os.link(model, "model.xyz")
    assert "overwrite the input" in refusal(
        ["predict", model, "test.xyz", "-o", "model.xyz"], capsys
    )
    os.link("test.xyz", "test.npz")
    given = ["features", "config.yaml", "test.xyz", "-o", "test.npz"]
    assert "would overwrite the input" in refusal(given, capsys)
    os.link("train.xyz", "train.csv")
    given = ["features", "config.yaml", "test.xyz", "-o", "train.csv"]
    assert "would overwrite the input" in refusal(given, capsys)


@pytest.mark.parametrize("suffix", [".xyz", ".extxyz", ".xyz.gz", ".traj", ".db", ".npz", ".XYZ"])
def test_case_17_predictions_in_the_format_of_the_suffix(folder, model, suffix):
    assert run(["predict", model, "test.xyz", "-o", f"o{suffix}", "--forces"]) == 0
    found, expected = read(f"o{suffix}"), load(model).predict(read("test.xyz"), forces=True)
    assert found.column("predicted_gap").tolist() == expected.values.tolist()
    assert found.atom_column("predicted_forces").tolist() == expected.forces.tolist()
    assert found.labels("label") == read("test.xyz").labels("label")
    if suffix in (".traj", ".db"):
        assert len(ase.io.read(f"o{suffix}", ":")) == 10


def test_predictions_as_a_table(folder, model, capsys):
    assert run(["predict", model, "test.xyz", "-o", "o.csv", "--forces"]) == 0
    assert "note: not written" in capsys.readouterr().err
    with Path("o.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = load(model).predict(read("test.xyz")).values.tolist()
    assert [float(row["predicted_gap"]) for row in rows] == expected
    assert [(row["file"], row["frame"]) for row in rows[:2]] == [
        ("test.xyz", "0"),
        ("test.xyz", "1"),
    ]


@pytest.mark.parametrize("name", ["o", "o.dat", "o.json", "o.pdb", "o.traj.gz"])
def test_other_formats_are_refused_before_the_computation(folder, model, capsys, name):
    said = refusal(["predict", model, "test.xyz", "-o", name], capsys)
    assert ".xyz, .extxyz, .npz, .traj, .db, .csv" in said
    said = refusal(["features", "config.yaml", "test.xyz", "-o", name], capsys)
    assert "choose one of .npz, .csv" in said


def test_features_as_a_table(folder):
    for suffix in (".npz", ".csv"):
        assert run(["features", "config.yaml", "test.xyz", "-o", f"f{suffix}"]) == 0
    with np.load("f.npz") as arrays, Path("f.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
        values = np.concatenate([arrays["values_0"], arrays["values_1"]], axis=1)
        np.testing.assert_array_equal(np.array(rows, dtype=float)[:, 3:], values)
        np.testing.assert_array_equal(np.array(rows, dtype=float)[:, :3], arrays["samples"])
    assert head[:3] == ["structure", "atom", "species"]
    assert len(set(head)) == len(head)
    assert head[3].startswith("0: ")


def test_case_10_tensors_of_atoms(folder, model):
    atoms = ase.io.read("test.xyz", 0)
    born = np.random.default_rng(0).normal(size=(3, 3, 3))
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, born_effective_charges=born)
    atoms.set_array("wave", np.array([1j, 2, 3]))
    atoms.info["note"] = "two\nlines"
    ase.io.write("b.traj", atoms)
    assert run(["predict", model, "b.traj", "-o", "o.xyz"]) == 0
    again = read("o.xyz")
    np.testing.assert_array_equal(again.atom_columns["born_effective_charges"][0], born)
    assert again.columns["note"] == ("two\nlines",)
    assert again.column("predicted_gap").shape == (1,)


def test_case_6_an_empty_text_does_not_swallow_the_prediction(folder, model):
    text = Path("test.xyz").read_text().replace("label=even", 'label=""')
    Path("test.xyz").write_text(text)
    assert run(["predict", model, "test.xyz", "-o", "o.xyz"]) == 0
    again = read("o.xyz")
    assert again.column("predicted_gap").shape == (10,)
    assert again.labels("label")[:2] == ("", "odd")


def test_case_43_one_file_for_both_sets(folder, capsys):
    Path("config.yaml").write_text(
        Path("config.yaml").read_text().replace("test: test.xyz", "test: copy.xyz")
    )
    images = [*ase.io.read("test.xyz", ":"), *ase.io.read("train.xyz", ":3")]
    ase.io.write("copy.xyz", images, format="extxyz")
    assert run(TRAIN) == 0
    said = capsys.readouterr().err
    assert "3 of 13 structures of the test set are in the training set" in said
    assert "copy.xyz frame 10" in said


def test_case_43_an_element_that_the_draw_took(folder, capsys):
    images = ase.io.read("train.xyz", ":")
    images[7].set_chemical_symbols("NaClS")
    ase.io.write("train.xyz", images, format="extxyz")
    config = Path("config.yaml")
    for seed in range(20):
        more = f"test_fraction: 0.4, seed: {seed}"
        text = config.read_text()
        config.write_text(text.replace("test: test.xyz", more))
        capsys.readouterr()
        code = run(["train", "config.yaml", "-o", f"out{seed}"])
        config.write_text(text)
        if code:
            break
    assert code == 2
    said = capsys.readouterr().err
    assert "frame 7: contains S, which data.test_fraction has drawn into the test set only" in said
    assert "choose another data.seed" in said


def test_case_22_a_constant_target_is_noted(folder, capsys):
    images = ase.io.read("train.xyz", ":")
    for image in images:
        image.info["gap"] = 0.0
    ase.io.write("train.xyz", images, format="extxyz")
    assert run(TRAIN) == 0
    assert (
        "'gap' has the same value everywhere, 0: there is nothing to learn"
        in capsys.readouterr().err
    )


def test_case_20_structures_without_centers_are_noted(folder, capsys):
    Path("config.yaml").write_text(Path("config.yaml").read_text() + "centers: [C]\n")
    assert run(TRAIN) == 0
    assert "no atom of the elements" not in capsys.readouterr().err
    ase.io.write("salt.xyz", [ase.io.read("test.xyz"), Atoms("NaCl", [[0, 0, 0], [0, 0, 2.4]])])
    assert run(["predict", "out/model.safetensors", "salt.xyz", "-o", "o.xyz"]) == 0
    said = capsys.readouterr().err
    assert "salt.xyz, frame 1: has no atom of the elements that are centers" in said


def test_names_of_folders_are_printed_without_control_characters(folder, capsys):
    assert run(["train", "config.yaml", "-o", "\x1b[2J"]) == 0
    said = capsys.readouterr().out
    assert "Written to ?[2J: report.html" in said
    assert "\x1b" not in said
