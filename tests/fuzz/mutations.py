"""Small random damage: to bytes, to words of a command line, to nested plain data."""

import contextlib
import copy
import random
import re
from collections.abc import Sequence
from typing import Any

_NUMBER = re.compile(rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_NUMBERS = [b"0", b"-1", b"1e308", b"-1e308", b"1e-320", b"nan", b"inf", b"-inf", b"9" * 20]
_NUMBERS += [b"2147483648", b"9223372036854775808", b"1e5", b"-0.0", b"0x10", b"1_0", b"1e999"]
_NUMBERS += [b"118", b"119", b"1d5", b"***", b"9" * 400, b"3.0", b"-2", b"1000000", b"99999999999"]
_SIGNS = [
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\t",
    b'"',
    b"'",
    b"\\",
    b"=",
]
_SIGNS += [
    b":",
    b"{",
    b"}",
    b"[",
    b"]",
    b"#",
    b"%",
    b"&a ",
    b"*a ",
    b"!!int ",
    b"!",
    b"|",
    b">",
    b",",
]
_SIGNS += [
    b"\x1b[2J",
    "\u2028".encode(),
    "\u202e".encode(),
    b"\xed\xa0\x80",
    b"\x85",
    b"<<: ",
    b"~",
]
_SIGNS += [b"[" * 3000, b"A" * 5000, b" " * 2000, b"\\ud800", b"_JSON ", b"null", b"true", b"- "]


def mutated(data: bytes, rng: random.Random, words: Sequence[bytes], other: bytes) -> bytes:
    """Bytes with one to six changes.

    Args:
        data: what is changed.
        rng: decides on everything.
        words: that mean something in such a file.
        other: another file, from which pieces come.
    """
    changes = [_bit, _byte, _cut, _repeat, _word, _number, _number, _line, _line, _piece, _end]
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = rng.choice(changes)(data, rng, words, other)
    return data


def _place(data: bytes, rng: random.Random) -> int:
    return rng.randrange(len(data) + 1)


def _bit(data: bytes, rng: random.Random, *_: Any) -> bytes:
    if not data:
        return b"\x00"
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _byte(data: bytes, rng: random.Random, *_: Any) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.randbytes(rng.randint(1, 4)) + data[at + rng.randint(0, 4) :]


def _cut(data: bytes, rng: random.Random, *_: Any) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + rng.choice((1, 2, 5, 20, 100)) :]


def _repeat(data: bytes, rng: random.Random, *_: Any) -> bytes:
    at = _place(data, rng)
    piece = data[at : at + rng.choice((1, 3, 10, 60))]
    return data[:at] + piece * rng.choice((2, 2, 3, 50)) + data[at + len(piece) :]


def _word(data: bytes, rng: random.Random, words: Sequence[bytes], _: bytes) -> bytes:
    at = _place(data, rng)
    new = rng.choice(rng.choice((words, words, _SIGNS, _NUMBERS)))
    return data[:at] + new + data[at + rng.choice((0, 0, len(new))) :]


def _number(data: bytes, rng: random.Random, *_: Any) -> bytes:
    found = list(_NUMBER.finditer(data[:20_000]))
    if not found:
        return data
    one = rng.choice(found)
    return data[: one.start()] + rng.choice(_NUMBERS) + data[one.end() :]


def _line(data: bytes, rng: random.Random, *_: Any) -> bytes:
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(to, lines[at])
    elif kind == 2:
        lines[at], lines[to] = lines[to], lines[at]
    else:
        words = lines[at].split(b" ")
        rng.shuffle(words)
        lines[at] = b" ".join(words)
    return b"".join(lines)


def _piece(data: bytes, rng: random.Random, _: Sequence[bytes], other: bytes) -> bytes:
    at, start = _place(data, rng), _place(other, rng)
    piece = other[start : start + rng.choice((5, 40, 400))]
    return data[:at] + piece + data[at + rng.choice((0, len(piece))) :]


def _end(data: bytes, rng: random.Random, *_: Any) -> bytes:
    return data[: _place(data, rng)]


_VALUES: list[Any] = [None, True, False, 0, -1, 1, 2, 1.5, -0.5, 1e-300, 1e300, 1e5, 10**6, 2**62]
_VALUES += [
    2**64,
    10**400,
    "",
    "x",
    "\x1b[2J",
    "a\nb",
    "\ud800",
    "9" * 300,
    [],
    {},
    [[]],
    [0],
    [1, 2],
]
_VALUES += ["rho", "V", "all", "auto", float("nan"), float("inf"), {"kind": "x"}, ["rho", "V"], 119]


def mutated_plain(plain: Any, rng: random.Random, values: Sequence[Any] = ()) -> Any:
    """Nested lists and mappings with one to three changes.

    Args:
        plain: what is changed, in a copy.
        rng: decides on everything.
        values: that mean something there, beside those that mean something nowhere.
    """
    plain = copy.deepcopy(plain)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(plain))
        if not places:
            return rng.choice(_VALUES)
        parent, key = rng.choice(places)
        _change(parent, key, rng, values or _VALUES, places)
    return plain


def _places(plain: Any) -> Any:
    """Every value within, as the list or mapping that holds it, and its key there."""
    items = plain.items() if isinstance(plain, dict) else ()
    items = enumerate(plain) if isinstance(plain, list) else items
    for key, value in list(items):
        yield plain, key
        yield from _places(value)


def _change(parent: Any, key: Any, rng: random.Random, values: Sequence[Any], places: Any) -> None:
    kind = rng.randrange(8)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(rng.choice(parent)))
    elif kind == 1:
        parent[rng.choice(("x", str(key) + "s", "", "kind", "\x1b"))] = parent.pop(key)
    elif kind == 2:
        other, name = rng.choice(places)
        if isinstance(other, dict) and name not in other:
            return
        if isinstance(other, list) and name >= len(other):
            return
        parent[key] = copy.deepcopy(other[name])
    elif kind == 3 and isinstance(parent[key], int | float):
        factor = rng.choice((-1, 0.1, 2, 10, 1000, 0))
        with contextlib.suppress(OverflowError):  # a tenth of a number of hundreds of digits
            parent[key] = parent[key] * factor
    elif kind == 4:
        parent[key] = [copy.deepcopy(parent[key])] * rng.choice((1, 2, 5))
    else:
        parent[key] = copy.deepcopy(rng.choice(rng.choice((values, _VALUES))))
