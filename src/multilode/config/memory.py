"""The setting `memory`: a number of GB, or a number with its unit."""

import math
import re
from typing import Any

from multilode.config.codec_errors import CodecError

_UNITS = {"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "mib": 2.0**20, "gib": 2.0**30}
_TEXT = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?)([a-z]+)?")


def memory_bytes(raw: Any) -> float | None:
    """Bytes from 8, '8 GB' or '8 GiB'; None for what is free.

    Raises:
        CodecError: if it is no amount of memory, or not larger than 0.
    """
    if raw is None:
        return None
    text = str(raw).strip().lower().replace(" ", "")
    found = None if isinstance(raw, bool) else _TEXT.fullmatch(text)
    advice = "give a number of GB such as 8, or one with its unit such as '8 GB', or leave it out"
    if found is None or (found[2] or "gb") not in _UNITS:
        raise CodecError("memory", f"is {raw!r}; {advice}")
    try:
        size = float(found[1]) * _UNITS[found[2] or "gb"]
    except ValueError as error:
        raise CodecError("memory", f"is {raw!r}; {advice}") from error
    if not (math.isfinite(size) and size > 0):
        raise CodecError("memory", f"is {raw!r}; it must be larger than 0")
    return size


def plain_memory(size: float | None) -> float | None:
    """GB."""
    return None if size is None else float(f"{size / 1e9:.6g}")
