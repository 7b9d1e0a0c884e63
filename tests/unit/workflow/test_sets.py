"""The workflow of a configuration: what is learned from, and what the model is tried on."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write

from multilode.config.config import load_config
from multilode.data.dataset import DataError
from multilode.errors import UserError
from multilode.workflow.experiment import run_learning_curve, run_training
from multilode.workflow.sets import load_sets

SETTINGS = """
target: {key: gap, unit: eV}
cutoff: 2.5
fields:
  rho: {basis: {n_radial: 2, max_angular: 1}}
  V: {basis: {n_radial: 2, max_angular: 1}}
learning_curve: {sizes: [6, 12], repeats: 2}
"""


def images(n: int, seed: int, formula: str = "NaClC") -> list[Atoms]:
    """Salt molecules and a third atom; the property is a difference of inverse distances."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        atoms = Atoms(formula, [[0, 0, 0], [0, 0, 2.4], [0.3, rng.uniform(2.5, 6), 0.5]])
        atoms.rattle(0.05, rng=rng)
        atoms.info["gap"] = 1 / atoms.get_distance(0, 2) - 1 / atoms.get_distance(1, 2)
        atoms.info["part"] = "test" if i % 4 == 3 else "train"
        atoms.info["family"] = f"f{i // 4}"
        found.append(atoms)
    return found


@pytest.fixture
def config_of(tmp_path):
    """Makes a configuration with the part `data` that is given."""
    write(tmp_path / "train.xyz", images(16, 1), format="extxyz")
    write(tmp_path / "test.xyz", images(6, 2), format="extxyz")
    write(tmp_path / "other.xyz", images(3, 3, "NaClO"), format="extxyz")

    def make(data: str):
        (tmp_path / "config.yaml").write_text(f"data: {{train: train.xyz, {data}}}\n{SETTINGS}")
        return load_config(tmp_path / "config.yaml")

    return make


@pytest.mark.parametrize(
    ("data", "sizes"),
    [
        ("", (16, None)),
        ("test: test.xyz", (16, 6)),
        ("split: part", (12, 4)),
        ("test_fraction: 0.25", (12, 4)),
        ("test_fraction: 0.25, group: family", (12, 4)),
    ],
)
def test_structures_of_both_sets(config_of, data, sizes):
    sets = load_sets(config_of(data))
    assert len(sets.train) == sizes[0]
    assert (sets.test is None) == (sizes[1] is None)
    if sets.test is not None:
        assert len(sets.test) == sizes[1]
        shared = set(sets.train.source) & set(sets.test.source)
        assert not shared
    if "group" in data:
        assert not set(sets.train.labels("family")) & set(sets.test.labels("family"))


def test_elements_that_the_training_set_lacks_are_named(config_of):
    with pytest.raises(DataError, match=r"other.xyz, frame 0: contains O"):
        load_sets(config_of("test: other.xyz"))


def test_a_run_evaluates_each_set_with_the_model_that_it_trained(config_of):
    config = config_of("test: test.xyz")
    sets = load_sets(config)
    run = run_training(config, sets)
    assert list(run.splits) == ["train", "test"]
    for name, part in (("train", sets.train), ("test", sets.test)):
        split = run.splits[name]
        again = run.predictor.predict(part.structures).values
        torch.testing.assert_close(split.predicted.values, again, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(split.reference[:, 0], part.column("gap"))
    assert run.cross_validation is not None


def test_progress_is_reported_stage_by_stage(config_of):
    config, seen = config_of("test: test.xyz"), []

    def stage(name):
        seen.append(name)
        return lambda done, total: None

    run_training(config, load_sets(config, stage=stage), stage=stage)
    assert seen[:3] == ["reading structures", "reading test structures", "computing features"]
    assert "predicting the test set" in seen


def test_learning_curves_need_a_test_set_and_use_the_sizes_asked_for(config_of):
    config = config_of("test: test.xyz")
    curve = run_learning_curve(config, load_sets(config))
    assert list(curve.sizes) == [6, 12]
    config = config_of("")
    with pytest.raises(UserError, match="a learning curve needs a test set"):
        run_learning_curve(config, load_sets(config))
