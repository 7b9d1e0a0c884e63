"""Random features in the shape that a representation gives."""

import numpy as np
import pytest
import torch

from multilode.equivariants.features import Features
from multilode.equivariants.labels import FeatureLabels


@pytest.fixture(scope="session")
def random_features():
    """A function that draws `counts` centers per structure and a term per entry of `widths`."""

    def draw(seed, counts, widths, species=(1, 8)):
        generator = torch.Generator().manual_seed(seed)
        n_centers = sum(counts)
        drawn = torch.randint(len(species), (n_centers,), generator=generator)
        return Features(
            terms=tuple(
                torch.randn(n_centers, width, generator=generator, dtype=torch.float64)
                for width in widths
            ),
            labels=tuple(
                FeatureLabels(names=("n",), values=np.arange(width)[:, None]) for width in widths
            ),
            structure_index=torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)),
            atom_index=torch.arange(n_centers),
            center_species=torch.tensor(species)[drawn],
            n_structures=len(counts),
        )

    return draw
