"""Atomic writing of files: complete or not at all."""

import errno
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNFINISHED, FINISHED = ".unfinished-", ".finished-"  # names of what is not in its place yet
_HOST = re.sub(r"[^A-Za-z0-9]", "", platform.node())[:32]


def unfinished_prefix() -> str:
    """The first part of a temporary name, which says whose it is: `.unfinished-HOST-PID-`."""
    return f"{UNFINISHED}{_HOST}-{os.getpid()}-"


def remove_unfinished(folder: Path) -> None:
    """Remove what processes of this machine left behind that did not end by themselves.

    Args:
        folder: that they wrote to; what living processes and other machines write stays.
    """
    for path in folder.glob(f"{UNFINISHED}{_HOST}-*"):
        owner = path.name.removeprefix(f"{UNFINISHED}{_HOST}-").partition("-")[0]
        if not owner.isdecimal() or _is_alive(int(owner)):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # that of another user
        return True
    return True


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error.

    The last suffixes stay the same, so that writers that look at them choose the same format. An
    exception, `KeyboardInterrupt` included, removes the temporary file and leaves `path` as it was.
    A symbolic link stays one: the file that it leads to is replaced, or made.

    Args:
        path: the file to write.

    Raises:
        OSError: if the folder does not exist or cannot be written to, or `path` is a folder or a
            device, or a link that leads to itself.
    """
    target = _behind_links(Path(path))
    if target.exists() and not target.is_file():  # a device such as /dev/null must stay one
        raise OSError(errno.EINVAL, "it is not a regular file", str(target))
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=unfinished_prefix(), suffix="".join(Path(path).suffixes[-2:])
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)  # mkstemp hides the file from others; give it the usual permissions
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(target)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _behind_links(path: Path) -> Path:
    """The file that a symbolic link leads to, or the path itself."""
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


@contextmanager
def folder_for_results(folder: Path) -> Iterator[None]:
    """Make a folder and its parents for a block; what is new and still empty then is removed.

    Args:
        folder: folder that the block writes to; it may be there already.

    Raises:
        OSError: if the folder cannot be made.
    """
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for part in missing:  # the innermost first; those that hold something stay
            with suppress(OSError):
                part.rmdir()


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text to a file atomically.

    Args:
        path: the file to write.
        text: its contents.

    Raises:
        OSError: if the folder does not exist or cannot be written to.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, contents: object) -> None:
    """Write JSON to a file atomically.

    Args:
        path: the file to write.
        contents: in types that JSON knows; numbers must be finite.

    Raises:
        OSError: if the folder does not exist or cannot be written to.
    """
    write_text(path, json.dumps(contents, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
