"""Tasks on the workers of a cluster: the same numbers, warnings and errors as here."""

import os
import signal
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from distributed import Client, LocalCluster

from crystals import random_structures
from multilode.errors import DataWarning, UserError
from multilode.models import Network, Ridge
from multilode.models.targets import Forces
from multilode.numerics.limits import current_limits, limits
from multilode.prediction import train
from multilode.prediction.streamed import choice
from multilode.prediction.streamed import fit as streamed_fit
from multilode.representation.feature_recipe import FeatureRecipe
from multilode.scheduling import distributed, mapped, scheduler
from toy_tensors import FIELDS

RECIPE = FeatureRecipe(fields=FIELDS, products=(("rho", "rho"), ("rho", "V")))
DATA = random_structures((1, 8), 16)


@pytest.fixture(scope="module")
def address():
    """A cluster within this process, which starts in no time."""
    quiet = {"dashboard_address": ":0", "silence_logs": 50}
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, **quiet) as cluster:
        yield cluster.scheduler_address


def squared(item, factor):
    return factor * item**2


def bounded(_item):
    return current_limits().memory


def failing(item):
    if item == 3:
        raise UserError("three is too many")
    return item


def test_results_are_in_order_wherever_they_are_computed(address):
    items, factor = list(range(20)), torch.tensor([2.0])
    here = list(mapped(squared, items, factor))
    with scheduler(address):
        assert distributed()
        assert list(mapped(squared, items, factor)) == here
        with limits(memory=1e9):
            assert set(mapped(bounded, items)) == {1e9}
        with pytest.raises(UserError, match="three is too many"):
            list(mapped(failing, items))
    assert not distributed()


def repulsion():
    """Energies and forces of pairs that repel each other."""
    positions = DATA.positions.clone().requires_grad_()
    index = DATA.structure_index
    same = (index[:, None] == index) & ~torch.eye(len(index), dtype=torch.bool)
    pairs = torch.exp(-(positions[:, None] - positions)[same].norm(dim=1)) / 2
    energies = torch.zeros(DATA.n_structures).double()
    energies = energies.index_add(0, index[same.nonzero()[:, 0]], pairs)
    (slopes,) = torch.autograd.grad(energies.sum(), positions)
    return energies.detach(), Forces(values=-slopes)


def learned(**more):
    energies, forces = repulsion()
    return train(RECIPE, DATA, "energy", y=energies, forces=forces, **more)


def predicted(model):
    return model.predict(DATA, forces=True, batch_atoms=12)


def test_fits_and_predictions_are_the_same(address, monkeypatch):
    monkeypatch.setattr(choice, "DENSE_ROWS", 0)
    monkeypatch.setattr(streamed_fit, "_CHUNK", 1)
    estimator = Ridge(regularization=1e-6, term_weights=(1.0, 0.5))
    known = predicted(learned(estimator=estimator))
    with scheduler(address):
        found = predicted(learned(estimator=estimator))
    torch.testing.assert_close(found.values, known.values, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.forces, known.forces, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("where", ["local:0", "local:x", "local"])
def test_what_is_no_scheduler(where):
    with pytest.raises(UserError, match=r"is none; give 'local:4'"), scheduler(where):
        pass


def test_a_scheduler_that_does_not_answer(monkeypatch):
    monkeypatch.setattr("multilode.scheduling._SECONDS", 0.3)
    with pytest.raises(UserError, match="does not answer"), scheduler("tcp://127.0.0.1:9"):
        pass


def test_without_dask_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("multilode.scheduling.find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"install multilode\[dask\]"), scheduler("local:2"):
        pass


def doubtful(item):
    warnings.warn(f"{item} is doubtful", DataWarning, stacklevel=2)
    return os.getpid()


@pytest.mark.slow
def test_other_processes_warn_here():
    with scheduler("local:2"), pytest.warns(DataWarning, match="is doubtful"):
        assert os.getpid() not in set(mapped(doubtful, [1, 2, 3]))


@pytest.mark.slow
def test_networks_are_the_same_in_other_processes():
    settings = Network(channels=4, hidden=8, steps=6, n_members=2, dtype="float64")
    known = predicted(learned(estimator=settings))
    with scheduler("local:2"):
        found = predicted(learned(estimator=settings))
    torch.testing.assert_close(found.values, known.values, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_a_lost_worker_loses_nothing(monkeypatch):
    """One of two is killed while normal equations are added up."""
    monkeypatch.setattr(choice, "DENSE_ROWS", 0)
    monkeypatch.setattr(streamed_fit, "_CHUNK", 1)
    estimator = Ridge(regularization=1e-6, term_weights=(1.0, 0.5))
    known = learned(estimator=estimator)
    killed = []

    def kill(stage_name):
        def report(done, total):
            if "adding up" in stage_name and not killed and done >= 3:
                with Client(address, set_as_default=False) as client:
                    killed.append(client.run(os.getpid).popitem()[1])
                os.kill(killed[0], signal.SIGKILL)

        return report

    quiet = {"dashboard_address": ":0", "silence_logs": 50}
    with LocalCluster(n_workers=2, threads_per_worker=1, **quiet) as cluster:
        address = cluster.scheduler_address
        with scheduler(address):
            found = learned(estimator=estimator, stage=kill)
    assert killed
    own = [replace(model) for model in (known, found)]
    values = [predicted(model).values.numpy() for model in own]
    np.testing.assert_allclose(values[1], values[0], rtol=1e-10)
