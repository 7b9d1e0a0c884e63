"""Where independent tasks run: in this process, or on the workers of a Dask cluster.

The tasks are the same functions of the same arguments either way, and their results are taken in
the same order, so that numbers do not depend on where they were computed.
"""

import logging
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any, TypeVar

import torch

from multilode.errors import UserError
from multilode.numerics.limits import Limits, current_limits, limits

R = TypeVar("R")
_CURRENT: ContextVar[Any] = ContextVar("scheduler", default=None)
_SECONDS = 10  # until a scheduler has to answer
_IN_FLIGHT = 2  # tasks for each worker: one that runs, one that waits
_FORMS = "'local:4' for four processes on this machine, or the address of a scheduler of Dask"


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
        UserError: if this is neither, Dask is not installed, or nothing answers.
    """
    if where is None:
        yield
        return
    with _client(where) as client:
        token = _CURRENT.set(client)
        try:
            yield
        finally:
            _CURRENT.reset(token)


def distributed() -> bool:
    """Whether tasks run in other processes here."""
    return _CURRENT.get() is not None


def mapped(function: Callable[..., R], items: Sequence[Any], *shared: Any) -> Iterator[R]:
    """Results of `function(item, *shared)` in the order of the items.

    On a cluster a few items for each worker are under way at once, so that memory does not grow
    with their number; a task whose worker is lost runs again on another.

    Args:
        function: of a module, without side effects.
        items: small arguments, one for each task.
        shared: large ones, which are sent to each worker once.
    """
    client = _CURRENT.get()
    if client is None or len(items) < 2:
        for item in items:
            yield function(item, *shared)
        return
    yield from _distributed(client, function, items, shared)


def _distributed(
    client: Any, function: Callable[..., R], items: Iterable[Any], shared: Sequence[Any]
) -> Iterator[R]:
    known = client.scatter(list(shared), broadcast=True, hash=False) if shared else []
    most = _IN_FLIGHT * max(1, len(client.nthreads()))
    waiting, left, here = deque(), iter(items), current_limits()
    try:
        for item in left:
            waiting.append(client.submit(_task, function, item, known, here, pure=False))
            if len(waiting) == most:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        for future in waiting:
            future.cancel()


def _task(
    function: Callable[..., R], item: Any, shared: Sequence[Any], here: Limits
) -> tuple[R, list[tuple[str, type[Warning]]]]:
    """In a worker: under the limits of the caller, with what was warned of."""
    torch.set_num_threads(1)
    bounds = {name: getattr(here, name) for name in ("memory", "block_bytes", "kept_bytes")}
    with warnings.catch_warnings(record=True) as caught, limits(**bounds):
        warnings.simplefilter("always")
        result = function(item, *shared)
    return result, [(str(one.message), one.category) for one in caught]


def _result(future: Any) -> Any:
    result, caught = future.result()
    for message, category in caught:
        warnings.warn(message, category, stacklevel=2)
    return result


@contextmanager
def _client(where: str) -> Iterator[Any]:
    if find_spec("distributed") is None:
        raise UserError(
            f"the scheduler '{where}' needs Dask, which is not installed; install multilode[dask]"
        )
    local = re.fullmatch(r"local:(\d+)", where)
    if where.startswith("local") and (local is None or int(local[1]) < 1):
        raise UserError(f"the scheduler '{where}' is none; give {_FORMS}")
    from distributed import Client, LocalCluster  # takes long to import

    if local is not None:
        options = {"threads_per_worker": 1, "processes": True, "memory_limit": 0}
        quiet = {"dashboard_address": ":0", "silence_logs": logging.ERROR}
        with (
            LocalCluster(n_workers=int(local[1]), **options, **quiet) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(where, timeout=_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"the scheduler '{where}' does not answer ({type(error).__name__}); give {_FORMS}"
        ) from error
    with client:
        yield client
