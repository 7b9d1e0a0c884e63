"""The frames of an XYZ file as text, each known to be complete, before they are parsed.

ASE stops at the first empty line, reports a broken frame without its number, and jumps back and
forth in a compressed file, which takes minutes; this scan reads it once.
"""

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from multilode.data.dataset import DataError

_COUNT = re.compile(r"\+?\d{1,18}", re.ASCII)
_SPACES = " \t\n\r\f\v"  # what int() strips: str.strip() takes separator signs too
COMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def frame_texts(path: Path) -> list[str]:
    """The frames of an XYZ file, each of which has all its lines and columns.

    Args:
        path: the file, compressed if its name ends in `.gz`, `.bz2` or `.xz`.

    Raises:
        DataError: naming the frame that is truncated or malformed.
    """
    frames: list[str] = []
    lines = _lines(path)
    for header in lines:
        if not header.strip():
            _require_blank(lines, path, len(frames))
            break
        if frames and header.lstrip().startswith("VEC"):  # lattice vectors after the atoms
            frames[-1] += header
            continue
        frames.append("".join(_frame(header, lines, path, len(frames))))
    if not frames:
        raise DataError("holds no structure", remedy="write it again", file=str(path))
    return frames


def _frame(header: str, lines: Iterator[str], path: Path, frame: int) -> list[str]:
    n_atoms = _count(header, path, frame)
    comment = next(lines, None)
    n_columns = None
    rows = []
    for atom in range(n_atoms):
        rows.append(next(lines, ""))
        columns = len(rows[-1].split())
        if comment is None or columns == 0:
            raise DataError(
                f"the file ends or has an empty line after {atom} of {n_atoms} atoms",
                remedy="it is truncated: write or download it again, or remove the last frame",
                file=str(path),
                frame=frame,
            )
        n_columns = n_columns or columns
        if columns != n_columns or columns < 4:
            raise DataError(
                f"atom {atom} has {columns} columns where {max(n_columns, 4)} are expected",
                remedy="it is truncated or malformed: write or download it again",
                file=str(path),
                frame=frame,
            )
    if _ends_early(rows):
        raise DataError(
            "the last line of the file is shorter than the others and does not end",
            remedy="it is truncated: write or download it again; if it is complete, end it with a "
            "line break",
            file=str(path),
            frame=frame,
        )
    return [header, comment or "", *rows]


def _count(header: str, path: Path, frame: int) -> int:
    """The number of atoms; digits beyond any file are none."""
    if _COUNT.fullmatch(header.strip(_SPACES)) is None:
        raise DataError(
            f"a number of atoms is expected where the file has '{header.strip()[:40]}'",
            remedy="the frame before has too many lines, or this is not an XYZ file",
            file=str(path),
            frame=frame,
        )
    return int(header)


def _ends_early(rows: list[str]) -> bool:
    """Whether digits are missing at the end: columns of one width, but for a last unended line."""
    if len(rows) < 3 or rows[-1].endswith("\n"):
        return False
    widths = {len(row.rstrip("\n")) for row in rows[:-1]}
    return len(widths) == 1 and len(rows[-1]) < min(widths)


def _require_blank(lines: Iterator[str], path: Path, frame: int) -> None:
    """Empty lines may end a file but not separate its frames."""
    if any(line.strip() for line in lines):
        raise DataError(
            "an empty line stands where the frame should begin",
            remedy="remove the empty lines between the frames",
            file=str(path),
            frame=frame,
        )


def _lines(path: Path) -> Iterator[str]:
    opener = COMPRESSED.get(path.suffix.lower())
    try:
        # editors may add a byte-order mark
        with (opener or open)(path, "rt", encoding="utf-8-sig") as file:
            yield from file
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:  # a bad header is an OSError
        damaged = opener is not None and not isinstance(error, PermissionError)
        raise DataError(
            f"{'the compressed file is truncated or damaged' if damaged else 'cannot be read'} "
            f"({error})",
            remedy="write or download it again, or check its permissions",
            file=str(path),
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            "is not a text file",
            remedy="check that its suffix names its format",
            file=str(path),
        ) from error
