"""Made data as files: one for each part, compressed, with no more digits than the numbers have."""

import gzip
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from multilode.data import Dataset, write
from multilode.files import replacing

_ZEROS = re.compile(r"(\.\d+?)0+(?= |$)")
_SPACES = re.compile(r" +")


def write_parts(folder: Path, name: str, dataset: Dataset) -> list[Path]:
    """Write a data set as `NAME.xyz.gz`, or as one file `NAME_PART.xyz.gz` for each split.

    Args:
        folder: folder for the files.
        name: of the data set.
        dataset: its column `split` names the parts.

    Raises:
        OSError: if the folder cannot be written to.
    """
    splits = dataset.labels("split") if "split" in dataset.columns else ()
    parts = list(dict.fromkeys(splits))
    if len(parts) < 2:
        path = folder / f"{name}.xyz.gz"
        write_compact(path, dataset)
        return [path]
    paths = []
    for part in parts:
        path = folder / f"{name}_{part}.xyz.gz"
        write_compact(path, dataset.select(np.flatnonzero(np.array(splits) == part)))
        paths.append(path)
    return paths


def write_compact(path: Path, dataset: Dataset) -> None:
    """Write extended XYZ without padding, atomically; equal data give equal bytes.

    Args:
        path: the file, `.xyz.gz`.
        dataset: structures and values.

    Raises:
        OSError: if the folder cannot be written to.
    """
    with TemporaryDirectory() as staging:
        plain = Path(staging) / "plain.xyz"
        write(plain, dataset)
        text = _compact(plain.read_text(encoding="utf-8"))
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _compact(text: str) -> str:
    """Spaces and zeros that say nothing are left out of the lines of atoms."""
    lines = text.splitlines()
    start = 0
    while start < len(lines):
        end = start + 2 + int(lines[start])
        for i in range(start + 2, end):
            lines[i] = _ZEROS.sub(r"\1", _SPACES.sub(" ", lines[i]))
        start = end
    return "\n".join(lines) + "\n"
