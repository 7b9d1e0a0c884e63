"""Catalogue entries of data sets, and collections of them that packages bring along."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final


@final
@dataclass(frozen=True, kw_only=True)
class Entry:
    """One data set.

    Functions are named as `module:function` and imported when they are needed. A set that is
    fetched names `fetch`; one with `files` is third-party data in the user's folder; any other
    ships with its collection, or is made with `make`.

    Args:
        description: one line.
        origin: who computed it, and whether it is model data: made with a model of the physics
            instead of quantum chemistry.
        level: method by which the values were computed.
        targets: unit of each key that one may learn.
        paper: the set of the paper.
        structures: number of structures, None while the file is not made.
        caveat: a warning to know before use.
        citation: whom to cite.
        folder: sub-folder of the user's data folder (third-party).
        files: its files there.
        part_key: key whose values name the parts, where no file does.
        read: function of the paths that gives a `Dataset`; empty if the files say everything.
        fetch: function of a folder, with `stage`, that downloads the files and gives their paths.
        make: function of a folder, with `count`, `workers` and `progress`, that gives a `Dataset`
            and keeps in the folder what is done.
    """

    description: str
    origin: str
    level: str
    targets: Mapping[str, str]
    paper: str
    structures: int | None = None
    caveat: str = ""
    citation: str = ""
    folder: str = ""
    files: tuple[str, ...] = ()
    part_key: str = "split"
    read: str = ""
    fetch: str = ""
    make: str = ""


@final
@dataclass(frozen=True, kw_only=True)
class Collection:
    """Data sets of one package, which names this value under the entry point `multilode.datasets`.

    Args:
        package: as one installs it.
        entries: the data sets by name.
        shipped: folder with the files that ship and their SHA-256 sums.
    """

    package: str
    entries: Mapping[str, Entry]
    shipped: Path = field(repr=False)
