"""Results move into their folder together: the old ones are there, or the new ones."""

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from multilode.files import FINISHED, UNFINISHED

_AT_FDCWD, _EXCHANGE = -100, 2  # of the system call renameat2


def publish(staging: Path, folder: Path, results: Collection[str] = ()) -> None:
    """Put the files of a complete staging folder in the place of those of the same name.

    Where the system can exchange two folders, that is one step: the staging folder is given all
    else that is in the folder, and takes its place. Elsewhere, or where something is in the folder
    that has no second name, the staging folder is first renamed as finished, and its files are
    moved one by one; `finish_others` completes what was ended in between.

    Args:
        staging: within `folder`; an empty one changes nothing.
        folder: of the results.
        results: names of files that are not kept if staging has none.

    Raises:
        OSError: if a file cannot be moved.
    """
    if not any(staging.iterdir()):
        return
    if not _exchanged(staging, folder, results):
        for name in results:  # before anything is new
            if not (staging / name).exists():
                (folder / name).unlink(missing_ok=True)
        finished = staging.rename(folder / _finished_name(staging))
        _move(finished, folder)


def finish_others(folder: Path) -> None:
    """Complete the moves of a process that was ended between them.

    Raises:
        OSError: if a file cannot be moved.
    """
    for finished in folder.glob(f"{FINISHED}*"):
        _move(finished, folder)


def _finished_name(staging: Path) -> str:
    return FINISHED + staging.name.removeprefix(UNFINISHED)


def _move(finished: Path, folder: Path) -> None:
    for file in sorted(finished.iterdir()):
        file.replace(folder / file.name)
    finished.rmdir()


def _exchanged(staging: Path, folder: Path, results: Collection[str]) -> bool:
    """Whether the folder has become what staging and folder hold together, in one step."""
    here = Path.cwd()
    place = folder.resolve()
    if place == here or place in here.parents or os.path.ismount(place):
        return False
    beside = place.with_name(staging.name)
    try:
        staging.rename(beside)
    except OSError:  # a parent that nobody may write to
        return False
    try:
        _link_others(place, beside, results)
        beside.chmod(place.stat().st_mode & 0o7777)
        _exchange(beside, place)
    except OSError:
        beside.rename(staging)
        return False
    shutil.rmtree(beside, ignore_errors=True)  # what was replaced; the rest has another name
    return True


def _link_others(folder: Path, staging: Path, results: Collection[str]) -> None:
    """Second names in staging for all files of the folder that are not replaced.

    Raises:
        OSError: if something has no second name, such as a folder.
    """
    new = {file.name for file in staging.iterdir()} | set(results)
    made = []
    try:
        for file in folder.iterdir():
            if file.name in new:
                continue
            if file.is_dir() and not file.is_symlink():
                raise OSError(errno.EISDIR, "a folder has one name", str(file))
            os.link(file, staging / file.name, follow_symlinks=False)
            made.append(staging / file.name)
    except OSError:
        for file in made:
            with suppress(OSError):
                file.unlink()
        raise


def _exchange(one: Path, other: Path) -> None:
    """Each takes the name of the other, at once.

    Raises:
        OSError: if the system or the file system cannot.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if not sys.platform.startswith("linux") or call is None:
        raise OSError(errno.ENOSYS, "folders cannot be exchanged")
    names = (os.fsencode(one), os.fsencode(other))
    if call(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))
