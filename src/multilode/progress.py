"""Progress of long computations: called back, never printed."""

from collections.abc import Callable

Progress = Callable[[int, int], None]  # how many are done, how many there are
Stage = Callable[[str], Progress]  # a name for what follows, and how to report its progress


def silent(name: str) -> Progress:  # noqa: ARG001 - the interface of a stage
    """A stage that reports nothing."""

    def progress(done: int, total: int) -> None:
        pass

    return progress
