"""What the README and the examples show must run."""

import json
import re
import runpy
import shlex
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

import multilode as ml
from multilode.cli.main import run
from multilode.config.config import config_from_dict, load_config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def blocks(text, language):
    found = re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)
    return [block for own, block in found if own == language]


def ions(n: int, seed: int) -> list[Atoms]:
    """Two pairs of ions at a distance, with energies and forces of unit charges."""
    rng, images = np.random.default_rng(seed), []
    signs = np.array([1.0, -1.0, -1.0, 1.0])
    for far in rng.uniform(3.0, 6.0, n):
        places = np.array([[0, 0, 0], [2.5, 0, 0], [0, 0, far], [2.5, 0, far]])
        atoms = Atoms("NaClClNa", places + rng.normal(scale=0.1, size=(4, 3)))
        vectors = atoms.get_all_distances(vector=True)  # from the first to the second
        r = atoms.get_all_distances() + 1e9 * np.eye(4)
        charges = np.outer(signs, signs)
        forces = -((charges / r**3)[..., None] * vectors).sum(axis=1)
        energy = (charges / r).sum() / 2
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        images.append(atoms)
    return images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files that the README names."""
    for name, n in (("train", 16), ("test", 6), ("new", 2)):
        write(tmp_path / f"{name}.xyz", ions(n, seed=n))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_of_the_readme_runs(folder):
    names = {}
    for block in blocks(README, "python"):
        exec(block, names)
    exact = ml.read(folder / "new.xyz").atom_column("forces")
    torch.testing.assert_close(names["forces"], torch.from_numpy(exact), rtol=0, atol=0.02)
    assert (names["bars"] > 0).all()
    assert names["curve"].rmse.shape == (2, 4)
    (atoms,) = ions(1, seed=9)
    atoms.calc = names["calculator"]
    assert atoms.get_forces().shape == (4, 3)


def commands(text: str) -> list[list[str]]:
    """The lines of all blocks that call the command, without their comments."""
    lines = [line for block in blocks(text, "") for line in block.splitlines()]
    return [shlex.split(x, comments=True)[1:] for x in lines if x.startswith("multilode ")]


def test_commands_of_data_and_papers_run():
    """Those that train run in `tests/smoke`; those that take hours only show their help."""
    found = [x for x in commands(README) if x[0] in ("datasets", "reproduce")]
    assert len(found) >= 6
    for command in found:
        long = command[0] == "reproduce" or command[1] == "make"
        assert run([*command[:2], "--help"] if long else command) == 0, command


@pytest.mark.parametrize("block", [*blocks(README, "yaml")])
def test_yaml_of_the_readme_is_accepted(block):
    config_from_dict(yaml.safe_load(block))


@pytest.mark.parametrize("block", blocks(CONFIGURATION, "yaml"), ids=lambda x: x.split("\n")[0])
def test_every_block_of_the_page_of_configurations_is_accepted(block):
    """Parts of a configuration stand in a minimal one."""
    minimal = {"data": {"train": "train.xyz"}, "target": {"key": "energy"}}
    part = yaml.safe_load(block)
    if "test" in part.get("data", {}):  # the page lists all settings, also those that exclude it
        del part["data"]["test_fraction"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # words of old are read with a warning
        config_from_dict({**minimal, **part})


def test_documented_defaults_are_the_defaults():
    documented = yaml.safe_load(blocks(CONFIGURATION, "yaml")[0])
    documented["data"]["train"] = ["train.xyz"]
    del documented["data"]["test"]
    minimal = {"data": {"train": "train.xyz"}, "target": {"key": "energy"}}
    assert config_from_dict(documented) == config_from_dict(minimal)


def test_example_configuration_is_accepted():
    load_config(ROOT / "examples" / "h2o_co2" / "water_co2.yaml")


def test_demo_extrapolates(tmp_path, monkeypatch):
    script = str(ROOT / "examples" / "h2o_co2" / "demo.py")
    monkeypatch.setattr(sys, "argv", [script, "-o", str(tmp_path)])
    runpy.run_path(script, run_name="__main__")
    rows = json.loads((tmp_path / "metrics.json").read_text())["rows"]
    far = {r["model"]: r["rmse_percent"] for r in rows if r["split"] == "extrapolation"}
    assert far["rho x rho (local)"] > 95  # blind beyond its cutoff
    assert far["rho x V1, l <= 2"] < 45
    assert far["rho x (V1, V6), l <= 2"] < 4
