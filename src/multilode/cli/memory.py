"""Whether there is memory to begin with."""

import mmap

_LEAST = 192 * 2**20  # bytes


def require_memory() -> None:
    """Refuse a limit on memory under which libraries of linear algebra end the process.

    Raises:
        MemoryError: if there is too little beyond what the program itself takes.
    """
    try:
        mmap.mmap(-1, _LEAST).close()  # an address is all that it takes
    except OSError as error:
        raise MemoryError from error
