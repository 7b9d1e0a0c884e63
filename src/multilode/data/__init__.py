"""Structures with their properties, as files have them: reading, checking, writing.

Names to know: `Dataset` (structures, columns, sources), `read`, `from_ase`, `write`.
Every error names file, frame, key and remedy (`DataError`); ASE is imported on demand only.
Keys that decide on a structure are read in every spelling or refused (`xyz_header.py`,
`xyz_frame.py`); a format to write is a function and a row of `WRITERS` in `writing.py`.
"""

from importlib import import_module
from typing import Any

from multilode.data.dataset import DataError, Dataset, Origin, concatenate, random_split

# Those that import ASE, which takes longer than all the rest: on demand
_ON_DEMAND = {
    "from_ase": "multilode.data.ase_atoms",
    "read": "multilode.data.io",
    "to_ase": "multilode.data.ase_atoms",
    "write": "multilode.data.io",
}

__all__ = ["DataError", "Dataset", "Origin", "concatenate", "random_split", *_ON_DEMAND]


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module 'multilode.data' has no attribute '{name}'")
    return getattr(import_module(_ON_DEMAND[name]), name)
