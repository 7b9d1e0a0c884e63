"""Kernels and what they compare, as plain data and named tensors for a file."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor

from multilode.models.kernels import KERNELS, AbstractKernel, Points, PolynomialKernel


def kernel_settings(kernel: AbstractKernel) -> dict[str, Any]:
    """A kernel in types that JSON knows.

    Raises:
        ValueError: if its class is not in `KERNELS`.
    """
    kinds = {cls: kind for kind, cls in KERNELS.items()}
    if type(kernel) not in kinds:
        raise ValueError(
            f"{type(kernel).__name__} is in no table; add it to KERNELS, which has "
            f"{', '.join(KERNELS)}"
        )
    plain = {f.name: _plain(getattr(kernel, f.name)) for f in fields(kernel)}  # type: ignore[arg-type]
    return {"kind": kinds[type(kernel)], **plain}


def kernel_from(settings: Mapping[str, Any]) -> AbstractKernel:
    """The kernel back from `kernel_settings`."""
    given = {key: _value(value) for key, value in settings.items() if key != "kind"}
    return KERNELS[settings["kind"]](**given)


def kernels_from(settings: Mapping[str, Any]) -> tuple[AbstractKernel, ...]:
    """The kernel of each term of a model; files of earlier formats know polynomials only."""
    if "kernels" in settings:
        return tuple(kernel_from(part) for part in settings["kernels"])
    pairs = zip(settings["zeta"], settings["normalize"], strict=True)
    return tuple(PolynomialKernel(zeta=z, normalize=n) for z, n in pairs)


def points_tensors(points: Points, prefix: str) -> dict[str, Tensor]:
    """All numbers of prepared points, by name."""
    named = {f"{prefix}values": points.values}
    if points.invariants is not None:
        named[f"{prefix}invariants"] = points.invariants
    for number, part in enumerate(points.parts):
        named |= points_tensors(part, f"{prefix}parts.{number}.")
    return named


def points_from(tensors: Mapping[str, Tensor], prefix: str, components: int) -> Points:
    """The points back from `points_tensors`."""
    numbers = range(sum(name.startswith(prefix) for name in tensors))
    inner = (f"{prefix}parts.{number}." for number in numbers)
    return Points(
        values=tensors[f"{prefix}values"],
        invariants=tensors.get(f"{prefix}invariants"),
        components=components,
        parts=tuple(points_from(tensors, p, components) for p in inner if f"{p}values" in tensors),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, AbstractKernel):
        return kernel_settings(value)
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return kernel_from(value)
    return tuple(_value(part) for part in value) if isinstance(value, list) else value
