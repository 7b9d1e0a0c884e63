"""Keys and values of the comment line of an extended XYZ frame, as text and back.

Numbers, flags and lists of these are written as they are; whatever is none of these is JSON after
the word `_JSON`, as ASE has it, so that quotes, line breaks and empty texts survive.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

JSON = "_JSON "
_CLOSING = {'"': '"', "'": "'", "{": "}", "[": "]"}
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_REAL = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII
)
_FLAGS = {f"{dot}{word}{dot}": word == "true" for word in ("true", "false") for dot in ("", ".")}
_SPACE = re.compile(r"\s*")
_BARE_KEY = re.compile(r"[^\s=]+")
_BARE_VALUE = re.compile(r"\S+")
_ASSIGNED = re.compile(r"\s*=")
_NEXT_KEY = re.compile(r"\s+(\"[^\"]*\"|[^\s=\"'{\[]+)\s*=")
_NUMBER_AFTER_COLON = re.compile(r"(\S+?):\s+(\S+)(?=\s|$)")
_PLAIN_KEY = re.compile(r"[^\s=\"'{}\[\],\\:#]+")
_BEYOND = 2**63  # whole numbers from here on are read as real ones


def pairs(comment: str) -> Iterator[tuple[str, str | None]]:
    """Keys of a comment line with the text of their values, in order.

    Args:
        comment: such as `Lattice="9 0 0 0 9 0 0 0 9" name='a b' energy = -1.5, converged`.

    Yields:
        Key and text; None for a word without a value.

    Raises:
        ValueError: if a quote or bracket is not closed.
    """
    line, at = comment.strip(), 0
    if "=" not in line:
        line = _NUMBER_AFTER_COLON.sub(_assigned_number, line)
    while at < len(line):
        key, at = _key(line, at)
        assigned = _ASSIGNED.match(line, at)
        if assigned is None:
            yield key, None
        elif assigned.end() == len(line) or _NEXT_KEY.match(line, assigned.end()):
            at = assigned.end()
            yield key, ""
        else:
            text, at = _value(key, line, _after_space(line, assigned.end()))
            yield key, text
        at = _after_space(line, at)


def parsed(text: str) -> Any:
    """What a text stands for: a number, a flag, an array of these, JSON, or the text itself.

    Args:
        text: of a value, without its quotes.
    """
    if text.startswith(JSON):
        try:
            return plain(json.loads(text[len(JSON) :], object_hook=_complex))
        except (ValueError, TypeError, RecursionError):
            return text
    if text.startswith("["):  # rows of an array
        try:
            return np.array(json.loads(f"[{text}]"))
        except (ValueError, RecursionError):
            return text
    parts = text.replace(",", " ").split()
    found = None if not parts else numbers(parts)
    if found is None:
        flags = [flag(part) for part in parts]
        found = None if not flags or None in flags else np.array(flags)
    if found is None:
        return text
    return found[0].item() if len(found) == 1 else found


def numbers(parts: Sequence[str]) -> np.ndarray | None:
    """Whole or real numbers, if all the texts are numbers; Fortran's exponents D are read too."""
    if all(_INTEGER.fullmatch(part) for part in parts):
        whole = [int(part) for part in parts]
        kind = np.int64 if all(-_BEYOND <= n < _BEYOND for n in whole) else np.float64
        return np.array(whole, dtype=kind)
    return real_numbers(parts)


def real_numbers(parts: Sequence[str]) -> np.ndarray | None:
    """The numbers that texts are, or None if one of them is no number."""
    if not all(_REAL.fullmatch(part) for part in parts):
        return None
    return np.array([float(part.lower().replace("d", "e")) for part in parts], dtype=np.float64)


def flag(text: str) -> bool | None:
    """The truth value of T, F, true, false and the like, or None."""
    return {"T": True, "F": False}.get(text, _FLAGS.get(text.lower()))


