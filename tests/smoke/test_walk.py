"""One walk through every room in under a minute: `make smoke`. Depth is in the other tests."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read, write

import multilode as ml
from multilode.cli.main import run
from multilode.expansion import expand
from multilode.testing import check_field

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def waters(n: int, seed: int) -> list[Atoms]:
    """Pairs of water molecules, with the energy and the forces of point charges."""
    rng = np.random.default_rng(seed)
    charges = np.array([-0.8, 0.4, 0.4] * 2)
    images = []
    for _ in range(n):
        first, second = molecule("H2O"), molecule("H2O")
        second.rotate(rng.uniform(0, 360), rng.normal(size=3))
        second.translate(rng.uniform(3, 7) * np.array([0.0, 0.6, 0.8]))
        atoms = first + second
        apart = atoms.positions[:3, None] - atoms.positions[None, 3:]
        energies = charges[:3, None] * charges[None, 3:] / np.linalg.norm(apart, axis=2)
        pulls = energies[:, :, None] * apart / np.linalg.norm(apart, axis=2)[:, :, None] ** 2
        atoms.info["energy"] = 14.4 * energies.sum()
        atoms.info["alpha"] = (np.eye(3) + 0.1 * energies.sum() * np.ones((3, 3))).flatten()
        forces = 14.4 * np.concatenate([pulls.sum(axis=1), -pulls.sum(axis=0)])
        atoms.set_array("forces", forces)
        images.append(atoms)
    return images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the files that the README names."""
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate(("train", "test", "new")):
        write(f"{name}.xyz", waters(24 if name == "train" else 6, k), format="extxyz")
    Path("config.yaml").write_text(blocks("yaml")[0])
    return tmp_path


# metatensor is written for TorchScript, whose end PyTorch announces
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_commands_of_the_readme_run(folder, capsys):
    """`train`, `predict`, `evaluate`, `features`, `learning-curve`, `inspect`, in their order."""
    listed = [line.partition("#")[0] for line in re.findall(r"^multilode (.*)$", README, re.M)]
    chosen = [
        shlex.split(line) for line in listed if not re.match(r"datasets|reproduce", line.strip())
    ]
    assert len(chosen) >= 6
    for arguments in chosen:
        assert run(arguments) == 0, capsys.readouterr().err
    assert "RMSE" in capsys.readouterr().out
    assert (folder / "run" / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert len(read("predicted.xyz", ":")) == 6


def test_mistakes_are_one_line(folder, capsys):
    Path("config.yaml").write_text("data: {train: train.xyz}\ntarget: {kee: energy}\ncutoff: 3\n")
    assert run(["train", "config.yaml", "-o", "run"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


SMALL = "{basis: {n_radial: 2, max_angular: 2}}"


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("{key: energy, forces: {key: forces, directions: 2}}", "{kind: ridge}"),
        ("{key: energy, forces: {key: forces, directions: 2}}", "{kind: sparse, n_active: 20}"),
        ("{key: energy}", "{kind: kernel}"),
        ("{key: energy}", "{kind: ridge, committee: {n_members: 4}}"),
        ("{key: alpha, tensor: symmetric}", "{kind: ridge}"),
    ],
)
def test_models_learn_and_are_read_back(folder, target, model):
    Path("config.yaml").write_text(
        f"data: {{train: train.xyz, test: test.xyz}}\ntarget: {target}\nmodel: {model}\n"
        f"cutoff: 3\nfields: {{rho: {SMALL}, V: {SMALL}}}\n"
    )
    assert run(["train", "config.yaml", "-o", "run"]) == 0
    predictor, data = ml.load("run/model.safetensors"), ml.read("test.xyz")
    again = predictor.predict(data.structures)
    written = ml.read("run/test_predictions.xyz")
    key = next(key for key in written.columns if key.startswith("predicted_"))
    expected = torch.from_numpy(written.column(key))
    torch.testing.assert_close(again.values.reshape(expected.shape), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("field", [ml.GaussianDensity(0.8), ml.SmearedPotential(0.8, 1.0)])
def test_fields_are_pairs_of_transforms(field):
    check_field(field)


@pytest.mark.parametrize(
    "pbc", [(False,) * 3, (True, False, False), (True, True, False), (True,) * 3]
)
def test_every_method_of_every_periodicity_agrees(pbc):
    salt = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    salt.rattle(0.1, seed=1)
    salt.pbc = pbc
    structures = ml.from_ase(salt).structures
    expansion = ml.FieldExpansion(ml.SmearedPotential(0.9, 1.0), ml.Monomials(2, 2.0), 2)
    methods = [ml.ReciprocalSum(), ml.Mesh(), ml.EwaldSplit(), "auto"]
    methods += [] if any(pbc) else [ml.PairSum()]
    found = [expand(expansion, structures, species=(11, 17), method=m).blocks for m in methods]
    for irrep, block in found[0].items():
        for other in found[1:]:
            torch.testing.assert_close(other[irrep], block, rtol=0, atol=1e-5)


def test_the_calculator_of_a_trained_model(folder):
    Path("config.yaml").write_text(blocks("yaml")[0])
    assert run(["train", "config.yaml", "-o", "run"]) == 0
    atoms = waters(1, 7)[0]
    atoms.calc = ml.PredictorCalculator(ml.load("run/model.safetensors"))
    forces, step = atoms.get_forces(), 1e-4
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 2] += sign * step
        moved.calc = atoms.calc
        energies.append(moved.get_potential_energy())
    assert forces[0, 2] == pytest.approx(
        (energies[1] - energies[0]) / (2 * step), rel=1e-4, abs=1e-6
    )
