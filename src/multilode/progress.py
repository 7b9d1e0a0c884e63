"""Progress of long computations: called back, never printed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Progress = Callable[[int, int], None]  # how many are done, how many there are
Stage = Callable[[str], Progress]  # a name for what follows, and how to report its progress


def unreported(done: int, total: int) -> None:
    """Progress that nobody asked for."""


def silent(name: str) -> Progress:  # noqa: ARG001 - the interface of a stage
    """A stage that reports nothing."""
    return unreported


_reported: ContextVar[Stage] = ContextVar("stage", default=silent)


@contextmanager
def reporting(stage: Stage) -> Iterator[None]:
    """Report the stages that begin inside, however deep, such as those of a solver."""
    token = _reported.set(stage)
    try:
        yield
    finally:
        _reported.reset(token)


def begin(name: str) -> Progress:
    """Begin a stage; it is reported where one of the callers asked for it."""
    return _reported.get()(name)


def duration(seconds: float) -> str:
    """A time in the two units that matter: 40 s, 3 min 20 s, 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