def is_plain_key(key: str) -> bool:
    """Whether every reader takes a text for a key."""
    return _PLAIN_KEY.fullmatch(key) is not None


def written(value: Any) -> str:
    """The text of a value, such that `parsed` gives the value back.

    Raises:
        TypeError: if it is none of texts, numbers, arrays, and lists and mappings of these.
    """
    simple = _simple(value)
    if simple is not None:
        return simple
    return _quoted(JSON + as_json(value))


def as_json(value: Any) -> str:
    """JSON of a value; complex numbers are mappings with `__complex__`.

    Raises:
        TypeError: for other objects.
    """
    return json.dumps(value, default=_jsonable)


def plain(value: Any) -> Any:
    """A list of numbers as an array, anything else as it is."""
    if not isinstance(value, list):
        return value
    try:
        array = np.array(value)
    except ValueError:  # a ragged list
        return value
    return array if array.dtype.kind in "iufbc" else value


def _simple(value: Any) -> str | None:
    """Without JSON: flags, numbers, rows of these, and texts that are read as texts."""
    if isinstance(value, str):
        if not value.isprintable() or set(value) & set('"\\[') or value != value.strip():
            return None
        if not value or not isinstance(parsed(value), str):  # a text that looks like a number
            return None
        return value if is_plain_key(value) else _quoted(value)
    array = np.asarray(value) if isinstance(value, int | float | np.generic | np.ndarray) else None
    if array is None or array.dtype.kind not in "iufb" or array.ndim > 1:
        return None
    if array.ndim == 1 and len(array) < 2:
        return None
    text = " ".join(shown(x) for x in np.atleast_1d(array).tolist())
    return f'"{text}"' if array.ndim else text


def shown(value: Any) -> str:
    """A number with all its digits, a flag as T or F, a text as it is."""
    if isinstance(value, bool):
        return "T" if value else "F"
    return value if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, complex):
        return {"__complex__": [value.real, value.imag]}
    raise TypeError(f"{type(value).__name__} cannot be written")


def _complex(found: dict[str, Any]) -> Any:
    return complex(*found["__complex__"]) if found.keys() == {"__complex__"} else found


def _assigned_number(found: re.Match[str]) -> str:
    """`energy: -5.07`, as some programs write it, is `energy=-5.07`."""
    key, text = found.groups()
    return found.group() if _REAL.fullmatch(text) is None else f"{key}={text}"


def _after_space(line: str, at: int) -> int:
    found = _SPACE.match(line, at)
    return at if found is None else found.end()


def _key(line: str, at: int) -> tuple[str, int]:
    if line[at] in "\"'":
        try:
            return _delimited(line, at)
        except ValueError:  # an apostrophe of a title
            pass
    found = _BARE_KEY.match(line, at)
    return ("", at) if found is None else (found.group(), found.end())


def _value(key: str, line: str, at: int) -> tuple[str, int]:
    if line[at] in _CLOSING:
        try:
            return _delimited(line, at)
        except ValueError:
            problem = f"the value of '{key}' begins with {line[at]} and does not end"
            raise ValueError(problem) from None
    found = _BARE_VALUE.match(line, at)
    text, end = (line[at:], len(line)) if found is None else (found.group(), found.end())
    cut = text.rstrip(",")  # `time = 0.5, E = -17.2`
    return (cut if _REAL.fullmatch(cut) else text), end


def _delimited(line: str, start: int) -> tuple[str, int]:
    """The text between quotes or brackets, and where the line goes on."""
    opening, closing = line[start], _CLOSING[line[start]]
    text, depth, at = [], 1, start + 1
    while at < len(line):
        char = line[at]
        if char == "\\" and line[at + 1 : at + 2] in ("\\", "'", closing):
            char, at = line[at + 1], at + 1
        elif char == closing:
            depth -= 1
        elif char == opening:
            depth += 1
        if depth == 0:
            return "".join(text), at + 1
        text.append(char)
        at += 1
    raise ValueError("not closed")
