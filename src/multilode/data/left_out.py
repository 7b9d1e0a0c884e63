"""What a format of files cannot hold."""

import warnings
from collections.abc import Iterable

from multilode.errors import DataWarning


def warn_left_out(keys: Iterable[str], place: str, advice: str = "") -> None:
    """One warning of all values that are not written.

    Args:
        keys: their names.
        place: that does not hold them.
        advice: what to do, if there is something.

    Warns:
        DataWarning: if there are any.
    """
    names = ", ".join(sorted(map(str, keys)))
    if names:
        said = f"; {advice}" if advice else ""
        warnings.warn(
            DataWarning(f"not written, because {place} cannot hold them: {names}{said}"),
            stacklevel=4,
        )
