"""Input of every system: extent of the study, folder of the data, and a report of progress."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from multilode import datasets
from multilode.data import Dataset
from multilode.progress import Stage


@final
@dataclass(frozen=True, kw_only=True)
class Study:
    """One run of a system.

    Args:
        quick: the short form, a few minutes on two cores.
        folder: folder of third-party data; None for the setting `MULTILODE_DATA`.
        seed: of everything random.
        stage: starts a progress report.
    """

    quick: bool
    folder: Path | None
    seed: int
    stage: Stage

    def load(self, name: str, part: str | None = None, *, index: str = ":") -> Dataset:
        """A data set of the catalogue.

        Args:
            name: of the set.
            part: such as `train`.
            index: which structures of each file, written like a Python index.

        Raises:
            DataError: if it is not here; the message says which path or extra it needs.
        """
        progress = self.stage(f"reading {name}")
        return datasets.load(name, part, folder=self.folder, index=index, progress=progress)

    def has(self, name: str) -> bool:
        """Whether a data set is here."""
        return datasets.available(name, folder=self.folder)
