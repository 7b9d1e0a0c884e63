"""Tasks on the workers of a cluster: the same numbers, warnings and errors as here."""

import os
import re
import signal
import socket
import time
import warnings
from dataclasses import replace

import pytest
import torch
from distributed import Client, LocalCluster

from crystals import random_structures
from multilode.errors import DataWarning, UserError
from multilode.models import Committee, KernelRidge, Network, Ridge, SparseKernelRidge
from multilode.models.targets import Forces
from multilode.numerics.limits import current_limits, limits
from multilode.prediction import learning_curve, train
from multilode.prediction.streamed import choice, plan
from multilode.prediction.streamed import fit as streamed_fit
from multilode.representation.feature_recipe import FeatureRecipe
from multilode.scheduling import distributed, mapped, n_workers, scheduler, workers_here
from toy_tensors import FIELDS

GIVEN = Ridge(regularization=1e-6, term_weights=(1.0, 0.5))
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


def same(here, there):
    """To the last bit: the same tasks, and sums in the same order."""
    torch.testing.assert_close(there.values, here.values, rtol=1e-12, atol=1e-12)
    if here.forces is not None:
        torch.testing.assert_close(there.forces, here.forces, rtol=1e-12, atol=1e-12)
    if here.std is not None:
        torch.testing.assert_close(there.std, here.std, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("combinations", [None, 30])
def test_fits_and_predictions_are_the_same(address, monkeypatch, combinations):
    monkeypatch.setattr(choice, "DENSE_ROWS", 0)
    monkeypatch.setattr(streamed_fit, "_CHUNK_ATOMS", 1)
    if combinations is not None:
        monkeypatch.setattr(plan, "EXACT_COLUMNS", 10)
        monkeypatch.setattr(plan, "_COMBINATIONS", (combinations,))
    here = predicted(learned(estimator=GIVEN))
    told = []
    with scheduler(address):
        there = predicted(learned(estimator=GIVEN, tell=told.append))
    assert "on 2 workers, which take" in told[0]
    same(here, there)


SPARSE = SparseKernelRidge(n_active=8, regularization=1e-6, term_weights=(1.0, 0.5))


@pytest.mark.parametrize(
    "estimator",
    [
        Committee(estimator=GIVEN, n_members=4, fraction=0.5),
        Committee(
            estimator=KernelRidge(regularization=1e-6, term_weights=(1.0, 0.5)),
            n_members=4,
            fraction=0.5,
        ),
        pytest.param(SPARSE, marks=pytest.mark.slow),
    ],
    ids=["members", "kernels", "sparse"],
)
def test_stored_rows_and_members_are_the_same(address, estimator):
    energies, forces = repulsion()
    linear = not isinstance(estimator, Committee) or isinstance(estimator.estimator, Ridge)
    given = {"y": energies, "estimator": estimator, "batch_atoms": 12}
    given |= {"forces": replace(forces, directions=2)} if linear else {}

    def learn():
        model = train(RECIPE, DATA, "energy", **given)
        return model, model.predict(DATA, forces=True, std=estimator is not SPARSE, batch_atoms=12)

    _, here = learn()
    with scheduler(address):
        model, there = learn()
    same(here, there)
    assert "Elsewhere" not in str(model), "maps stay with the designs that they made"


def test_learning_curves_are_the_same(address):
    options = {"y": repulsion()[0], "test_y": repulsion()[0], "sizes": [6, 12], "repeats": 2}
    done = []
    here = learning_curve(RECIPE, DATA, DATA, "energy", estimator=GIVEN, **options)
    with scheduler(address):
        there = learning_curve(
            RECIPE, DATA, DATA, "energy", estimator=GIVEN, **options,
            progress=lambda *numbers: done.append(numbers),
        )  # fmt: skip
    assert done == [(k, 4) for k in (1, 2, 3, 4)]
    torch.testing.assert_close(there.rmse, here.rmse, rtol=1e-12, atol=0.0)


def test_workers_of_this_machine_share_its_memory(monkeypatch):
    monkeypatch.setattr(choice, "DENSE_ROWS", 0)
    told = []
    learned(estimator=GIVEN, tell=told.append)
    needed = float(re.search(r"([\d.]+) GB of", told[0])[1])
    monkeypatch.setattr(plan, "workers_here", lambda: 3)
    with limits(memory=1e9 * needed + 2.2e9), pytest.raises(
        ValueError, match=r"each of 3 workers .* needs 0\.9 GB .*; take 'local:2', or set memory to"
    ):  # fmt: skip
        learned(estimator=GIVEN)


def slow(item):
    time.sleep(0.2 if item == 0 else 0.0)
    return item


def test_few_results_wait_to_be_taken(address):
    with Client(address, set_as_default=False) as client, scheduler(address):
        assert (n_workers(), workers_here()) == (2, 0)  # nothing was started here
        found = mapped(slow, range(50))
        assert next(found) == 0
        time.sleep(0.2)
        assert len([key for key in client.who_has() if "Task" in str(key)]) <= 4
        assert list(found) == list(range(1, 50))
    assert (n_workers(), workers_here()) == (1, 0)


@pytest.mark.parametrize("where", ["local:0", "local:x", "local", "local:100000", "here"])
def test_what_is_no_scheduler(where):
    with pytest.raises(UserError, match=r"is none; give 'local:4'"), scheduler(where):
        pass


def test_a_scheduler_that_does_not_answer(monkeypatch):
    monkeypatch.setattr("multilode.scheduling._SECONDS", 0.3)
    with socket.socket() as silent:  # which takes the call and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        own = f"localhost:{silent.getsockname()[1]}"
        for where in ("tcp://127.0.0.1:9", own, "tcp://nowhere", "no:port"):
            with pytest.raises(UserError, match="does not answer"), scheduler(where):
                pass


def test_a_scheduler_without_workers(monkeypatch):
    monkeypatch.setattr("multilode.scheduling._SECONDS", 0.3)
    quiet = {"dashboard_address": None, "silence_logs": 50}
    with LocalCluster(n_workers=0, processes=False, **quiet) as cluster:
        where = cluster.scheduler_address
        with pytest.raises(UserError, match="has no workers"), scheduler(where):
            pass


def test_workers_of_another_version(address, monkeypatch):
    known = iter(["0.0"])  # first here, then there
    monkeypatch.setattr("multilode.scheduling.version", lambda name: next(known, "9.9"))
    with pytest.raises(UserError, match=r"have multilode .* and not 0\.0"), scheduler(address):
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
@pytest.mark.parametrize("number", [1, 2])
def test_lost_workers_lose_nothing(monkeypatch, number):
    """One of two, or both at once, are killed while normal equations are added up."""
    monkeypatch.setattr(choice, "DENSE_ROWS", 0)
    monkeypatch.setattr(streamed_fit, "_CHUNK_ATOMS", 1)
    here = predicted(learned(estimator=GIVEN))
    killed = []

    def kill(stage_name):
        def report(done, total):
            if "adding up" in stage_name and not killed and done >= 3:
                killed.extend(list(client.run(os.getpid).values())[:number])
                for process in killed:
                    os.kill(process, signal.SIGKILL)

        return report

    quiet = {"dashboard_address": None, "silence_logs": 50}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, **quiet) as cluster,
        Client(cluster, set_as_default=False) as client,
        scheduler(cluster.scheduler_address),
    ):
        there = predicted(learned(estimator=GIVEN, stage=kill))
    assert len(killed) == number
    same(here, there)


def dying(_item):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_task_that_kills_its_workers():
    with scheduler("local:2"), pytest.raises(UserError, match="memory did not suffice"):
        list(mapped(dying, [1, 2]))
