"""Errors in plain data, as one sentence that names the dotted path and the remedy."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal, final

from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
)

from multilode.config.errors import nearest

Kind = Literal["unknown", "missing", "wrong"]
_NOT_SHOWN = object()


class CodecError(ValueError):
    """Plain data that does not fit a class.

    Args:
        path: dotted path of the value.
        problem: the mistake, in the words that follow its path.
        kind: an unknown key, a missing key, or a wrong value.
    """

    def __init__(
        self,
        path: str,
        problem: str = "",
        *,
        kind: Kind = "wrong",
    ) -> None:
        self.path, self.problem = path, problem
        self.kind: Kind = kind
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        if self.kind == "unknown":
            return f"unknown setting '{self.path}'; {self.problem}"
        if self.kind == "missing":
            return f"the setting '{self.path}' is missing; add it"
        if self.problem.startswith("is '"):
            return f"setting '{self.path}' {self.problem}"
        return f"setting '{self.path}': {self.problem}" if self.path else self.problem

    @classmethod
    def below(cls, key: str, error: BaseException) -> "CodecError":
        """The most useful of the problems of an item, its path begun with the key of the item."""
        return first_problem(error, key)


class WrongValueError(ValueError):
    """A value that its annotation does not allow; where it stands is found out further up.

    Args:
        problem: the expected value, as a sentence.
        given: the given value; lists and mappings are not repeated.
    """

    def __init__(self, problem: str, given: object = _NOT_SHOWN) -> None:
        self.problem = problem
        hidden = given is _NOT_SHOWN or isinstance(given, dict | list | tuple)
        super().__init__(problem if hidden else f"{problem}, got {given!r}")


@final
@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Allowed range of an annotated number: `Annotated[float, Bounds(above=0, at_most=100)]`.

    Args:
        above: smaller than the number.
        at_least: smallest number.
        below: larger than the number.
        at_most: largest number.
        items: smallest and largest length of a list, which may be None.
    """

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None
    items: tuple[int, int | None] | None = None

    def check(self, value: Any) -> None:
        """Raise a WrongValueError that says which bound the value breaks."""
        if self.items is not None:
            self._check_length(len(value))
            return
        broken = [
            text
            for fails, text in (
                (self.above is not None and not value > self.above, f"greater than {self.above}"),
                (
                    self.at_least is not None and not value >= self.at_least,
                    f"greater than or equal to {self.at_least}",
                ),
                (self.below is not None and not value < self.below, f"less than {self.below}"),
                (
                    self.at_most is not None and not value <= self.at_most,
                    f"less than or equal to {self.at_most}",
                ),
            )
            if fails
        ]
        if broken:
            raise WrongValueError(f"input should be {broken[0]}", value)

    def _check_length(self, length: int) -> None:
        smallest, largest = self.items or (0, None)
        if smallest <= length and (largest is None or length <= largest):
            return
        n, which = (smallest, "least") if length < smallest else (largest, "most")
        items = "item" if n == 1 else "items"
        raise WrongValueError(f"list should have at {which} {n} {items}, not {length}")


def unknown_key(path: str, known: Collection[str]) -> CodecError:
    """The error for a key that does not exist.

    Args:
        path: dotted path of the key.
        known: the keys that exist there.
    """
    close = nearest(path.rsplit(".", maxsplit=1)[-1], known)
    hint = f"did you mean '{close}'?" if close else f"known are {', '.join(sorted(known))}"
    return CodecError(path, hint, kind="unknown")


def first_problem(error: BaseException, where: str) -> CodecError:
    """The most useful error of a converter: unknown keys first, for they explain the rest.

    Args:
        error: the exception that it raised.
        where: dotted path of the value that it read.
    """
    found = list(_problems(error, where))
    return min(found, key=lambda problem: problem.kind != "unknown")


def _problems(error: BaseException, path: str) -> Iterator[CodecError]:
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            notes = [
                note
                for note in getattr(inner, "__notes__", ())
                if isinstance(note, AttributeValidationNote)
            ]
            yield from _problems(inner, _joined(path, notes[0].name) if notes else path)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = _known_keys(error.cl)
        for key in sorted(map(str, error.extra_fields)):
            yield unknown_key(_joined(path, key), known)
    elif isinstance(error, CodecError):
        yield CodecError(_joined(path, error.path), error.problem, kind=error.kind)
    elif isinstance(error, KeyError):  # the note has named the key already
        yield CodecError(path, kind="missing")
    else:
        yield CodecError(path, str(error) or type(error).__name__)


def _known_keys(cls: Any) -> list[str]:
    return [f.name for f in cls.__dataclass_fields__.values() if f.init]


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path and key else path or key
