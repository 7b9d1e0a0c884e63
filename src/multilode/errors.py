"""Errors in the input, and the structure of a batch that they belong to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class UserError(ValueError):
    """An error in the input, not in the program; its message says what is wrong and what to do.

    The one kind of error that the command line reports as a single line.
    """


class DataWarning(UserWarning):
    """A warning about input that can be used, but that is probably not what the user meant."""


class StructureError(ValueError):
    """A problem of one structure of a batch.

    Args:
        problem: what is wrong and how to mend it, without the structure's number.
        structure: its number in the batch. Whoever made the batch of a larger one counts it anew
            with `numbered`, and whoever knows the files says which frame it is.
    """

    def __init__(self, problem: str, structure: int) -> None:
        self.problem, self.structure = problem, structure
        super().__init__(problem, structure)

    def __str__(self) -> str:
        return f"structure {self.structure}: {self.problem}"


@contextmanager
def about(structure: int) -> Iterator[None]:
    """Within, whatever cannot be done is the fault of this structure of the batch."""
    try:
        yield
    except StructureError:
        raise
    except ValueError as error:
        raise StructureError(str(error), structure) from error


@contextmanager
def numbered(numbers: Sequence[int]) -> Iterator[None]:
    """Within, structure i of a batch is structure `numbers[i]` of a larger one."""
    try:
        yield
    except StructureError as error:
        error.structure = numbers[error.structure]
        raise
