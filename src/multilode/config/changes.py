"""Settings that are changed on the command line, and files that are named by patterns."""

import glob
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from multilode.config.errors import ConfigError
from multilode.config.yaml_text import parse_yaml

_PATTERN = frozenset("*?[")
# what a text in the place of settings stands for
_SHORT = {"data": "train", "target.forces": "key", "target.stress": "key"}


def with_changes(raw: Any, changes: Sequence[str]) -> Any:
    """Plain settings in which some are replaced or added, as if the file said so.

    Args:
        raw: the settings.
        changes: texts such as `target.unit=eV`: a dotted key, and a value in YAML.

    Raises:
        ConfigError: that names the text, if it has no key or its value is no YAML, or if the key
            goes through something that has no settings of its own.
    """
    result = deepcopy(raw) if changes else raw
    for text in changes:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not all(key.split(".")):
            raise ConfigError(
                f"--set '{text}' names no setting; write --set KEY=VALUE, as in "
                "--set estimator.seed=1"
            )
        found = parse_yaml(value, source=f"--set {key}")
        result = _set(result, key, found, "--set ")
    return result


def with_values(raw: Any, values: Mapping[str, Any]) -> Any:
    """The same with values that are plain data already.

    Args:
        raw: the settings.
        values: by dotted key.

    Raises:
        ConfigError: as for `with_changes`.
    """
    result = deepcopy(raw)
    for key, value in values.items():
        if not all(key.split(".")):
            raise ConfigError(f"'{key}' names no setting; write dotted keys, as in estimator.seed")
        result = _set(result, key, deepcopy(value), "")
    return result


def value_at(raw: Any, key: str) -> Any:
    """The value of a dotted key in plain settings; None if it is not there.

    Args:
        raw: the settings.
        key: dotted.
    """
    for part in key.split("."):
        if not isinstance(raw, Mapping):
            return None
        raw = raw.get(part)
    return raw


def matching_files(folder: str | Path, names: Sequence[str], where: str) -> tuple[str, ...]:
    """Paths of files in a folder, patterns such as `run-*/*.xyz` replaced by what they match.

    A name that exists is taken as it is, whatever signs it has; matches are in the order of their
    names, and no file is taken twice by patterns.

    Args:
        folder: that the names are relative to.
        names: paths and patterns; `**` stands for any folders.
        where: the setting, for errors.

    Raises:
        ConfigError: if a pattern matches nothing.
    """
    found: list[str] = []
    for name in names:
        path = Path(folder) / name
        if not _PATTERN & set(name) or path.exists():
            found.append(str(path))
            continue
        inside = sorted(glob.glob(name, root_dir=folder or None, recursive=True))
        matches = [str(Path(folder) / match) for match in inside]
        files = [match for match in matches if Path(match).is_file()]
        if not files:
            raise ConfigError(
                f"setting '{where}': no file matches '{name}' in '{folder or '.'}'; check the path"
            )
        found += [file for file in files if file not in found]
    return tuple(found)


def is_pattern(folder: str | Path, name: str) -> bool:
    """Whether a name of a file is a pattern that stands for several."""
    return bool(_PATTERN & set(name)) and not (Path(folder) / name).exists()


def _set(raw: Any, key: str, value: Any, named: str) -> Any:
    if not isinstance(raw, dict):
        return raw  # no mapping of settings: what reads it says so
    place: dict[str, Any] = raw
    walked: list[str] = []
    *parents, last = key.split(".")
    for part in parents:
        walked.append(part)
        inner: Any = place.get(part)
        short = _SHORT.get(".".join(walked))
        if inner is None or inner is True:
            inner = {}
        elif short is not None and isinstance(inner, str | list):
            inner = {short: inner}
        if not isinstance(inner, dict):
            raise ConfigError(
                f"{named}{key}: '{'.'.join(walked)}' is {inner!r} and has no settings of its own; "
                "set it as a whole"
            )
        place[part] = inner
        place = inner
    place[last] = value
    return raw
