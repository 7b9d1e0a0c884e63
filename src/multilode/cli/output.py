"""Files for results: checked before any computation, and written completely or not at all."""

import errno
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from multilode.cli.interrupt import temporary
from multilode.cli.publish import finish_others, publish
from multilode.errors import UserError
from multilode.files import folder_for_results, remove_unfinished, unfinished_prefix

_TRIALS = 20  # of beginning in a folder that another process removes
LOG, TUNE_LOG = "train.log", "tune.log"
# Files of a finished run, of whichever command
RESULTS = (
    "config.yaml",
    "metrics.json",
    "model.safetensors",
    "report.html",
    "timings.json",
    "test_predictions.xyz",
    "learning_curve.json",
    "learning_curve.png",
    "tune.json",
    "trials.csv",
    "best.yaml",
)


class OutputError(UserError):
    """A place that cannot be written to; the message is one line."""


@contextmanager
def output_folder(folder: Path, results: Collection[str] = ()) -> Iterator[Path]:
    """A temporary folder whose files replace those of `folder` together, if the block ends well.

    What earlier processes left there unfinished is completed or removed first. No two processes
    write to a folder at once.

    Args:
        folder: of the results.
        results: names of files that are the block's: older ones that it does not write again are
            removed with the rest.

    Raises:
        OutputError: at once if the folder cannot be made or written to, or another process writes
            to it, or later if the files cannot be written.
    """
    try:
        with ExitStack() as stack:
            staging = _begun(folder, stack)
            yield staging
            publish(staging, folder, results)
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
    with output_folder(folder, RESULTS) as staging:
        yield staging


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
        place = Path(os.path.realpath(path)).parent  # a link stays one: its file is written
        remove_unfinished(place)
        tempfile.TemporaryFile(dir=place).close()
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


def _begun(folder: Path, stack: ExitStack) -> Path:
    """A temporary folder in the folder of the results, for as long as the stack is open.

    Another process that made the folder and was refused removes it while it is empty, be it under
    our hands: then it is made once more.
    """
    for left in reversed(range(_TRIALS)):
        with ExitStack() as own:
            try:
                own.enter_context(folder_for_results(folder))
                place = own.enter_context(_alone(folder))
                staging = own.enter_context(_staging(folder))
                same = place is None or os.path.samestat(place, folder.stat())
            except FileNotFoundError:
                if not left:
                    raise
                continue
            if same:
                stack.enter_context(own.pop_all())
                return staging
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


@contextmanager
def _alone(folder: Path) -> Iterator[os.stat_result | None]:
    """A block in which no other process may write its results to the folder."""
    with _locked(folder) as place:
        finish_others(folder)
        for place_of_others in (folder, folder.resolve().parent):
            remove_unfinished(place_of_others)
        yield place


@contextmanager
def _locked(folder: Path) -> Iterator[os.stat_result | None]:
    """Where systems and file systems have locks: Windows has none of folders."""
    if find_spec("fcntl") is None:
        yield None
        return
    import fcntl

    place = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"another command writes its results to '{folder}' just now; wait for its end, "
                    "or choose another place with -o"
                ) from None
        yield os.fstat(place)
    finally:
        os.close(place)


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    staging = Path(tempfile.mkdtemp(dir=folder, prefix=unfinished_prefix()))
    with temporary(staging):
        yield staging


def _refusal(path: Path, error: OSError) -> UserError:
    """The one line for an error of writing; one of another file names that."""
    reason = error.strerror or str(error)
    name = error.filename
    if isinstance(name, str) and error.errno in (errno.ENOENT, errno.EACCES, errno.EISDIR):
        place, other = path.resolve(), Path(name).resolve()
        if place.parent not in (other.parent, *other.parents):
            return UserError(f"{name}: cannot be used ({reason}); check the path")
    return OutputError(f"cannot write to '{path}' ({reason}); choose another place with -o")
