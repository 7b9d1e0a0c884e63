"""Records of Materials Cloud Archive: all files of one, with the MD5 sums that the record gives.

The list of files comes from the archive itself (InvenioRDM, `/api/records/ID/files`), so no sum is
written here. What arrived is described by SHA-256 sums beside it, against which later runs check.
"""

import json
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from multilode.datasets import SUMS, check_all, write_sums
from multilode.errors import UserError
from multilode.progress import Progress, Stage

RECORD = "https://archive.materialscloud.org/api/records/es3jr-dse56"
PAGE = "https://archive.materialscloud.org/records/es3jr-dse56"
_LISTING = "files.json"
# pooch says ValueError for a wrong sum
_FAILURES = (OSError, ValueError, tarfile.TarError, zipfile.BadZipFile)


class FetchError(UserError):
    """Data that could not be fetched; the message is one line."""


def fetch_record(folder: Path, *, record: str = RECORD, stage: Stage | None = None) -> list[Path]:
    """Download the files of a record that are not there yet, and unpack its archives.

    Args:
        folder: folder for them.
        record: address of the record in the archive's interface.
        stage: called with the name of each file; progress is in bytes.

    Raises:
        FetchError: if the archive cannot be reached, answers something else than expected, or
            sends a file with another sum than its record gives.
        ChecksumError: if a file that was fetched before is not what it was.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it would print beside the bars
    fetched: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        listing = _retrieve(f"{record}/files", None, _LISTING, folder, None)[0]
        for name, checksum in _files(listing):
            report = stage(name) if stage is not None else None
            url = f"{record}/files/{name}/content"
            fetched += _retrieve(url, checksum, name, folder, report)
    except _FAILURES as error:
        if isinstance(error, UserError):
            raise
        raise FetchError(
            f"cannot fetch {record} ({_reason(error)}); check the network, or download the "
            f"files of {PAGE} with a browser into {folder}"
        ) from error
    if (folder / SUMS).is_file():
        check_all(folder)
    else:
        write_sums(folder, fetched)
    return fetched


def _retrieve(
    url: str,
    checksum: str | None,
    name: str,
    folder: Path,
    report: Progress | None,
) -> list[Path]:
    import pooch

    # any bar with tqdm's methods will do, whatever the annotation of pooch says
    bar: Any = _Bar(report) if report else False
    downloader: Any = pooch.HTTPDownloader(progressbar=bar)
    pooch.retrieve(url=url, known_hash=checksum, fname=name, path=folder, downloader=downloader)
    return [folder / name, *_unpacked(folder / name)]


def _unpacked(archive: Path) -> list[Path]:
    """The files of an archive, in a folder that appears complete or not at all; else none."""
    tape = archive.name.endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))
    if not tape and not archive.name.endswith(".zip"):
        return []
    target = archive.parent / f"{archive.name.split('.')[0]}-unpacked"
    if not target.is_dir():
        with TemporaryDirectory(dir=archive.parent, prefix=".unfinished-") as staging:
            inside = Path(staging) / "inside"
            if tape:
                with tarfile.open(archive) as opened:
                    opened.extractall(inside, filter="data")
            else:
                with zipfile.ZipFile(archive) as opened:
                    opened.extractall(inside)
            inside.rename(target)
    return sorted(path for path in target.rglob("*") if path.is_file())


def _files(listing: Path) -> list[tuple[str, str]]:
    """Name and checksum (`md5:...`) of each file that the archive lists."""
    try:
        entries: list[dict[str, Any]] = json.loads(listing.read_text(encoding="utf-8"))["entries"]
        files = [(str(entry["key"]), str(entry["checksum"])) for entry in entries]
        if not files or any(Path(name).name != name or ":" not in sum_ for name, sum_ in files):
            raise ValueError("a name or a checksum is not one")
    except (ValueError, KeyError, TypeError) as error:
        listing.unlink()  # the next attempt asks again
        raise FetchError(
            f"the list of files of the record is not as expected ({_first_line(error)}); download "
            f"the files of {PAGE} with a browser into {listing.parent}"
        ) from error
    return files


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.ConnectionError | requests.Timeout):  # these print a stack
        return "no connection"
    return _first_line(error)


def _first_line(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return said[0] if said else type(error).__name__


class _Bar:
    """The progress bar in the form that pooch's downloader calls."""

    def __init__(self, report: Progress) -> None:
        self.total, self._done, self._report = 0, 0, report

    def update(self, size: int) -> None:
        """Count bytes that came."""
        self._done += size
        self._report(min(self._done, self.total), self.total)

    def reset(self) -> None:
        """Begin anew; pooch does so at the end, to show all of the file."""
        self._done = 0

    def close(self) -> None:
        """Nothing is open."""
