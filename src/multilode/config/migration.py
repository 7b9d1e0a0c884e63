"""Metadata of model files of earlier formats, in the words of today."""

from collections.abc import Mapping, Sequence
from typing import Any

from multilode.config.codec import tensor_at

_EXPANSION_WORDS = {
    "cutoff": "neighbor_cutoff",
    "range_cutoff": "near_radius",
    "radial": "basis",
}
_BASIS_WORDS = {"cutoff": "radius"}
_REPRESENTATION_WORDS = {"expansions": "fields", "correlations": "products"}


def migrated(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata of format 1 to 4 as today; in later ones only what has a default is missing.

    Args:
        metadata: of a model file, with its `format_version`.
    """
    if metadata["format_version"] > 4:
        return metadata
    with_kind = {"kind": "products", **metadata["representation"]}
    if metadata["format_version"] > 3:
        return {**metadata, "representation": with_kind}
    return {
        **metadata,
        "representation": _representation(with_kind),
        "baseline": {**metadata["baseline"], "constants": tensor_at("constants")},
    }


def _representation(old: Mapping[str, Any]) -> dict[str, Any]:
    """Before format 2 there were neither irreps nor methods, which have defaults now."""
    new = _renamed(old, _REPRESENTATION_WORDS)
    parts = new.get("fields", {})
    new["fields"] = {name: _expansion(part) for name, part in parts.items()}
    if old.get("contractions"):
        new["contractions"] = [
            None if part is None else _contraction(part["report"], f"{k}.projection")
            for k, part in enumerate(old["contractions"])
        ]
    return new


def _expansion(old: Mapping[str, Any]) -> dict[str, Any]:
    new = _renamed(old, _EXPANSION_WORDS)
    return {**new, "basis": _renamed(new.get("basis", {}), _BASIS_WORDS)}


def _contraction(report: Sequence[Sequence[Sequence[Any]]], path: str) -> dict[str, Any]:
    """From rows of degree, parity, and what was kept of that irrep; the file names its matrices."""
    return {
        "projections": [
            {f"{l},{parity}": tensor_at(f"{path}.{step}.{l}.{parity}") for l, parity, *_ in rows}
            for step, rows in enumerate(report)
        ],
        "report": [
            {
                f"{l},{parity}": dict(zip(("n_before", "n_after", "fraction"), kept, strict=True))
                for l, parity, *kept in rows
            }
            for rows in report
        ],
    }


def _renamed(old: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    return {words.get(key, key): value for key, value in old.items()}
