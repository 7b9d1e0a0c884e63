"""Where results go: checked before any computation, and complete or not there at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from multilode.errors import UserError


class OutputError(UserError):
    """A place that cannot be written to; the message is one line."""


@contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `folder` when the block ends without an error.

    Raises:
        OutputError: at once if the folder cannot be made or written to, or later if the files
            cannot be written.
    """
    made = _missing(folder)
    staging: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=folder, prefix=".unfinished-"))
        yield staging
        for file in sorted(staging.iterdir()):
            file.replace(folder / file.name)
    except OSError as error:
        raise _refusal(folder, error) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        for parent in made:  # what was made for nothing; folders that hold something stay
            with suppress(OSError):
                parent.rmdir()


@contextmanager
def output_file(path: Path) -> Iterator[None]:
    """Check that a file can be written before the block; the block writes it in one step.

    Raises:
        OutputError: at once if the place cannot be written to, or later if writing fails.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        if path.exists() and not path.is_file():
            raise OSError("it is not a regular file")
        tempfile.TemporaryFile(dir=path.parent).close()
        yield
    except OSError as error:
        raise _refusal(path, error) from error


def _missing(folder: Path) -> list[Path]:
    """The folders that have to be made, the innermost first."""
    return [part for part in (folder, *folder.parents) if not part.exists()]


def _refusal(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"cannot write to '{path}' ({reason}); choose another place with -o")
