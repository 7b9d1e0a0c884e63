"""SHA-256 sums of shipped and fetched files, which show any later change."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from multilode.errors import UserError
from multilode.files import write_text

SUMS = "SHA256SUMS"


class ChecksumError(UserError):
    """A file that has changed since its sum was written down; the message is one line."""


def sha256(path: Path) -> str:
    """The SHA-256 sum of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_sums(folder: Path) -> dict[str, str]:
    """The sums of the files in a folder, as `sha256sum` writes them; empty if there are none."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    rows = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {row[1].removeprefix("*"): row[0] for row in rows if len(row) == 2}


def write_sums(folder: Path, paths: Iterable[Path]) -> None:
    """Write down the sums of files below a folder.

    Raises:
        OSError: if the folder cannot be written to.
    """
    rows = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}" for path in sorted(paths)]
    write_text(folder / SUMS, "\n".join(rows) + "\n")


def check_shipped(path: Path, package: str) -> None:
    """Check a file that ships with a package.

    Raises:
        ChecksumError: if it was changed.
    """
    _check(path, path.name, read_sums(path.parent), f"install {package} again")


def check_all(folder: Path) -> None:
    """Check the files in a folder whose sums were written down.

    Raises:
        ChecksumError: if one is missing or was changed.
    """
    sums = read_sums(folder)
    for name in sums:
        _check(folder / name, name, sums, f"remove {folder} and fetch the data again")


def _check(path: Path, name: str, sums: dict[str, str], remedy: str) -> None:
    if name not in sums:
        raise ChecksumError(f"{path}: {SUMS} beside it does not list it; {remedy}")
    if not path.is_file():
        raise ChecksumError(f"{path}: {SUMS} lists it, but it is not there; {remedy}")
    if sha256(path) != sums[name]:
        raise ChecksumError(f"{path}: its SHA-256 sum differs from that in {SUMS}; {remedy}")
