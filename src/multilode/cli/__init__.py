"""The command line: parse, call the library, print or write; no numerics.

Names to know: `main.run`, which returns the exit code: 0 done, 1 our bug, 2 the user's input.
A new command is one file here and one function in `main.py`, which imports it when it is called;
one of another package is an entry point `multilode.commands`, with the names below at its service.
"""

from importlib import import_module
from typing import Any

# On demand, so that `--help` stays fast
_PUBLIC = {
    "output_folder": "multilode.cli.output",
    "print_table": "multilode.cli.tables",
    "progress_stages": "multilode.cli.progress",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'multilode.cli' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)
