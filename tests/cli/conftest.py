"""A small data set with a long-ranged energy, and a model trained on it by the command line."""

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from multilode.cli.main import run

CONFIG = """\
data: {train: train.xyz, test: test.xyz, group: label}
target: {key: gap, unit: eV}
cutoff: 2.5
fields:
  rho: {basis: {n_radial: 2, max_angular: 1}}
  V: {basis: {n_radial: 2, max_angular: 1}}
estimator: {regularization: 1e-8, term_weights: [1.0, 1.0]}
learning_curve: {sizes: [8, 16], repeats: 2}
"""


def pairs(n: int, seed: int) -> list[Atoms]:
    """Salt molecules and a carbon at some distance; the property is a sum of inverse distances."""
    rng = np.random.default_rng(seed)
    images = []
    for i in range(n):
        atoms = Atoms("NaClC", [[0, 0, 0], [0, 0, 2.4], [0.3, rng.uniform(2.5, 6), 0.5]])
        atoms.rattle(0.05, rng=rng)
        atoms.info["gap"] = 1 / atoms.get_distance(0, 2) - 1 / atoms.get_distance(1, 2)
        atoms.info["label"] = "odd" if i % 2 else "even"
        images.append(atoms)
    return images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a configuration and its data."""
    write(tmp_path / "train.xyz", pairs(24, 1), format="extxyz")
    write(tmp_path / "test.xyz", pairs(10, 2), format="extxyz")
    (tmp_path / "config.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def model_bytes(tmp_path_factory):
    """A model file, trained once."""
    path = tmp_path_factory.mktemp("model")
    write(path / "train.xyz", pairs(24, 1), format="extxyz")
    write(path / "test.xyz", pairs(10, 2), format="extxyz")
    (path / "config.yaml").write_text(CONFIG)
    assert run(["train", str(path / "config.yaml"), "-o", str(path / "out")]) == 0
    return (path / "out" / "model.safetensors").read_bytes()


@pytest.fixture
def model(folder, model_bytes):
    """The trained model in the working folder."""
    (folder / "model.safetensors").write_bytes(model_bytes)
    return "model.safetensors"
