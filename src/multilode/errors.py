"""Errors in the input, and the structure of a batch that they belong to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_MOST_CHARACTERS = 600  # of a message


def one_line(text: str) -> str:
    """A text in one line of a terminal: without control characters, and not endlessly long."""
    shown = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)
    words = " ".join(shown.split())
    if len(words) <= _MOST_CHARACTERS:
        return words
    return f"{words[:400]} ... {words[-190:]}"  # what is wrong, and the remedy at the end


class UserError(ValueError):
    """An error in the input, not in the program; its message says what is wrong and what to do.

    The one kind of error that the command line reports as a single line, whatever words of a
    file or of a library are in it.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class DataWarning(UserWarning):
    """A warning about input that can be used, but that is probably not what the user meant."""


class StructureError(ValueError):
    """A problem of one structure of a batch.

    Args:
        problem: the mistake and its remedy, without the structure's number.
        structure: its number in the batch. Whoever made the batch of a larger one counts it anew
            with `renumber_errors`, and whoever knows the files says which frame it is.
    """

    def __init__(self, problem: str, structure: int) -> None:
        self.problem, self.structure = problem, structure
        super().__init__(problem, structure)

    def __str__(self) -> str:
        return f"structure {self.structure}: {self.problem}"


@contextmanager
def blame_structure(structure: int) -> Iterator[None]:
    """Attribute any ValueError raised within to this structure of the batch."""
    try:
        yield
    except StructureError:
        raise
    except ValueError as error:
        raise StructureError(str(error), structure) from error


@contextmanager
def renumber_errors(numbers: Sequence[int]) -> Iterator[None]:
    """Translate structure i in errors raised within to structure `numbers[i]` of a larger batch."""
    try:
        yield
    except StructureError as error:
        error.structure = numbers[error.structure]
        raise
