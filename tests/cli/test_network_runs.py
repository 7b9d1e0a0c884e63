"""Networks from the command line: a configuration of four lines, a stopped training, a file."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
import torch
from ase.calculators.lj import LennardJones

import multilode as ml
from multilode.cli.main import run

TEXT = """
data: {train: train.xyz, test_fraction: 0.25}
target: {key: energy, forces: {key: forces}}
cutoff: 3.0
estimator: {kind: network, channels: 4, hidden: 8, charges: 2, dipoles: 1, steps: STEPS}
fields:
  rho: {smearing: 0.5, basis: {n_radial: 2, max_angular: 2}}
  V: {basis: {n_radial: 2, max_angular: 1}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small clusters with energies and forces of a pair potential."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(12):
        grid = np.array(np.unravel_index(np.arange(4), (2, 2, 2))).T * 1.6
        atoms = ase.Atoms("OHOH", positions=grid + rng.normal(scale=0.1, size=(4, 3)))
        atoms.calc = LennardJones(sigma=1.4, epsilon=0.1, rc=8.0)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        atoms.info["energy"], atoms.arrays["forces"] = energy, forces
        frames.append(atoms)
    ase.io.write(tmp_path / "train.xyz", frames, columns=["symbols", "positions", "forces"])
    (tmp_path / "train.yaml").write_text(TEXT.replace("STEPS", "3"))
    return tmp_path


def test_a_network_from_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "out"
    assert run(["train", str(folder / "train.yaml"), "-o", str(out)]) == 0
    assert "forces" in capsys.readouterr().out
    assert not (out / "checkpoint.safetensors").exists()
    log = (out / "train.log").read_text()
    assert "training the network: 3 of 3" in log
    assert "epoch 3 of 3: error" in log
    assert "of forces" in log
    model = ml.load(out / "model.safetensors")
    atoms = ase.io.read(folder / "train.xyz", 0)
    found = model.predict(atoms, forces=True)
    step, moved = 1e-4, []
    for sign in (1, -1):
        copy = atoms.copy()
        copy.positions[1, 2] += sign * step
        moved.append(float(model.predict(copy).values[0]))
    slope = (moved[0] - moved[1]) / (2 * step)
    assert float(found.forces[1, 2]) == pytest.approx(-slope, rel=1e-5, abs=1e-7)
    # what the run wrote of its settings runs again, to the same numbers
    again = folder / "again"
    assert run(["train", str(out / "config.yaml"), "-o", str(again)]) == 0
    same = ml.load(again / "model.safetensors").predict(atoms, forces=True)
    torch.testing.assert_close(same.forces, found.forces, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("features: [[rho, V]]\n", "multiplies fields itself"),
        ("preset: best\n", "'fast', 'balanced', 'accurate'"),
        ("centers: [O]\n", "leave centers out"),
    ],
)
def test_what_a_network_cannot_do_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], more: str, message: str
) -> None:
    (folder / "train.yaml").write_text(TEXT.replace("STEPS", "3") + more)
    assert run(["train", str(folder / "train.yaml"), "-o", str(folder / "out")]) != 0
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_killed_trainings_end_with_the_numbers_of_undisturbed_ones(folder: Path) -> None:
    """Killed at twenty moments drawn at random, and started again each time."""
    (folder / "train.yaml").write_text(TEXT.replace("STEPS", "400"))
    command = [
        sys.executable,
        "-m",
        "multilode.cli.main",
        "train",
        str(folder / "train.yaml"),
        "-o",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    subprocess.run([*command, str(folder / "whole")], check=True, env=environment)
    length = time.monotonic() - started
    moments = np.random.default_rng(1).uniform(0.3, 1.0, size=20) * length
    killed = 0
    for moment in moments:
        process = subprocess.Popen([*command, str(folder / "parts")], env=environment)
        try:
            process.wait(timeout=moment)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed > 0
    subprocess.run([*command, str(folder / "parts")], check=True, env=environment)
    models = [ml.load(folder / name / "model.safetensors").model for name in ("whole", "parts")]
    for name, weight in models[0].weights.items():
        torch.testing.assert_close(models[1].weights[name], weight, rtol=0, atol=0)
