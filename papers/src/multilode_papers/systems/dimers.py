"""Binding curves of dimers as both papers learn them: rigid monomers, their limit included."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch

from multilode.data import Dataset, concatenate
from multilode.structures import Structures
from multilode_papers.systems.interaction import in_first_monomer
from multilode_papers.systems.outcome import DataUsed

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
    moved = (~in_first_monomer(dimers)).to(structures.positions)
    shift = APART * torch.tensor([1.0, 0.0, 0.0], dtype=structures.positions.dtype)
    return replace(structures, positions=structures.positions + moved[:, None] * shift)


def of_classes(dataset: Dataset, *labels: str) -> Dataset:
    """The dimers of some classes."""
    return dataset.select(np.flatnonzero(np.isin(np.array(dataset.labels("label")), labels)))


def first_curves(dataset: Dataset, key: str, count: int) -> Dataset:
    """The points of the first dimers, in the order of the file."""
    labels = np.array(dataset.labels(key))
    names = list(dict.fromkeys(labels.tolist()))[:count]
    return dataset.select(np.flatnonzero(np.isin(labels, names)))


@final
@dataclass(frozen=True, kw_only=True)
class DimerSource:
    """A set of binding curves.

    Args:
        name: in the catalogue.
        key: label of the dimer to which a point belongs.
        origin: level of theory.
    """

    name: str
    key: str
    origin: str

    def split(self, dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
        """Training and test curves: as the file says, or every fifth dimer at random."""
        if "split" in dataset.columns:
            split = np.array(dataset.labels("split"))
            parts = (np.flatnonzero(split == name) for name in ("train", "test"))
        else:
            labels = np.array(dataset.labels(self.key))
            names = np.random.default_rng(seed).permutation(np.unique(labels))
            held_out = np.isin(labels, names[: max(1, len(names) // 5)])
            parts = (np.flatnonzero(~held_out), np.flatnonzero(held_out))
        train, test = (dataset.select(indices) for indices in parts)
        return train, test

    def used(self, dataset: Dataset, paper: int | None) -> DataUsed:
        """The entry of a table of data."""
        count = len(set(dataset.labels(self.key)))
        return DataUsed(
            name=self.name,
            structures=len(dataset),
            paper=paper,
            origin=f"{self.origin}; {count} dimers",
        )


SOURCES = {
    source.name: source
    for source in (
        DimerSource(name="dimers", key="dimer", origin="made: HF/def2-SVPD + D3(BJ)"),
        DimerSource(name="neutral-dimers", key="dimer", origin="made: GFN2-xTB"),
        DimerSource(
            name="charged-curves", key="system", origin="third-party: PBE0 + TS (BFDb, 2021 paper)"
        ),
        DimerSource(
            name="noncovalent-curves", key="system", origin="third-party: CCSD(T)/CBS (NCI Atlas)"
        ),
    )
}
