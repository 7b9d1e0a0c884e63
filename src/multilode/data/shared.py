"""Structures that two data sets share."""

import hashlib

import numpy as np

from multilode.data.dataset import Dataset

_DIGITS = 5  # of Å; what files of few digits leave


def shared_structures(first: Dataset, second: Dataset) -> list[int]:
    """Numbers of the structures of the second data set that are in the first one too.

    Args:
        first: such as a training set.
        second: such as a test set.
    """
    known = set(_fingerprints(first))
    return [k for k, mark in enumerate(_fingerprints(second)) if mark in known]


def _fingerprints(dataset: Dataset) -> list[bytes]:
    """One of each structure: its atoms in order, and its cell along its periods."""
    structures = dataset.structures
    ends = structures.counts.cumsum(0)[:-1].tolist()
    positions = np.split(structures.positions.detach().cpu().numpy(), ends)
    species = np.split(structures.species.cpu().numpy(), ends)
    pbc = structures.pbc.cpu().numpy()
    cells = structures.cell.detach().cpu().numpy() * pbc[:, :, None]
    marks = []
    for parts in zip(positions, cells, species, pbc, strict=True):
        rounded = (np.round(part.astype(np.float64), _DIGITS) + 0.0 for part in parts)
        marks.append(hashlib.sha256(b"|".join(x.tobytes() for x in rounded)).digest())
    return marks
