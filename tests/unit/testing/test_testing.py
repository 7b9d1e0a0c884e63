"""The checks that others are held to must notice what is wrong."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import FeatureLabels
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import Irrep
from multilode.testing import check_equivariance

STRUCTURES = Structures.from_arrays(
    [np.random.default_rng(0).normal(size=(4, 3))],
    [np.ones(4, dtype=int)],
    [np.eye(3)],
    [np.zeros(3, dtype=bool)],
)
ROTATION = torch.from_numpy(Rotation.random(random_state=np.random.default_rng(1)).as_matrix())


def vectors(structures, *, parity=1, order=(1, 2, 0), size=1.0):
    """Position of each atom from the first one, and from the second."""
    relative = structures.positions[:, None] - structures.positions[:2]
    labels = FeatureLabels(("k",), np.arange(2)[:, None])
    block = size * relative[:, :, list(order)].transpose(1, 2)
    irrep = Irrep(1, parity)
    return Equivariants({irrep: block}, {irrep: labels}, torch.arange(4))


@pytest.mark.parametrize("rotation", [ROTATION, -ROTATION])
def test_vectors_are_equivariant(rotation):
    check_equivariance(vectors, STRUCTURES, rotation)


def test_a_wrong_order_of_components():
    with pytest.raises(AssertionError):
        check_equivariance(lambda s: vectors(s, order=(0, 1, 2)), STRUCTURES, ROTATION)


def test_a_wrong_parity_shows_under_improper_rotations():
    check_equivariance(lambda s: vectors(s, parity=-1), STRUCTURES, ROTATION)
    with pytest.raises(AssertionError):
        check_equivariance(lambda s: vectors(s, parity=-1), STRUCTURES, -ROTATION)


@pytest.mark.parametrize("size", [0.0, float("nan")])
def test_nothing_to_compare(size):
    with pytest.raises(AssertionError, match="the largest number of"):
        check_equivariance(lambda s: vectors(s, size=size), STRUCTURES, ROTATION)


def test_dependence_on_the_frame():
    """A quantity that looks at the cell only must turn with the cell."""

    def first_axis(structures):
        turned = replace(structures, positions=structures.cell[0, 0].expand(4, 3).cumsum(dim=0))
        return vectors(turned)

    check_equivariance(first_axis, STRUCTURES, -ROTATION)
