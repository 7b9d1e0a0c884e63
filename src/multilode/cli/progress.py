"""Progress: bars on the terminal, and lines with time and memory in a file."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from multilode.numerics.memory import largest_memory
from multilode.progress import Stage, duration

_SECONDS = 10.0  # between two lines of a stage
_STAMP = "%Y-%m-%d %H:%M:%S"


@contextmanager
def progress_stages(log: Path | None = None) -> Iterator[Stage]:
    """A function that starts a new stage with its name and returns its progress callback.

    Bars go to the standard error and vanish at the end. A stage that reports nothing pulses.

    Args:
        log: file to which lines are added: time, stage, what is done, what is left, memory, and
            what the package logs.
    """
    console = Console(stderr=True)
    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )

    def stage(name: str) -> Callable[[int, int], None]:
        for task in bars.tasks:
            bars.update(task.id, visible=False)
        current = bars.add_task(name, total=None)
        lines = None if log is None else _Lines(log, name)

        def progress(done: int, total: int) -> None:
            bars.update(current, completed=done, total=total)
            if lines is not None:
                lines.add(done, total)

        return progress

    # rich before 14.3 ends bars that it does not show with an empty line
    with bars if console.is_terminal else nullcontext(), _logged(log):
        yield stage


def tell(text: str) -> None:
    """Print a line to the standard error, above the bars, and log it."""
    print(f"multilode: {text}", file=sys.stderr, flush=True)
    logging.getLogger("multilode").info(text)


@contextmanager
def _logged(log: Path | None) -> Iterator[None]:
    """What the package logs goes to the file as well."""
    if log is None:
        yield
        return
    logger, handler = logging.getLogger("multilode"), logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", _STAMP))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
        handler.close()


@final
class _Lines:
    """Lines about one stage; the first and the last, and some between."""

    def __init__(self, log: Path, name: str) -> None:
        self.log, self.name = log, name
        self.begun = time.monotonic()
        self.first: tuple[float, int] | None = None  # when something was known, and how much
        self.last = -_SECONDS
        self._write("begins")

    def add(self, done: int, total: int) -> None:
        """One more line, unless the last one was a moment ago."""
        now = time.monotonic()
        if self.first is None:
            self.first = (now, done)
        if now - self.last < _SECONDS and done < total:
            return
        self.last = now
        left = ""
        if self.first[1] < done < total:
            rate = (now - self.first[0]) / (done - self.first[1])
            left = f", {duration(rate * (total - done))} left"
        self._write(f"{done} of {total} after {duration(now - self.begun)}{left}")

    def _write(self, text: str) -> None:
        memory = largest_memory()
        stamp = time.strftime(_STAMP)
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{stamp}  {self.name}: {text}; largest memory {memory:.2f} GB\n")
