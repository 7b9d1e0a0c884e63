"""Reference data: one set ships here, more come with the collections of other packages.

Names to know: `load(name, part)`, `file_paths`, `available`, `catalogue`.
A collection is a value: `Collection(package, entries, shipped)`, one `Entry` for a data set.
To add data sets, name a collection under the entry point `multilode.datasets` of your package.
What ships is checked against SHA-256 sums beside it.
"""

from multilode.datasets.access import available, cache_folder, file_paths, load
from multilode.datasets.checksums import (
    SUMS,
    ChecksumError,
    check_all,
    read_sums,
    sha256,
    write_sums,
)
from multilode.datasets.entry import Collection, Entry
from multilode.datasets.installed import DatasetError, catalogue, collection_of, entry_of

__all__ = [
    "SUMS",
    "ChecksumError",
    "Collection",
    "DatasetError",
    "Entry",
    "available",
    "cache_folder",
    "catalogue",
    "check_all",
    "collection_of",
    "entry_of",
    "file_paths",
    "load",
    "read_sums",
    "sha256",
    "write_sums",
]
