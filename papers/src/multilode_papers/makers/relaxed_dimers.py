"""Binding curves of charged dimers near their minima: HF/def2-SVPD with D3(BJ) dispersion.

Seven displacements of each, every second of the other sets: a point takes seconds. The maker takes
over the curves that ship.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from multilode.data import Dataset, read, write
from multilode.datasets import available, load
from multilode.progress import Progress
from multilode_papers.makers.dimers import DISPLACEMENTS, hartree_fock_curve
from multilode_papers.makers.engines import EngineError
from multilode_papers.makers.frames import Frame
from multilode_papers.makers.jobs import run_jobs
from multilode_papers.makers.relaxed_pairs import (
    candidate,
    gfn2_curves,
    labels_of,
    monomers,
)

NAME = "relaxed-dimers"
CLASSES = ("CP", "CC", "CA")
OFFSETS = DISPLACEMENTS[::2]
_TURNS = 4
_NUMBER = "[0-9]" * 4  # not those of batches of candidates, such as CP-0-20


def make(folder: Path, *, count: int | None, workers: int, progress: Progress | None) -> Dataset:
    """The curves of all classes, in four turns.

    Args:
        folder: folder of finished curves.
        count: number of dimers in each class; by default those of the paper and tests beside.
        workers: number of processes.
        progress: called with the numbers of finished and of all curves.

    Raises:
        EngineError: if PySCF, dftd3, tblite or RDKit is not installed.
    """
    chosen = {
        label: dimers_of(gfn2_curves(label, folder, count=count, workers=workers, progress=None))
        for label in CLASSES
    }
    names = in_turns(chosen)
    if available(NAME):
        take_over(load(NAME), names, folder)
    return read(run_jobs(binding_curve, names, folder, workers=workers, progress=progress))


def binding_curve(name: str) -> list[Frame]:
    """The frames of one dimer, such as `CP-0012`.

    Raises:
        EngineError: if an engine is not installed, or the candidate has no minimum.
    """
    pair = candidate(name)
    if pair is None:
        raise EngineError(f"the candidate {name} has no minimum")
    frames = hartree_fock_curve(pair, OFFSETS, labels_of(name, pair))
    return [replace(f, values=_rounded(f.values), atom_values=monomers(pair)) for f in frames]


def dimers_of(dataset: Dataset) -> list[str]:
    """Names of the dimers, by number."""
    return sorted(set(dataset.labels("dimer")))


def in_turns(chosen: Mapping[str, Sequence[str]]) -> list[str]:
    """All names: a quarter of those of each class, and so on, so that no class waits to the end."""
    places = [
        (_TURNS * rank // len(names), turn, name)
        for turn, names in enumerate(chosen.values())
        for rank, name in enumerate(names)
    ]
    return [name for _, _, name in sorted(places)]


def take_over(dataset: Dataset, names: Sequence[str], folder: Path) -> None:
    """Write files of finished curves for those of a data set.

    Args:
        dataset: with curves that are not to be computed again.
        names: of the dimers that are wanted.
        folder: folder of the files; those that are there stay as they are.
    """
    labels = np.array(dataset.labels("dimer"))
    for name in set(names) & set(labels.tolist()):
        path = folder / f"{name}.xyz"
        if not path.is_file():
            write(path, dataset.select(np.flatnonzero(labels == name)))


def finished(folder: Path) -> Dataset:
    """The curves of a folder, by class and number."""
    paths = [p for label in CLASSES for p in sorted(folder.glob(f"{label}-{_NUMBER}.xyz"))]
    return read(paths)


def _rounded(values: Mapping[str, object]) -> dict[str, object]:
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()}
