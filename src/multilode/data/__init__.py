"""Structures with their properties, as files have them: reading, checking, writing.

Names to know: `Dataset` (structures, columns, sources), `read`, `write`.
Every error names file, frame, key and remedy (`DataError`). ASE is imported here only on demand.
A new file format is one function in `io.py`.
"""

from multilode.data.dataset import DataError, Dataset, concatenate, random_split

__all__ = ["DataError", "Dataset", "concatenate", "random_split"]
