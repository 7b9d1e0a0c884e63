"""From what pydantic and YAML report to one line that names the key and the remedy."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from multilode.errors import UserError

# What other programs call the same setting.
_OTHER_NAMES = {
    "sigma": "smearing",
    "width": "smearing",
    "gaussian_width": "smearing",
    "l_max": "max_angular",
    "lmax": "max_angular",
    "n_max": "n_radial",
    "nmax": "n_radial",
    "max_radial": "n_radial",
    "r_cut": "cutoff",
    "rcut": "cutoff",
    "radius": "cutoff",
    "members": "n_members",
    "p": "exponent",
    "potential_exponent": "exponent",
    "alpha": "regularization",
    "lambda": "regularization",
    "regulariser": "regularization",
    "property": "key",
    "name": "kind",
    "type": "kind",
}


class ConfigError(UserError):
    """A configuration that cannot be used; the message is one line."""


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that was probably meant, if there is one.

    Args:
        word: what was written.
        allowed: what may be written.
    """
    names = list(allowed)
    candidates = {other: name for other, name in _OTHER_NAMES.items() if name in names}
    candidates |= {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), list(candidates), n=1, cutoff=0.6)
    return candidates[close[0]] if close else None


def check_keys(given: Iterable[object], allowed: Sequence[str]) -> None:
    """Refuse a setting that does not exist, for use inside of a pydantic validator.

    Args:
        given: the keys that the user wrote.
        allowed: the keys that exist.

    Raises:
        PydanticCustomError: for the first key that does not exist.
    """
    for key in given:
        if key not in allowed:
            close = nearest(str(key), allowed)
            raise PydanticCustomError(
                "unknown_setting",
                "{hint}",
                {
                    "key": str(key),
                    "hint": f"did you mean '{close}'?"
                    if close
                    else f"known are {', '.join(sorted(allowed))}",
                },
            )


def first_problem(error: ValidationError, raw: object) -> str:
    """The most useful of pydantic's errors as one line.

    Args:
        error: what pydantic raised.
        raw: the data that it was given, to find out which parts of its paths are keys.
    """
    problems = error.errors(include_url=False)
    ranked = sorted(problems, key=lambda p: p["type"] != "unknown_setting")
    problem = ranked[0]
    path = _dotted(problem["loc"], raw)
    if problem["type"] == "unknown_setting":
        key = problem["ctx"]["key"]
        return f"unknown setting '{f'{path}.{key}' if path else key}'; {problem['msg']}"
    if problem["type"] == "missing":
        return f"the setting '{path}' is missing; add it"
    if problem["type"] == "union_tag_not_found":
        return f"the setting '{path}.kind' is missing; add it"
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        close = nearest(str(context["tag"]), context["expected_tags"].replace("'", "").split(", "))
        hint = f"; did you mean '{close}'?" if close else ""
        kinds = context["expected_tags"]
        return f"setting '{path}.kind' is '{context['tag']}'; allowed are {kinds}{hint}"
    same_place = [p for p in problems if _dotted(p["loc"], raw) == path]
    said = " or ".join(dict.fromkeys(_lowered(p["msg"]) for p in same_place))
    given = problem["input"]
    shown = "" if isinstance(given, dict | list) else f", got {given!r}"
    return f"setting '{path}': {said}{shown}" if path else said


def _dotted(location: Sequence[int | str], raw: Any) -> str:
    """The keys of a location; names of types and kinds that pydantic inserts are left out."""
    parts: list[str] = []
    for step, item in enumerate(location):
        last = step == len(location) - 1
        if isinstance(raw, dict):
            if item not in raw and not last:
                continue
            if item not in raw and item == raw.get("kind"):
                continue
            parts.append(str(item))
            raw = raw.get(item)
        elif isinstance(raw, list) and isinstance(item, int) and item < len(raw):
            parts.append(str(item))
            raw = raw[item]
    return ".".join(parts)


def _lowered(message: str) -> str:
    message = message.removeprefix("Value error, ")
    for theirs, ours in (("a valid array", "a list"), ("an object", "a mapping of settings")):
        message = message.replace(theirs, ours)
    return message[:1].lower() + message[1:]
