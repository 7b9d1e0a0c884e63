"""Structures with their properties, as files have them: reading, checking, writing.

Names to know: `Dataset` (structures, columns, sources), `read`, `write`.
Every error names file, frame, key and remedy (`DataError`). ASE is imported here only on demand.
A new file format is one function in `io.py`.
"""

from multilode.data.dataset import DataError, Dataset, Origin, concatenate, random_split
from multilode.data.io import Progress, read, write

__all__ = [
    "DataError",
    "Dataset",
    "Origin",
    "Progress",
    "concatenate",
    "random_split",
    "read",
    "write",
]
