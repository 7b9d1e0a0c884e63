"""One training in two units: what is converted is the same model, what is not is said."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.io import read, write

from multilode.cli.main import run
from multilode.config.store import load
from springs import springs

BOHR = units.Hartree / units.Bohr


def put_springs(image, seed):
    """Energy and forces of springs among the values of a file."""
    image.info["gap"], image.arrays["forces"] = springs(image, seed, 0.05)


@pytest.fixture
def slopes(folder):
    """The data with forces in eV/Å, and others in Hartree/bohr."""
    for k, file in enumerate(("train.xyz", "test.xyz")):
        images = read(file, ":")
        for seed, image in enumerate(images):
            put_springs(image, 100 * k + seed)
        write(file, images, format="extxyz")
        for image in images:
            image.arrays["forces"] = image.arrays["forces"] / BOHR
        write(f"atomic_{file}", images, format="extxyz")
    text = Path("config.yaml").read_text().replace("estimator: {", "estimator: {kind: ridge, ")
    Path("config.yaml").write_text(text.replace("unit: eV", "unit: eV, forces: forces"))
    text = text.replace("train.xyz", "atomic_train.xyz").replace("test.xyz", "atomic_test.xyz")
    forces = "forces: {key: forces, unit: Hartree/bohr}"
    Path("atomic.yaml").write_text(text.replace("unit: eV", f"unit: eV, {forces}"))
    return folder


def evaluated(capsys, *arguments):
    assert run(["evaluate", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return {row.get("component"): row["rmse"] for row in found["rows"]}, found["doubts"]


def test_forces_in_two_units_are_one_model(slopes, capsys):
    for name in ("config", "atomic"):
        assert run(["train", f"{name}.yaml", "-o", name]) == 0
    capsys.readouterr()
    image = read("test.xyz", 0)
    one, other = (load(f"{name}/model.safetensors").predict(image) for name in ("config", "atomic"))
    assert one.values.item() == pytest.approx(other.values.item(), rel=1e-6)
    metrics = json.loads(Path("atomic/metrics.json").read_text())
    rows = [row for row in metrics["rows"] if row.get("component") == "forces"]
    assert {row["unit"] for row in rows} == {"meV/Å"}
    assert metrics["doubts"] == []
    asked = ["atomic/model.safetensors", "atomic_test.xyz", "--forces", "forces"]
    own, doubts = evaluated(capsys, *asked)  # in the unit of the training
    assert doubts == []
    wrong, doubts = evaluated(capsys, *asked, "--forces-unit", "eV/Å")
    assert any("--forces-unit Hartree/bohr" in doubt["text"] for doubt in doubts)
    right, _ = evaluated(
        capsys, "config/model.safetensors", "test.xyz", "--forces", "forces", "--unit", "eV"
    )
    assert own["forces"] == pytest.approx(right["forces"], rel=1e-4)
    assert wrong["forces"] > 5 * own["forces"]


def test_references_of_energies_in_another_unit(model, capsys):
    images = read("test.xyz", ":")
    for image in images:
        image.info["gap"] /= units.kcal / units.mol
    write("kcal.xyz", images, format="extxyz")
    wrong, doubts = evaluated(capsys, model, "kcal.xyz")
    assert any("--unit kcal/mol would fit" in doubt["text"] for doubt in doubts)
    right, doubts = evaluated(capsys, model, "kcal.xyz", "--unit", "kcal/mol")
    known, _ = evaluated(capsys, model, "test.xyz")
    assert doubts == []
    assert right[None] == pytest.approx(known[None], rel=1e-4)
    assert wrong[None] > 10 * right[None]


@pytest.mark.parametrize("option", ["--unit", "--forces-unit"])
def test_units_of_another_kind_are_refused(model, capsys, option):
    assert run(["evaluate", model, "test.xyz", option, "GPa", "--forces", "forces"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_init_proposes_the_unit_of_forces(slopes, capsys):
    for file in ("atomic_train.xyz", "train.xyz"):
        Path(file).write_text(Path(file).read_text().replace("gap=", "energy="))
        assert run(["init", file, "-o", "proposed.yaml", "--overwrite"]) == 0
        text = Path("proposed.yaml").read_text()
        assert ("unit: Hartree/bohr}" in text) == (file == "atomic_train.xyz")
        capsys.readouterr()


def test_predictions_of_positions_in_bohr(folder, model, capsys):
    images = read("test.xyz", ":")
    for image in images:
        image.positions = np.array([[0, 0, 0], [0, 0, 2.4], [2.4, 0, 0]]) / units.Bohr
    write("bohr.xyz", images, format="extxyz")
    assert run(["predict", model, "bohr.xyz", "-o", "out.xyz"]) == 0
    assert "positions were in bohr" in capsys.readouterr().err
