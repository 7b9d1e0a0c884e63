"""The scripts of strangers run as they stand, stay short, and find what they promise."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = ["train_with_forces/train.py", "own_field/own_field.py", "own_kernel/own_kernel.py"]


def output_of(script: str, folder: Path) -> str:
    """What it prints, run in a copy of its folder."""
    home = shutil.copytree((EXAMPLES / script).parent, folder / "copy")
    done = subprocess.run(
        [sys.executable, Path(script).name], cwd=home, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    notes = done.stderr.splitlines()  # ten structures calibrate error bars badly, and that is said
    assert all("the scale of the error bars" in note for note in notes), done.stderr
    return done.stdout


def numbers_after(words: str, text: str) -> list[float]:
    """The numbers in the rest of the first line with these words."""
    line = next(line for line in text.splitlines() if words in line)
    return [float(x) for x in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", line.split(words)[1])]


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_of_strangers_are_short(script):
    assert len((EXAMPLES / script).read_text(encoding="utf-8").splitlines()) <= 60


def test_training_with_forces(tmp_path, monkeypatch, capsys):
    """It adds no row to a table, so that it can run in this process."""
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / SCRIPTS[0]), run_name="__main__")
    printed, said = capsys.readouterr()
    assert said == ""
    local, whole = (numbers_after(f"{name}: RMSE", printed) for name in ("rho*rho", "rho*V"))
    assert local[0] > 0.1  # eV: beyond the cutoff nothing is seen
    assert whole[0] < 0.002
    assert whole[1] < 0.01  # eV/Å
    assert numbers_after("calculator:", printed)[0] < 0.01


def test_the_own_field_of_the_example_is_what_it_says():
    """The class alone; that such fields pass their check and are trained, toys show."""
    text = (EXAMPLES / SCRIPTS[1]).read_text(encoding="utf-8")
    found = {"__name__": "own_field"}
    exec(text[: text.index("\nfields.FIELDS[")], found)
    field, r = found["Slater"](0.4, 1.5), torch.tensor([4.0, 7.5], dtype=torch.float64)
    torch.testing.assert_close(field.profile(r), torch.exp(-r / 1.5), rtol=1e-5, atol=0)
    assert found["slab"](0).get_forces().shape == (8, 3)


@pytest.mark.slow  # 25 seconds, most of them for tables of a field without closed forms
def test_an_own_field_on_a_slab_from_a_configuration(tmp_path):
    printed = output_of(SCRIPTS[1], tmp_path)
    force, slope = numbers_after("direction:", printed)
    assert abs(force - slope) < 1e-5 * abs(force)
    rmse, _, percent = numbers_after("test   ", printed)[-3:]
    assert rmse < 0.005
    assert percent < 3
    assert (tmp_path / "copy" / "run" / "report.html").exists()


def test_an_own_kernel_in_a_sparse_committee(tmp_path):
    printed = output_of(SCRIPTS[2], tmp_path)
    assert all(bar > 0 for bar in numbers_after("error bars in eV:", printed))
    assert numbers_after("all: RMSE", printed)[1] < 4  # percent
    assert (tmp_path / "copy" / "run" / "model.safetensors").exists()


@pytest.mark.slow
def test_known_charges_of_molecules_tell_ions_from_water(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    script = EXAMPLES / "water_ions" / "make_data.py"
    runpy.run_path(str(script), run_name="__main__")
    runpy.run_path(str(script.with_name("compare.py")), run_name="__main__")
    printed = capsys.readouterr().out
    errors = {line.split(": ")[0]: float(line.split()[-2]) for line in printed.splitlines()}
    assert errors["local"] > 80
    assert errors["fitted, charges of molecules known"] < 0.4 * errors["elements"]


def test_boxes_of_water_ions():
    """Boxes have the molecules that are told, and energies do not depend on where they stand."""
    found = runpy.run_path(str(EXAMPLES / "water_ions" / "make_data.py"))
    atoms, labels = found["box"](np.random.default_rng(0))
    assert np.bincount(labels).tolist() == [count + 1 for count in found["HYDROGENS"]]
    ion = labels == 0
    moved = atoms[ion]
    moved.translate([1.0, 2.0, -3.0])
    alone = found["energy"](atoms[ion], labels[ion])
    assert found["energy"](moved, labels[ion]) == pytest.approx(alone, rel=1e-9)
