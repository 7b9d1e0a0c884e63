"""Doubts on the terminal."""

import sys
from collections.abc import Iterable

from multilode.workflow.doubt import Doubt


def say(doubts: Iterable[Doubt]) -> None:
    """Print doubts as notes, beside the results of a command."""
    for doubt in doubts:
        print(f"multilode: note: {doubt}", file=sys.stderr)
