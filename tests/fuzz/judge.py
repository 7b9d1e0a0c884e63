"""What a border owes to any input: an answer or one short sentence, soon, in little memory."""

import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from multilode.errors import DataWarning, UserError

LONGEST = 700  # characters of a message, its place included
SECONDS = 2.0  # of the processor
BYTES = 10**9  # beyond what the process has at the start
_SOURCES = ("/multilode/", "/multilode_papers/")


class Fault(Exception):
    """What a user must not see.

    Args:
        kind: of the fault, by which faults are counted.
        said: the rest.
    """

    def __init__(self, kind: str, said: str) -> None:
        self.kind, self.said = kind, said
        super().__init__(f"{kind}: {said}")


class _TooLong(BaseException):
    """Not an Exception: nothing in the program may take it for an error of the input."""


def judge(call: Callable[[], Any], *, seconds: float = SECONDS) -> bool:
    """Whether an input is accepted; False if it is refused in one sentence.

    Args:
        call: does what the program does with the input.
        seconds: of the processor that it may take.

    Raises:
        Fault: if anything else happens.
    """
    begun = time.process_time()
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        try:
            with _limited(seconds):
                call()
            accepted = True
        except UserError as error:
            check_message(str(error))
            accepted = False
        except Fault:
            raise
        except _TooLong as error:
            raise Fault(f"hang at {_origin(error)}", traceback.format_exc()[-3000:]) from error
        except BaseException as error:
            kind = f"{type(error).__name__} at {_origin(error)}"
            raise Fault(kind, traceback.format_exc()[-6000:]) from error
    for note in notes:
        if issubclass(note.category, DataWarning):
            check_message(str(note.message))
    if time.process_time() - begun > seconds:  # within one call of a library
        raise Fault("slow", f"{time.process_time() - begun:.1f} s")
    return accepted


def check_message(said: str) -> None:
    """A message is one printable line of some hundred characters.

    Raises:
        Fault: if it is not.
    """
    if not said.strip():
        raise Fault("empty message", repr(said))
    if not said.isprintable():
        raise Fault("control characters in a message", ascii(said)[:2000])
    if len(said) > LONGEST:
        raise Fault("long message", f"{len(said)} characters: {said[:1500]}")
    for word in ("Traceback", "Error('", "object at 0x"):
        if word in said:
            raise Fault("message of a machine", said)


def limit_memory(extra: int = BYTES) -> None:
    """No more than so many bytes beyond what this process has now."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + extra, now + extra))


def peak_bytes() -> int:
    """The most that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGPROF, stop)
    # again and again: a library may swallow the first one
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _origin(error: BaseException) -> str:
    """The last line of ours that it went through."""
    ours = "elsewhere"
    for frame in traceback.extract_tb(error.__traceback__):
        if any(part in frame.filename for part in _SOURCES):
            ours = f"{frame.filename.rpartition('/src/')[2]}:{frame.name}"
    return ours
