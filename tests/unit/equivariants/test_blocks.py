"""Blocks know their irrep and their columns, and rotate accordingly."""

import numpy as np
import pytest
import torch

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import FeatureLabels, expansion_labels
from multilode.equivariants.rotation import rotate_equivariants
from multilode.symmetry.harmonics import spherical_harmonics
from multilode.symmetry.irrep import Irrep

CENTERS = torch.arange(4)


def vectors() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, 3, generator=generator, dtype=torch.float64)


def axial() -> torch.Tensor:
    """Vector products of neighbors in the list, which do not change under inversion."""
    return torch.linalg.cross(vectors(), vectors().roll(1, dims=0))


def equivariants(points: torch.Tensor, normals: torch.Tensor) -> Equivariants:
    """Harmonics of degree 2 of points, and axial vectors in the order y, z, x."""
    blocks = {
        Irrep(2): spherical_harmonics(points, 2)[:, 4:, None],
        Irrep(1, -1): normals[:, [1, 2, 0], None],
    }
    labels = FeatureLabels(("n",), np.zeros((1, 1), dtype=np.int64))
    return Equivariants(blocks, dict.fromkeys(blocks, labels), CENTERS)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_blocks_rotate_as_what_they_are_made_of(sign):
    generator = torch.Generator().manual_seed(2)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    rotation = sign * torch.linalg.det(rotation) * rotation
    before = equivariants(vectors(), axial())
    moved = vectors() @ rotation.T
    after = equivariants(moved, torch.linalg.cross(moved, moved.roll(1, dims=0)))
    found = rotate_equivariants(before, rotation)
    for irrep, block in after.blocks.items():
        torch.testing.assert_close(found.blocks[irrep], block, rtol=1e-12, atol=1e-12)
    assert found.labels is before.labels


def test_what_is_no_rotation_is_refused():
    with pytest.raises(ValueError, match="orthogonal"):
        rotate_equivariants(equivariants(vectors(), axial()), 2 * torch.eye(3, dtype=torch.float64))


def test_blocks_of_another_shape_than_their_labels_are_refused():
    labels = {Irrep(1): expansion_labels((1, 8), 3)}
    with pytest.raises(ValueError, match=r"has shape \(4, 3, 5\), not \(4, 3, 6\)"):
        Equivariants({Irrep(1): torch.zeros(4, 3, 5)}, labels, CENTERS)


def test_labels_of_expansions_have_the_species_first():
    labels = expansion_labels((1, 8), 2)
    assert labels.names == ("species", "n")
    assert labels.values.tolist() == [[1, 0], [1, 1], [8, 0], [8, 1]]
    assert len(labels) == 4


def test_labels_need_a_name_for_each_column():
    with pytest.raises(ValueError, match="2 names for 1 label columns"):
        FeatureLabels(("species", "n"), np.zeros((3, 1), dtype=np.int64))
