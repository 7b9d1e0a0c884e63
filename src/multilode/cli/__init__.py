"""The command line: parse, call the library, print or write.

Names for commands of other packages: `output_folder`, `progress_stages`, `print_table`; they are
imported when they are first used, so that `--help` stays fast.
A command is one file here and a function in `main.py`, or an entry point `multilode.commands`.
"""

from importlib import import_module
from typing import Any

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
