"""Files for results: checked before any computation, and written completely or not at all."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from multilode.cli.interrupt import temporary
from multilode.errors import UserError
from multilode.files import folder_for_results

LOG = "train.log"
# Files of a finished run, of whichever command
RESULTS = (
    "config.yaml",
    "metrics.json",
    "model.safetensors",
    "report.html",
    "test_predictions.xyz",
    "learning_curve.json",
    "learning_curve.png",
)


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
def run_folder(folder: Path, *, inputs: Iterable[Path], overwrite: bool) -> Iterator[Path]:
    """The same for the results of a run, which take the place of all those of an earlier one.

    Args:
        folder: folder for the results.
        inputs: files that the run reads, which it never overwrites.
        overwrite: whether the results of an earlier run may go.

    Raises:
        OutputError: at once if the folder holds the results of an earlier run that may not go, or
            an input that would be overwritten, or as for `output_folder`.
    """
    earlier = [name for name in RESULTS if (folder / name).is_file()]
    for name in RESULTS:
        _check_no_input(folder / name, inputs)
    if earlier and not overwrite:
        raise OutputError(
            f"'{folder}' holds the results of an earlier run ({', '.join(earlier[:3])}); choose "
            "another folder with -o, or replace them with --overwrite"
        )
    with output_folder(folder) as staging:
        yield staging
        made = {file.name for file in staging.iterdir()}
        for name in {*earlier} - made:
            (folder / name).unlink()


@contextmanager
def output_file(path: Path, *, inputs: Iterable[Path] = ()) -> Iterator[None]:
    """Check that a file can be written before the block, which writes it atomically.

    Args:
        path: the file.
        inputs: files that are read, which are never overwritten.

    Raises:
        OutputError: at once if the place cannot be written to or is an input, or later if writing
            fails.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        if path.exists() and not path.is_file():
            raise OSError("it is not a regular file")
        _check_no_input(path, inputs)
        tempfile.TemporaryFile(dir=path.parent).close()
        yield
    except OSError as error:
        raise _refusal(path, error) from error


def _check_no_input(path: Path, inputs: Iterable[Path]) -> None:
    """Refuse to overwrite what is read, by whatever name."""
    for given in inputs:
        if path.exists() and given.exists() and path.samefile(given):
            raise OutputError(
                f"'{path}' would overwrite the input '{given}'; choose another place with -o"
            )


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    staging = Path(tempfile.mkdtemp(dir=folder, prefix=".unfinished-"))
    with temporary(staging):
        yield staging


def _refusal(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"cannot write to '{path}' ({reason}); choose another place with -o")
