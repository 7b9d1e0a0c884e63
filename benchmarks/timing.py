"""Fair timings of two callables on a noisy machine, and entries of the summary.

The clock is that of the wall, or counts the processor's time of all threads of this process: on a
machine that others use too, the second one is to be trusted, with one thread.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
_chosen = CLOCKS["wall"]


def choose_clock(name: str) -> None:
    """By which all later calls are timed."""
    global _chosen
    _chosen = CLOCKS[name]


def interleaved(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int = 9
) -> tuple[float, float]:
    """Median seconds of each; they take turns, so that drifts of the machine hit both."""
    ours_seconds, peer_seconds = in_turn((ours, peer), rounds)
    return ours_seconds, peer_seconds


def in_turn(calls: Sequence[Callable[[], object]], rounds: int = 9) -> tuple[float, ...]:
    """Median seconds of each of some callables that take turns."""
    for call in calls:
        call()  # warm-up: tables, thread pools, caches
    seconds = np.zeros((rounds, len(calls)))
    for row in seconds:
        for column, call in enumerate(calls):
            row[column] = once(call)
    return tuple(float(s) for s in np.median(seconds, axis=0))


def once(call: Callable[[], object]) -> float:
    """Seconds of a single call."""
    start = _chosen()
    call()
    return _chosen() - start


def result(
    case: str,
    peer_name: str,
    seconds: tuple[float, float],
    *,
    tolerance: float,
    threads: int,
    **extra: float | str,
) -> dict:
    """One entry of summary.json."""
    return {
        "case": case,
        "ours_seconds": seconds[0],
        "peer": peer_name,
        "peer_seconds": seconds[1],
        "ratio": seconds[1] / seconds[0],
        "tolerance": tolerance,
        "dtype": "float64",
        "threads": threads,
        **extra,
    }


def quantity(case: str, value: float | None, unit: str, **extra: float | str) -> dict:
    """One entry of summary.json without a peer; None where this machine cannot measure it."""
    return {"case": case, "value": value, "unit": unit, **extra}


def peak_bytes() -> int:
    """Largest resident memory of this program so far.

    Not getrusage: that starts with the peak of the process from which this one was forked.
    """
    status = Path("/proc/self/status").read_text().split()
    return 1024 * int(status[status.index("VmHWM:") + 1])


def in_child(script: str, *arguments: str) -> str:
    """What a benchmark prints in a process of its own, whose memory is its own."""
    path = Path(__file__).with_name(script)
    done = subprocess.run(
        [sys.executable, str(path), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout
