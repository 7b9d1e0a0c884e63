"""Write configuration_reference.md from the schema: `python docs/configuration_reference.py`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multilode.config.config import config_from_dict, plain_config
from multilode.config.schema import config_schema

PAGE = Path(__file__).with_name("configuration_reference.md")
_HEAD = """# Reference of the configuration

All settings, their types, bounds and defaults, made from the classes that read them: do not edit
this page, run `make docs`. [configuration.md](configuration.md) explains how they work together;
`multilode schema` writes the same for editors.
"""
_MOST = 70  # characters of a list of words


def page() -> str:
    """The page, from the schema of today."""
    schema = config_schema()
    whole = plain_config(config_from_dict({"data": "FILE", "target": {"key": "KEY"}}))
    lines = [_HEAD, "| key | type | default | what it is |", "|---|---|---|---|"]
    for key, part in schema["properties"].items():
        lines.append(_row(key, part, whole.get(key, "balanced" if key == "preset" else None)))
    groups = (pair for key, part in schema["properties"].items() for pair in _groups(key, part))
    seen = set()
    for title, group in groups:
        if title not in seen:
            lines += ["", f"## {title}", "", *_table(group)]
        seen.add(title)
    return "\n".join(lines) + "\n"


def _groups(key: str, part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Groups of settings within a part, with the names of their tables."""
    if key == "fields":
        part = part["anyOf"][0]["additionalProperties"]
    for arm in [part, *part.get("anyOf", ())]:
        if "properties" not in arm:
            continue
        name = f"`{key}`" if "title" not in arm else f"`{key}`, kind `{arm['title']}`"
        yield name, arm
        if key == "fields" and arm["title"] != "density":  # the rest is the same for all fields
            continue
        place = "fields.NAME" if key == "fields" else key
        for inner, below in arm["properties"].items():
            yield from _groups(f"{place}.{inner}", below)


def _table(group: dict[str, Any]) -> list[str]:
    """One line for each setting."""
    lines = [group["description"], ""] if group.get("description") else []
    if set(group["properties"]) <= {"kind"}:
        return [*lines, "It has no settings."]
    lines += ["| key | type | default | what it is |", "|---|---|---|---|"]
    required = group.get("required", ())
    for key, part in group["properties"].items():
        if key == "kind" and "title" in group:
            continue
        default = "required" if key in required else part.get("default", "")
        lines.append(_row(key, part, default))
    return lines


def _row(key: str, part: dict[str, Any], default: Any) -> str:
    plain = default is None or isinstance(default, bool | int | float | str)
    words = {"None": "null", "True": "true", "False": "false"}
    shown = words.get(str(default), str(default)) if plain else "see below"
    cells = (f"`{key}`", _type(part), shown, part.get("description", ""))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _type(part: dict[str, Any]) -> str:
    """A type in a few words."""
    if "anyOf" in part:
        titles = [arm["title"] for arm in part["anyOf"] if "title" in arm]
        others = [_type(arm) for arm in part["anyOf"] if "title" not in arm]
        kinds = [f"kind {', '.join(titles)}"] if titles else []
        return " or ".join(dict.fromkeys([*kinds, *others]))
    if "enum" in part:
        words = ", ".join("null" if word is None else str(word) for word in part["enum"])
        return words if len(words) <= _MOST else f"{words[:_MOST]} ..."
    if "const" in part:
        return str(part["const"])
    kind = part.get("type", "anything")
    if kind == "array":
        return f"list of {_type(part['items'])}" if part.get("items") else "list"
    words = {"object": "settings", "string": "text", "boolean": "true or false"}
    return words.get(kind, kind) + _bounds(part)


def _bounds(part: dict[str, Any]) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    found = [f"{sign} {part[word]:.4g}" for word, sign in signs.items() if word in part]
    return f" {', '.join(found)}" if found else ""


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        old = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page()
        sys.exit("docs/configuration_reference.md is old: run `make docs`" if old else 0)
    PAGE.write_text(page(), encoding="utf-8")
