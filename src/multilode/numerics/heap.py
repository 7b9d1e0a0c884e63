"""Keep freed memory for the next call, instead of asking the system for fresh pages each time."""

import ctypes
import sys
from functools import cache

import torch

_TRIM, _MAP = -1, -3  # names of two limits in malloc.h
_BYTES = 31 * 2**20  # the largest that the C library learns from is 32 MiB


@cache
def keep_freed_memory() -> None:
    """Raise the sizes from which the GNU C library returns freed memory to the system.

    Arrays of some MB, freed and asked for again in every call, otherwise come from fresh pages that
    the system must clear: a third of the time of an expansion. The library takes the size of a
    large block that is freed as its new limit, here of one that is never touched; then up to
    62 MiB stay with the process. Elsewhere this does nothing.
    """
    torch.empty(_BYTES, dtype=torch.uint8, device="cpu")


@cache
def keep_freed_memory_in_worker() -> None:
    """The same in a worker of Dask.

    It is started with a limit of 64 KiB (MALLOC_TRIM_THRESHOLD_), and with a limit of its user the
    library learns no other one: products of slopes take 1.7 times as long.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # not every C library is the GNU one
        library.mallopt(_MAP, _BYTES)
        library.mallopt(_TRIM, 2 * _BYTES)
