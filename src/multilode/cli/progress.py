"""Progress bars on the terminal; nothing where there is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from multilode.progress import Stage


@contextmanager
def progress_stages() -> Iterator[Stage]:
    """A function that starts a new stage with its name and returns its progress callback.

    Bars go to the standard error and vanish at the end. A stage that reports nothing pulses.
    """
    console = Console(stderr=True)
    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )

    def stage(name: str) -> Callable[[int, int], None]:
        for task in bars.tasks:
            bars.update(task.id, visible=False)
        current = bars.add_task(name, total=None)

        def progress(done: int, total: int) -> None:
            bars.update(current, completed=done, total=total)

        return progress

    with bars:
        yield stage
