"""Where independent tasks run: in this process, or on the workers of a Dask cluster.

The tasks are the same functions of the same arguments either way, and their results are taken in
the same order, so that numbers do not depend on where they were computed.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from typing import Any, TypeVar, final

import torch

from multilode.errors import UserError
from multilode.numerics.heap import keep_freed_memory_in_worker
from multilode.numerics.limits import Limits, current_limits, limits

R = TypeVar("R")
_SECONDS = 10.0  # until a scheduler has to answer
_IN_FLIGHT = 2  # tasks for each worker: one that runs, one that waits
_MOST = 4  # processes for each core; more are a slip of the pen
_DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"  # Ctrl-C is the caller's
_GUARD = 'a script that starts workers needs if __name__ == "__main__": around what it does'


@final
@dataclass(frozen=True)
class _Workers:
    """Workers that were found or started.

    Args:
        client: of Dask.
        where: as the user gave it.
        here: number of processes that were started on this machine.
    """

    client: Any
    where: str
    here: int

    def threads(self) -> dict[str, int]:
        """Tasks that run at once on each worker now: they come and go."""
        return self.client.nthreads()


_CURRENT: ContextVar[_Workers | None] = ContextVar("scheduler", default=None)


@contextmanager
def scheduler(where: str | None) -> Iterator[None]:
    """Run the tasks of a block on the workers of a Dask cluster.

        with ml.scheduler("local:4"):
            model = ml.train(...)

    Scripts that start local workers need `if __name__ == "__main__":` around what they do.

    Args:
        where: "local:N" for N processes on this machine, which end with the block, or the address
            of a scheduler that runs already, such as "tcp://10.0.0.1:8786"; None for this process.

    Raises:
        UserError: if this is neither, Dask is not installed, nothing answers, or the workers do not
            have this version of the package.
    """
    if where is None:
        yield
        return
    here = _processes(where)
    if find_spec("distributed") is None:
        raise UserError(
            f"the scheduler '{where}' needs Dask, which is not installed; install multilode[dask]"
        )
    with _client_of(where) if here is None else _started(where, here) as client:
        token = _CURRENT.set(_Workers(client, where, here or 0))
        try:
            yield
        finally:
            _CURRENT.reset(token)


def distributed() -> bool:
    """Whether tasks run in other processes here."""
    return _CURRENT.get() is not None


def n_workers() -> int:
    """How many tasks run at once."""
    workers = _CURRENT.get()
    return 1 if workers is None else max(1, sum(workers.threads().values()))


def workers_here() -> int:
    """Processes beside this one that take from the memory of this machine."""
    workers = _CURRENT.get()
    return 0 if workers is None else workers.here


def mapped(function: Callable[..., R], items: Sequence[Any], *shared: Any) -> Iterator[R]:
    """Results of `function(item, *shared)` in the order of the items.

    On a cluster a few items for each worker are under way at once, so that memory does not grow
    with their number; a task whose worker is lost runs again on another.

    Args:
        function: of a module, without side effects.
        items: small arguments, one for each task.
        shared: large ones, which each worker gets once.

    Raises:
        UserError: if the scheduler is lost, or workers are lost over and over by the same task.
    """
    workers = _CURRENT.get()
    if workers is None or len(items) < 2:
        for item in items:
            yield function(item, *shared)
        return
    yield from _distributed(workers, function, items, shared)


def _distributed(
    workers: _Workers, function: Callable[..., R], items: Sequence[Any], shared: Sequence[Any]
) -> Iterator[R]:
    # What is shared is the result of a task, not data that were scattered: those are gone with
    # the last worker that has a copy, the result of a task is made again
    client, here, left, waiting = workers.client, current_limits(), iter(items), deque()
    known, having = _submitted(client, _Shared(tuple(shared))), frozenset()
    try:
        while True:
            threads = workers.threads()
            if having != frozenset(threads):  # else tasks would queue where the first copy is
                having = frozenset(threads)
                client.replicate(known)
            most = _IN_FLIGHT * max(1, sum(threads.values()))
            for item in islice(left, max(0, most - len(waiting))):
                waiting.append(_submitted(client, _Task(function, item, here), known))
            if not waiting:
                return
            yield _result(waiting.popleft(), workers.where)
    finally:
        client.cancel([*waiting, known])


def _submitted(client: Any, task: Callable[..., Any], *given: Any) -> Any:
    from dask.config import set as setting

    # Dask warns of tasks that hold more
    with setting({"distributed.admin.large-graph-warning-threshold": "1 PB"}):
        return client.submit(task, *given, pure=False)


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Shared:
    """What all tasks need, as a task."""

    values: tuple[Any, ...]

    def __call__(self) -> tuple[Any, ...]:
        return self.values


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Task:
    """One item, in a worker: under the limits of the caller, with what was warned of."""

    function: Callable[..., Any]
    item: Any
    here: Limits

    def __call__(self, shared: Sequence[Any]) -> tuple[Any, list[tuple[str, type[Warning]]]]:
        torch.set_num_threads(1)
        keep_freed_memory_in_worker()
        with warnings.catch_warnings(record=True) as caught, limits(**asdict(self.here)):
            warnings.simplefilter("always")
            result = self.function(self.item, *shared)
        return result, [(str(one.message), one.category) for one in caught]


def _result(future: Any, where: str) -> Any:
    from distributed import CancelledError, KilledWorker
    from distributed.comm.core import CommClosedError

    try:
        result, caught = future.result()
    except KilledWorker as error:
        raise UserError(
            f"{error.allowed_failures + 1} workers of the scheduler '{where}' were lost one after "
            "the other by the same task; most likely memory did not suffice: take fewer workers, "
            "or ones with more memory"
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise UserError(
            f"the scheduler '{where}' was lost; give the same command again, which goes on from "
            "its checkpoint if it has one"
        ) from error
    for message, category in caught:
        warnings.warn(message, category, stacklevel=2)
    return result


def _processes(where: str) -> int | None:
    """Number of workers that are to be started; None for an address.

    Raises:
        UserError: if it is neither.
    """
    kind, _, number = where.partition(":")
    if kind != "local" and number:
        return None
    most = _MOST * (os.cpu_count() or 1)
    if kind == "local" and number.isdecimal() and 1 <= int(number) <= most:
        return int(number)
    raise UserError(
        f"the scheduler '{where}' is none; give 'local:4' for four processes on this machine (up "
        f"to {most}), or the address of a scheduler of Dask such as 'tcp://10.0.0.1:8786'"
    )


@contextmanager
def _started(where: str, number: int) -> Iterator[Any]:
    """A client of processes on this machine."""
    # a worker that runs the script of its user once more
    if multiprocessing.parent_process() is not None and "__mp_main__" in sys.modules:
        raise UserError(f"the scheduler '{where}' is started by each of its workers: {_GUARD}")
    from distributed import Client, LocalCluster  # takes long to import

    options = {"threads_per_worker": 1, "processes": True, "memory_limit": 0}
    quiet = {"dashboard_address": None, "silence_logs": logging.ERROR, "preload": [_DEAF]}
    try:
        cluster = LocalCluster(n_workers=number, **options, **quiet)
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"the workers of the scheduler '{where}' did not start ({error}); {_GUARD}"
        ) from error
    with cluster, Client(cluster, set_as_default=False) as client:
        try:
            yield client
        except BaseException:  # nobody waits for what the workers are doing
            for worker in cluster.workers.values():
                if worker.pid is not None:
                    os.kill(worker.pid, signal.SIGKILL)
            raise


@contextmanager
def _client_of(where: str) -> Iterator[Any]:
    """A client of a scheduler that runs already."""
    from distributed import Client

    try:
        # in a thread, because this one may have a loop that runs, such as that of a notebook
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _greeted(where)).result()
        client = Client(where, timeout=_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, asyncio.TimeoutError) as error:
        raise UserError(
            f"the scheduler '{where}' does not answer within {_SECONDS:.0f} s; start one with "
            "'dask scheduler', or give 'local:4' for four processes on this machine"
        ) from error
    with client:
        _check_workers(client, where)
        yield client


async def _greeted(where: str) -> None:
    """Connect and hang up: a client waits forever for what is no scheduler."""
    from distributed.comm.core import connect

    async def greet() -> None:
        comm = await connect(where, timeout=_SECONDS)
        await comm.close()

    await asyncio.wait_for(greet(), _SECONDS)


def _check_workers(client: Any, where: str) -> None:
    """Raise a UserError unless there are workers that have what this process has."""
    ours = version("multilode")
    try:
        client.wait_for_workers(1, timeout=_SECONDS)
        theirs = set(client.run(version, "multilode").values())
    except asyncio.TimeoutError as error:
        raise UserError(
            f"the scheduler '{where}' has no workers; start some with "
            f"'dask worker {where} --nthreads 1'"
        ) from error
    except ImportError as error:
        raise UserError(
            f"workers of the scheduler '{where}' do not have multilode; install {ours} there"
        ) from error
    if theirs != {ours}:
        raise UserError(
            f"workers of the scheduler '{where}' have multilode {', '.join(sorted(theirs))} and "
            f"not {ours} as here; install the same"
        )
