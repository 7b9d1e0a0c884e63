"""Limits on memory: how much a computation may take, hold at once, and keep for later."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, final

from torch.utils.checkpoint import checkpoint

T = TypeVar("T")


@final
@dataclass(frozen=True)
class Limits:
    """Bounds on memory, in bytes. No result depends on them, but for its rounding.

    Args:
        memory: largest memory of one computation; more is refused before it is taken. None: 85 % of
            what the device has.
        block_bytes: largest temporary of a sum that is done block by block. None: what is fastest
            for each sum.
        kept_bytes: largest array that is kept for the backward pass or a later call; larger ones
            are computed again. None: what is fastest for each.

    Raises:
        ValueError: if a bound is negative or no number.
    """

    memory: float | None = None
    block_bytes: float | None = None
    kept_bytes: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"{field.name} is {value}; give a number of bytes, or None for no limit of "
                    "your own"
                )

    def block_size(self, fastest: int, item_bytes: int) -> int:
        """Items of a block: as many as are fastest, or as the limit allows; at least one."""
        if self.block_bytes is None:
            return fastest
        return max(1, min(fastest, int(self.block_bytes // item_bytes)))

    def kept_size(self, fastest: int, item_bytes: int) -> int:
        """Items up to which they are kept."""
        if self.kept_bytes is None:
            return fastest
        return min(fastest, int(self.kept_bytes // item_bytes))


_CURRENT = ContextVar("limits", default=Limits())  # noqa: B039  frozen


def current_limits() -> Limits:
    """The limits that hold here."""
    return _CURRENT.get()


@contextmanager
def limits(
    *,
    memory: float | None = None,
    block_bytes: float | None = None,
    kept_bytes: float | None = None,
) -> Iterator[Limits]:
    """Set limits for the computations in a block; those that are not given stay as they are.

        with ml.limits(memory=4e9, block_bytes=1e8):
            model.predict(structures)

    Args:
        memory: bytes that one computation may take, before it is refused.
        block_bytes: bytes of the largest temporary of a sum that is done block by block.
        kept_bytes: bytes of the largest array that is kept instead of being computed again.

    Raises:
        ValueError: if a bound is negative or no number.
    """
    given = {"memory": memory, "block_bytes": block_bytes, "kept_bytes": kept_bytes}
    changed = {name: value for name, value in given.items() if value is not None}
    token = _CURRENT.set(replace(_CURRENT.get(), **changed))
    try:
        yield _CURRENT.get()
    finally:
        _CURRENT.reset(token)


def recomputed(function: Callable[..., T], *given: Any) -> T:
    """The function's value; the backward pass computes it again instead of keeping temporaries.

    Then as now, the limits are those of this call: they decide what is saved.
    """
    here = current_limits()

    def under_the_same_limits(*arguments: Any) -> T:
        token = _CURRENT.set(here)
        try:
            return function(*arguments)
        finally:
            _CURRENT.reset(token)

    # declared to return anything: the result of the function
    return checkpoint(under_the_same_limits, *given, use_reentrant=False)  # type: ignore[return-value]
