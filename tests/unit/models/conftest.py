"""Random features in the shape that a representation gives."""

import numpy as np
import pytest
import torch

from multilode.equivariants import Equivariants, FeatureLabels, Features
from multilode.symmetry.irrep import INVARIANT


def invariants_of(terms, structure_index, center_species, n_structures):
    """Features that are invariants alone, one matrix per term."""
    centers = torch.arange(len(structure_index))
    labels = (FeatureLabels(("n",), np.arange(t.shape[1])[:, None]) for t in terms)
    return Features(
        terms=tuple(
            Equivariants({INVARIANT: t[:, None]}, {INVARIANT: l}, centers)
            for t, l in zip(terms, labels, strict=True)
        ),
        structure_index=structure_index,
        center_species=center_species,
        n_structures=n_structures,
    )


@pytest.fixture(scope="session")
def with_terms():
    """A function that gives features other invariants."""

    def change(features, terms):
        return invariants_of(
            terms, features.structure_index, features.center_species, features.n_structures
        )

    return change


@pytest.fixture(scope="session")
def random_features():
    """A function that draws `counts` centers per structure and a term per entry of `widths`."""

    def draw(seed, counts, widths, species=(1, 8)):
        generator = torch.Generator().manual_seed(seed)
        n_centers = sum(counts)
        drawn = torch.randint(len(species), (n_centers,), generator=generator)
        terms = tuple(
            torch.randn(n_centers, width, generator=generator, dtype=torch.float64)
            for width in widths
        )
        index = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        return invariants_of(terms, index, torch.tensor(species)[drawn], len(counts))

    return draw
