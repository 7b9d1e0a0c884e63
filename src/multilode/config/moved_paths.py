"""Paths of a configuration as they are written in another folder."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def with_moved_paths(raw: Mapping[str, Any], folder: Path, place: Path) -> dict[str, Any]:
    """Nested settings whose relative paths, patterns included, are those from another folder.

    Args:
        raw: the settings.
        folder: that their paths are relative to.
        place: that they are to be relative to.
    """

    def moved(name: Any) -> Any:
        if isinstance(name, list):
            return [moved(one) for one in name]
        if not isinstance(name, str) or os.path.isabs(name):
            return name
        # ".." leaves the folder itself, not a link to it
        return os.path.relpath(Path(os.path.realpath(folder)) / name, os.path.realpath(place))

    result = dict(raw)
    data = raw.get("data")
    if isinstance(data, Mapping):
        files = {key: moved(data[key]) for key in ("train", "test") if key in data}
        result["data"] = {**data, **files}
    else:
        result["data"] = moved(data)
    if isinstance(raw.get("fields"), Mapping):
        result["fields"] = {name: _field(part, moved) for name, part in raw["fields"].items()}
    return result


def _field(part: Any, moved: Any) -> Any:
    """A field whose sources may be those of a model in a file."""
    sources = part.get("sources") if isinstance(part, Mapping) else None
    if not isinstance(sources, Mapping) or "model" not in sources:
        return part
    return {**part, "sources": {**sources, "model": moved(sources["model"])}}
