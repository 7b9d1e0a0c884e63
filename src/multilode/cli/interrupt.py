"""Ctrl-C is answered within two seconds, also while a decomposition runs.

Python hears a signal between two of its own steps, and the decomposition of a large matrix is one.
The signal itself arrives at once, and is written to a socket that another thread waits for.
"""

import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

INTERRUPTED = 130  # exit code, as shells have it
_PATIENCE = 1.3  # seconds in which the command may end by itself
_TEMPORARY: set[Path] = set()


@contextmanager
def answered() -> Iterator[None]:
    """A block that SIGINT and SIGTERM end, at the latest after 1.3 seconds.

    For the main thread. What is lost then is what would have been lost anyway: results are moved to
    their place when they are complete, and checkpoints likewise.
    """
    ended = threading.Event()
    read, write = socket.socketpair()  # not a pipe: Windows takes sockets only
    write.setblocking(False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    before = signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
    with suppress(RuntimeError):  # no memory for a thread: signals wait for the end of a step
        threading.Thread(target=_wait, args=(read, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        write.close()


@contextmanager
def temporary(folder: Path) -> Iterator[None]:
    """A block whose end removes a folder, whether it is interrupted between steps or within one."""
    _TEMPORARY.add(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _TEMPORARY.discard(folder)


def say_interrupted() -> None:
    """The one line that a user gets."""
    print("multilode: interrupted", file=sys.stderr, flush=True)


def _wait(read: socket.socket, ended: threading.Event) -> None:
    """In its own thread: until the socket is closed, or a signal is not followed by the end."""
    ends = (signal.SIGINT, signal.SIGTERM)
    while arrived := read.recv(1):
        if arrived[0] not in ends or ended.wait(_PATIENCE):
            continue
        say_interrupted()
        for folder in list(_TEMPORARY):
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(INTERRUPTED)
    read.close()
