"""Sums and means of a property over the centers of a structure."""

from typing import Literal

Reduce = Literal["sum", "mean"]


def check_reduce(reduce: str) -> None:
    """Raise a ValueError unless `reduce` is "sum" or "mean"."""
    if reduce not in ("sum", "mean"):
        raise ValueError(
            f"reduce is {reduce!r}; use 'sum' for an extensive and 'mean' for an intensive target"
        )
