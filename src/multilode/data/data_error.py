"""Errors of input data, which name file, frame, key and remedy."""

from typing import NamedTuple

from multilode.errors import UserError, one_line


class Origin(NamedTuple):
    """Origin of a structure: file, and frame counted from 0."""

    file: str
    frame: int

    def __str__(self) -> str:
        return f"{self.file}, frame {self.frame}"


class DataError(UserError):
    """Input data that cannot be used; the message is one line.

    Args:
        problem: the mistake.
        remedy: advice to the user; empty if the problem says so.
        file: the file at fault.
        frame: its frame, counted from 0.
        key: the property at fault.
    """

    def __init__(
        self,
        problem: str,
        *,
        remedy: str,
        file: str | None = None,
        frame: int | None = None,
        key: str | None = None,
    ) -> None:
        self.problem, self.remedy = problem, remedy
        self.file, self.frame, self.key = file, frame, key
        place = [str(file)] if file is not None else []
        place += [f"frame {frame}"] if frame is not None else []
        place += [f"key '{key}'"] if key is not None else []
        prefix = f"{', '.join(place)}: " if place else ""
        said = f"{problem}; {remedy}" if remedy else problem
        super().__init__(one_line(f"{prefix}{said}"))

    def at(self, origin: Origin) -> "DataError":
        """The same, of a structure that this one does not name."""
        return DataError(
            self.problem, remedy=self.remedy, file=origin.file, frame=origin.frame, key=self.key
        )
