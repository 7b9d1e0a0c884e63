"""Binding curves of neutral dimers near their minima, in the numbers of the 2021 paper."""

from functools import partial
from pathlib import Path

from multilode.data import Dataset, concatenate
from multilode.progress import Progress
from multilode_papers.makers.relaxed_pairs import gfn2_curves

CLASSES = ("PP", "PA", "AA")


def make(folder: Path, *, count: int | None, workers: int, progress: Progress | None) -> Dataset:
    """The curves of all classes.

    Args:
        folder: folder of finished batches.
        count: number of dimers in each class; by default those of the paper and tests beside.
        workers: number of processes.
        progress: called with the numbers of finished and of all batches of a class.

    Raises:
        EngineError: if tblite or RDKit is not installed.
    """
    curves = partial(gfn2_curves, folder=folder, count=count, workers=workers, progress=progress)
    return concatenate([curves(label) for label in CLASSES])
