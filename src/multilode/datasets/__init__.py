"""Reference data: what ships with the package, what is fetched, and how it was made."""

from multilode.datasets.access import DatasetError, available, file_paths, load
from multilode.datasets.catalogue import DATASETS, Entry

__all__ = ["DATASETS", "DatasetError", "Entry", "available", "file_paths", "load"]
