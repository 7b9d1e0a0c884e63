"""Memory that a computation needs, compared with the free memory before any is taken."""

import os
import sys
from pathlib import Path

import torch

from multilode.numerics.limits import current_limits

_USABLE = 0.85  # of what is there
_FREE = 0.9  # of what is free
_PER_GB = 1e9 if sys.platform == "darwin" else 1e6  # bytes there, kB elsewhere


def largest_bytes(device: torch.device) -> float:
    """Bytes that a computation on a device may take: the limit that is set, or a part of all."""
    limit = current_limits().memory
    if limit is not None:
        return limit
    if device.type == "cuda":
        return _USABLE * torch.cuda.mem_get_info(device)[1]
    return _USABLE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def free_bytes(device: torch.device) -> float:
    """The limit that is set; else most of what nothing takes now, or of all where it is unknown."""
    most, table = largest_bytes(device), Path("/proc/meminfo")
    if current_limits().memory is not None or device.type == "cuda" or not table.is_file():
        return most
    for line in table.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return min(most, _FREE * 1024 * float(line.split()[1]))
    return most


def largest_memory() -> float:
    """The most memory that this process had until now, in GB."""
    import resource  # which Windows has not

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _PER_GB


def require_bytes(needed: float, device: torch.device, *, what: str, remedy: str) -> None:
    """Raise before an allocation that cannot succeed.

    Args:
        needed: estimate of the peak.
        device: where.
        what: the computation, subject of the message.
        remedy: advice to the user.

    Raises:
        ValueError: if the device has less memory than needed.
    """
    limit = largest_bytes(device)
    if needed > limit:
        raise ValueError(
            f"{what} needs about {needed / 2**30:.1f} GiB, more than the {limit / 2**30:.1f} GiB "
            f"that may be used on {device}; {remedy}"
        )
