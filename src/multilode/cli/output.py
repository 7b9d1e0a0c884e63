"""Files for results: checked before any computation, and written completely or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from multilode.cli.interrupt import temporary
from multilode.errors import UserError
from multilode.files import folder_for_results


class OutputError(UserError):
    """A place that cannot be written to; the message is one line."""


@contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `folder` when the block ends without an error.

    Raises:
        OutputError: at once if the folder cannot be made or written to, or later if the files
            cannot be written.
    """
    try:
        with folder_for_results(folder), _staging(folder) as staging:
            yield staging
            for file in sorted(staging.iterdir()):
                file.replace(folder / file.name)
    except OSError as error:
        raise _refusal(folder, error) from error


@contextmanager
def output_file(path: Path) -> Iterator[None]:
    """Check that a file can be written before the block, which writes it atomically.

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


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    staging = Path(tempfile.mkdtemp(dir=folder, prefix=".unfinished-"))
    with temporary(staging):
        yield staging


def _refusal(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"cannot write to '{path}' ({reason}); choose another place with -o")
