"""Fair timings of two callables on a noisy machine."""

import time
from collections.abc import Callable

import numpy as np


def interleaved(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int = 9
) -> tuple[float, float]:
    """Median seconds of each; they take turns, so that drifts of the machine hit both."""
    ours()
    peer()  # warm-up: tables, thread pools, caches
    seconds = np.zeros((rounds, 2))
    for row in seconds:
        for column, call in enumerate((ours, peer)):
            start = time.perf_counter()
            call()
            row[column] = time.perf_counter() - start
    return tuple(np.median(seconds, axis=0))


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
