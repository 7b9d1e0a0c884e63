"""Models in files of format 1 to 3, in the words of today."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from multilode.config.codec import tensor_at

_POSTERIOR = {"kernel": ("half", "shift", "offset", "share", "amplitude")}
_POSTERIOR |= {"sparse": ("half", "mean", "noise", "amplitude")}
_BARS = ("scale", "errors", "bars")


def migrated_model(
    old: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A model as the codec writes it, and further tensors that it needs.

    Args:
        old: `kind` and `settings`, as these formats had them.
        tensors: those of the model, by name.
    """
    more: dict[str, Tensor] = {}
    return _model(old["kind"], old["settings"], tensors, "", [0, 1], more), more


def _model(
    kind: str,
    settings: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    prefix: str,
    irrep: list[int],
    more: dict[str, Tensor],
) -> dict[str, Any]:
    if kind == "tensor":
        parts = {}
        for part in settings["parts"]:
            degree, parity = part["irrep"]
            inner = f"{prefix}{degree}{'+' if parity > 0 else '-'}."
            parts[f"{degree},{parity}"] = _model(
                part["kind"], part["settings"], tensors, inner, part["irrep"], more
            )
        return {"kind": kind, "tensor": settings["tensor"], "parts": parts}
    if kind == "committee":
        own = settings["committee"]
        found = {name: tensor_at(f"{prefix}calibration.{name}") for name in _BARS}
        return {
            "kind": kind,
            "members": _model(own["kind"], settings, tensors, prefix, irrep, more),
            "n_members": own["n_members"],
            "calibration": {**found, "expected": own["calibration"]["expected"]},
        }
    make = {"ridge": _ridge, "kernel": _kernel, "sparse": _sparse}[kind]
    shared = {
        "kind": kind,
        "intercept": tensor_at(f"{prefix}intercept"),
        "term_weights": settings["term_weights"],
        "regularization": settings["regularization"],
        "reduce": settings["pooling"],
        "centers": settings["centers"],
        "irrep": irrep,
        "cv_table": [{"judged": row["rmse"], **row} for row in settings["cv_table"]],
    }
    return {**shared, **make(settings, tensors, prefix, irrep, more)}


def _ridge(
    settings: Mapping[str, Any],
    tensors: Mapping[str, Tensor],  # noqa: ARG001 - the same for all kinds
    prefix: str,
    *_: Any,
) -> dict[str, Any]:
    numbers = range(len(settings["scales"]))
    return {
        "scales": settings["scales"],
        "weights": [tensor_at(f"{prefix}weights.{number}") for number in numbers],
    }


def _kernel(
    settings: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    prefix: str,
    irrep: list[int],
    more: dict[str, Tensor],
) -> dict[str, Any]:
    """The factor of rows, one over their number of centers, was inside the values."""
    environments = []
    for number, n in enumerate(settings["n_structures"]):
        scale = f"{prefix}scale.{number}"
        more[scale] = torch.ones(n, dtype=torch.float64)
        names = (f"{prefix}{name}.{number}" for name in ("values", "invariants"))
        environments.append(
            {
                "points": _points(tensors, *names, components=2 * irrep[0] + 1),
                "row_index": tensor_at(f"{prefix}structure_index.{number}"),
                "slots": tensor_at(f"{prefix}slots.{number}"),
                "scale": tensor_at(scale),
            }
        )
    return {
        "kernels": _kernels(settings),
        "environments": environments,
        "moments": [tensor_at(f"{prefix}moments.{k}") for k in range(len(environments))],
        "dual": tensor_at(f"{prefix}dual"),
        "factors": settings["factors"],
        "posterior": _posterior(tensors, prefix, _POSTERIOR["kernel"]),
    }


def _sparse(
    settings: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    prefix: str,
    irrep: list[int],
    more: dict[str, Tensor],
) -> dict[str, Any]:
    active: list[dict[str, Any] | None] = []
    for number in range(len(settings["factors"])):
        inner = f"{prefix}active.{number}."
        if f"{inner}factor" not in tensors:
            active.append(None)
            continue
        n = len(tensors[f"{inner}values"])
        more[f"{inner}row_index"] = torch.arange(n)
        more[f"{inner}scale"] = torch.ones(n, dtype=torch.float64)
        names = (f"{inner}values", f"{inner}invariants")
        rows = {name: tensor_at(f"{inner}{name}") for name in ("row_index", "slots", "scale")}
        points = _points(tensors, *names, components=2 * irrep[0] + 1)
        active.append({"rows": {"points": points, **rows}, "factor": tensor_at(f"{inner}factor")})
    return {
        "kernels": _kernels(settings),
        "active": active,
        "weights": [tensor_at(f"{prefix}weights.{k}") for k in range(len(active))],
        "factors": settings["factors"],
        "posterior": _posterior(tensors, prefix, _POSTERIOR["sparse"]),
    }


def _kernels(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    pairs = zip(settings["zeta"], settings["normalize"], strict=True)
    return [{"kind": "polynomial", "zeta": z, "normalize": n} for z, n in pairs]


def _points(
    tensors: Mapping[str, Tensor], values: str, invariants: str, *, components: int
) -> dict[str, Any]:
    beside = tensor_at(invariants) if invariants in tensors else None
    return {"values": tensor_at(values), "invariants": beside, "components": components}


def _posterior(
    tensors: Mapping[str, Tensor], prefix: str, names: Iterable[str]
) -> dict[str, Any] | None:
    if f"{prefix}posterior.half" not in tensors:
        return None
    return {name: tensor_at(f"{prefix}posterior.{name}") for name in names}
