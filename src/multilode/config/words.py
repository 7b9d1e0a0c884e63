"""Words of earlier versions, which configurations may still use, with a note."""

import warnings
from collections.abc import Mapping
from typing import Any

from multilode.config.codec_errors import CodecError
from multilode.errors import DataWarning

_TOP = {"model": "estimator"}
_FIELD = {"cutoff": "neighbor_cutoff", "range_cutoff": "near_radius"}
_BASIS = {"cutoff": "radius"}


def in_words_of_today(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration under the names that settings have now.

    Raises:
        CodecError: if a setting is given under its old and its new name.
    """
    new = _renamed(raw, "", _TOP)
    if isinstance(new.get("fields"), dict):
        new["fields"] = {name: _field(part, name) for name, part in new["fields"].items()}
    return new


def _field(raw: Any, name: str) -> Any:
    if not isinstance(raw, dict):
        return raw
    new = _renamed(raw, f"fields.{name}", _FIELD)
    if isinstance(new.get("basis"), dict):
        new["basis"] = _renamed(new["basis"], f"fields.{name}.basis", _BASIS)
    return new


def _renamed(raw: Mapping[str, Any], where: str, words: Mapping[str, str]) -> dict[str, Any]:
    result = {}
    for key, value in raw.items():
        new, path = words.get(key, key), f"{where}.{key}" if where else key
        if new != key and new in raw:
            raise CodecError(path, f"this is the old name of '{new}'; remove it")
        if new != key:
            note = f"setting '{path}' is now called '{new}'; rename it"
            warnings.warn(DataWarning(note), stacklevel=2)
        result[new] = value
    return result
