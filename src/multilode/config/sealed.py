"""A checksum over every byte of a model file, header and tensors alike, inside of the file."""

import hashlib
from pathlib import Path

_DIGITS = 64  # of SHA-256
_EMPTY = "0" * _DIGITS
CHECKSUM = {"checksum": _EMPTY}  # the first entry of the metadata of a file before it is sealed
# the length of the header is 8 bytes; the metadata begin at once, as text within JSON
_START = rb'{"__metadata__":{"multilode":"{\"checksum\": \"'
_PLACE = 8 + len(_START)
_CHUNK = 1 << 20


def seal(path: Path) -> None:
    """Write the checksum of a file into it, in the place that is kept for it.

    Raises:
        ValueError: if the file has no such place.
    """
    if not is_sealed(path):
        raise ValueError(f"{path} has no place for a checksum")
    digest = _digest(path)
    with path.open("r+b") as file:
        file.seek(_PLACE)
        file.write(digest.encode("ascii"))


def is_sealed(path: Path) -> bool:
    """Whether a file has a checksum, right or not."""
    with path.open("rb") as file:
        return file.read(_PLACE)[8:] == _START


def is_whole(path: Path) -> bool:
    """Whether a file that has a checksum is as it was written, to the last bit."""
    with path.open("rb") as file:
        file.seek(_PLACE)
        written = file.read(_DIGITS)
    return written == _digest(path).encode("ascii")


def _digest(path: Path) -> str:
    """SHA-256 of a file whose own checksum is zero."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        found.update(file.read(_PLACE))
        file.read(_DIGITS)
        found.update(_EMPTY.encode("ascii"))
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
