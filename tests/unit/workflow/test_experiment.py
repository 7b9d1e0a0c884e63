"""The workflow does with built objects what their own functions do."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write

from multilode.config.config import config_from_dict
from multilode.config.errors import ConfigError
from multilode.config.settings import ForceSettings
from multilode.errors import UserError
from multilode.models.slopes import all_directions, random_directions
from multilode.prediction import train
from multilode.workflow.evaluated import rows_of_forces
from multilode.workflow.experiment import (
    representation_of,
    run_learning_curve,
    run_training,
)
from multilode.workflow.sets import load_sets

SMALL = {"basis": {"n_radial": 2, "max_angular": 1}}


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(3)
    images = []
    for i in range(16):
        atoms = Atoms("OH2", [[0, 0, 0], [0.9, 0.2, 0], [-0.3, 0.9, 0.1]])
        atoms.rattle(0.1, rng=rng)
        atoms.info |= {"size": atoms.get_distance(1, 2), "part": "test" if i % 4 == 0 else "train"}
        images.append(atoms)
    write(tmp_path / "all.xyz", images, format="extxyz")
    return tmp_path


def config_of(folder, *, data=None, **more):
    raw = {
        "data": {"train": "all.xyz", **(data or {})},
        "target": {"key": "size"},
        "cutoff": 2.0,
        "fields": {"rho": SMALL, "V": SMALL},
        "estimator": {"regularization": 1e-6, "term_weights": [1.0, 1.0]},
        **more,
    }
    return config_from_dict(raw, folder=folder)


@pytest.mark.parametrize(
    ("data", "sizes"),
    [({}, (16, None)), ({"test_fraction": 0.25}, (12, 4)), ({"split": "part"}, (12, 4))],
)
def test_sets(folder, data, sizes):
    sets = load_sets(config_of(folder, data=data))
    assert (len(sets.train), None if sets.test is None else len(sets.test)) == sizes


def test_a_training_is_that_of_its_parts(folder):
    config = config_of(folder, data={"split": "part"})
    sets, stages = load_sets(config), []

    def stage(name):
        stages.append(name)
        return lambda done, total: None

    run = run_training(config, sets, stage=stage)
    direct = train(
        config.representation([1, 8]),
        sets.train.structures,
        y=torch.from_numpy(sets.train.column("size")),
        target=config.target,
        estimator=config.estimator,
        baseline=config.baseline,
    )
    found = run.splits["test"].predicted.values
    expected = direct.predict(sets.test.structures).values
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert run.splits["test"].errors.rows[0].n == 4
    assert run.splits["test"].errors.model == "rho x rho + rho x V (ridge)"
    assert stages[0] == "computing features"
    assert stages[-1] == "predicting the test set"


def test_contractions_are_fitted_to_the_training_set(folder):
    config = config_of(
        folder,
        features=[["rho", "V"], ["rho", "rho", "V"]],
        contraction={"max_features": 3, "atoms": 6},
    )
    found = representation_of(config, load_sets(config).train)
    plain, contraction = found.contractions
    assert plain is None
    kept = [k.n_after for step in contraction.report for k in step.values()]
    assert max(kept) <= 3


def test_channels_are_fitted_to_the_training_set(folder):
    config = config_of(folder, channels=3)
    run = run_training(config, load_sets(config))
    found = run.predictor.representation
    assert {name: part.number for name, part in found.channels.items()} == {"rho": 3, "V": 3}
    assert all(len(part.shares) == 2 for part in found.channels.values())
    too_many = config_of(folder, channels=5)
    train_set = load_sets(too_many).train
    with pytest.raises(UserError, match=r"cannot prepare fields: 5 .* set channels to at most 4"):
        representation_of(too_many, train_set)


def test_a_learning_curve_needs_a_test_set(folder):
    config = config_of(folder, learning_curve={"sizes": [8, 4], "repeats": 2})
    with pytest.raises(ConfigError, match=r"a learning curve needs a test set; set data\.test"):
        run_learning_curve(config, load_sets(config))
    config = config_of(
        folder, data={"split": "part"}, learning_curve={"sizes": [8, 4], "repeats": 2}
    )
    curve = run_learning_curve(config, load_sets(config))
    assert list(curve.sizes) == [4, 8]
    assert curve.rmse.shape == (2, 2)


@pytest.mark.parametrize("directions", [None, 4, 100])
def test_forces_along_some_directions_estimate_those_along_all(directions):
    """Rows are larger than components: the sum of their squared scales is the number of these."""
    counts = torch.tensor([1, 2, 5])
    factor = rows_of_forces(ForceSettings(directions=directions), counts)
    own = all_directions(counts)
    if directions is not None:
        own = random_directions(counts, directions, torch.Generator())
    components = own.scale.square() * own.present.sum(dim=1)
    torch.testing.assert_close(components, 3.0 * counts.double())
    rows = float(own.present.sum())
    assert factor == pytest.approx((rows / float(components.sum())) ** 0.5)
