"""Cartesian tensors and their spherical components."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multilode.symmetry.cartesian import TENSORS, general_tensor, symmetric_tensor, tensor_kind
from multilode.symmetry.harmonics import spherical_harmonics
from multilode.symmetry.irrep import Irrep
from multilode.symmetry.wigner import wigner_d


def draw(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def symmetrised(tensor):
    orders = list(itertools.permutations(range(tensor.ndim)))
    return sum(tensor.permute(order) for order in orders) / len(orders)


def rotation_of(seed):
    q, r = torch.linalg.qr(draw(seed, 3, 3))
    return q * torch.sign(torch.diagonal(r))  # half of them improper


def turned(tensor, rotation):
    for axis in range(tensor.ndim):
        tensor = torch.tensordot(rotation, tensor, dims=([1], [axis])).movedim(0, axis)
    return tensor


@pytest.mark.parametrize("name", TENSORS)
def test_round_trip_and_norm(name):
    kind = tensor_kind(name)
    tensor = draw(1, *kind.shape)
    if name.startswith("symmetric"):
        tensor = symmetrised(tensor)
    blocks = kind.to_spherical(tensor.flatten())
    back = kind.to_cartesian(blocks)
    torch.testing.assert_close(back.view(kind.shape), tensor, rtol=0, atol=1e-14)
    squares = sum(block.square().sum() for block in blocks.values())
    torch.testing.assert_close(squares, tensor.square().sum(), rtol=1e-14, atol=0)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("name", TENSORS)
def test_components_rotate_with_wigner_matrices(name, seed):
    """Improper rotations included: they show the parity of each irrep."""
    kind, rotation = tensor_kind(name), rotation_of(seed)
    tensor = draw(seed + 1, *kind.shape)
    if name.startswith("symmetric"):
        tensor = symmetrised(tensor)
    before = kind.to_spherical(tensor.flatten())
    after = kind.to_spherical(turned(tensor, rotation).flatten())
    improper = bool(torch.linalg.det(rotation) < 0)
    for irrep, block in before.items():
        expected = wigner_d(rotation, irrep.degree) @ block
        expected *= irrep.parity if improper else 1
        torch.testing.assert_close(after[irrep], expected, rtol=0, atol=1e-12)


def test_familiar_components():
    matrix = draw(2, 3, 3)
    x, y, z = range(3)
    blocks = general_tensor(2).to_spherical(matrix.flatten())
    assert set(blocks) == {Irrep(0), Irrep(1, -1), Irrep(2)}
    torch.testing.assert_close(blocks[Irrep(0)][0, 0], matrix.trace() / 3**0.5)
    axial = [matrix[z, x] - matrix[x, z], matrix[x, y] - matrix[y, x], matrix[y, z] - matrix[z, y]]
    torch.testing.assert_close(blocks[Irrep(1, -1)][:, 0], torch.stack(axial) / 2**0.5)
    vector = draw(3, 3)
    torch.testing.assert_close(
        general_tensor(1).to_spherical(vector)[Irrep(1)][:, 0], vector[[y, z, x]]
    )


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_powers_of_a_direction_are_positive_multiples_of_harmonics(rank):
    n = draw(5, 3)
    n /= n.norm()
    power = n.new_ones(1)
    for _ in range(rank):
        power = torch.outer(power, n).flatten()
    blocks = symmetric_tensor(rank).to_spherical(power)
    assert [irrep.degree for irrep in blocks] == list(range(rank % 2, rank + 1, 2))
    for irrep, block in blocks.items():
        assert irrep.parity == 1
        harmonics = spherical_harmonics(n[None], irrep.degree)[0, irrep.degree**2 :]
        factor = (block[:, 0] @ harmonics) / (harmonics @ harmonics)
        assert factor > 0
        torch.testing.assert_close(block[:, 0], factor * harmonics, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("rank", range(5))
def test_number_of_components(rank):
    """3^rank of general, (rank + 1)(rank + 2) / 2 of symmetric tensors."""
    for kind, expected in (
        (general_tensor(rank), 3**rank),
        (symmetric_tensor(rank), (rank + 1) * (rank + 2) // 2),
    ):
        columns = torch.cat([c.flatten(start_dim=1) for c in kind.columns.values()], dim=1)
        assert columns.shape == (3**rank, expected)
        torch.testing.assert_close(
            columns.T @ columns, torch.eye(expected, dtype=torch.float64), rtol=0, atol=1e-14
        )


def test_the_isotropic_part_is_the_average_over_rotations():
    matrix = draw(7, 2, 9)
    mean = matrix.view(2, 3, 3).diagonal(dim1=1, dim2=2).mean(dim=1)
    expected = mean[:, None, None] * torch.eye(3, dtype=torch.float64)
    found = tensor_kind("symmetric").isotropic(matrix)
    torch.testing.assert_close(found.view(2, 3, 3), expected)
    assert not tensor_kind("vector").isotropic(draw(8, 4, 3)).any()
    # what no rotation changes of rank 3 changes its sign under inversion
    assert not general_tensor(3).isotropic(draw(9, 27)).any()


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="tensor is 'voigt'; use one of scalar, vector"):
        tensor_kind("voigt")
