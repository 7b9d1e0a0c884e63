"""Binding curves of dimers as both papers learn them: rigid monomers, their limit included."""

from dataclasses import replace

import numpy as np
import torch

from multilode.dataset import Dataset, concatenate
from multilode.structures import Structures

APART = 1e5  # Å, between monomers that no longer interact: 1e-4 eV for two charges


def with_limit(curves: Dataset, key: str) -> Dataset:
    """The curves, and each dimer once more with its monomers apart and no interaction.

    Args:
        curves: structures with monomer A first, `n_atoms_a` atoms.
        key: label of the dimer.
    """
    labels = np.array(curves.labels(key))
    first = np.unique(labels, return_index=True)[1]
    chosen = curves.select(np.sort(first))
    values = {"interaction_energy": [0.0] * len(chosen), "distance": [APART] * len(chosen)}
    return concatenate([curves, replace(chosen, structures=_apart(chosen)).with_values(values)])


def _apart(dimers: Dataset) -> Structures:
    structures = dimers.structures
    ends = structures.counts.cumsum(0)
    place = torch.arange(structures.n_atoms) - (ends - structures.counts)[structures.structure_index]
    first = torch.from_numpy(dimers.column("n_atoms_a").astype(np.int64))
    moved = (place >= first[structures.structure_index]).to(structures.positions)
    shift = APART * torch.tensor([1.0, 0.0, 0.0], dtype=structures.positions.dtype)
    return replace(structures, positions=structures.positions + moved[:, None] * shift)


def of_classes(dataset: Dataset, *labels: str) -> Dataset:
    """The dimers of some classes."""
    return dataset.select(np.flatnonzero(np.isin(np.array(dataset.labels("label")), labels)))


def split_by_dimer(
    dataset: Dataset, key: str, fraction: float, seed: int
) -> tuple[Dataset, Dataset]:
    """Training and test curves; all points of a dimer stay together."""
    labels = np.array(dataset.labels(key))
    names = np.random.default_rng(seed).permutation(np.unique(labels))
    held_out = np.isin(labels, names[: max(1, round(fraction * len(names)))])
    return dataset.select(np.flatnonzero(~held_out)), dataset.select(np.flatnonzero(held_out))
