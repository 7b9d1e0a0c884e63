"""Derivatives of features of structures along displacements of their atoms, by adjoints.

Neither the features of single centers nor their Jacobians are ever kept: where there are fewer
columns than directions, each column is differentiated for all atoms at once; otherwise the adjoint,
which is linear in what it is applied to, is differentiated itself, once per direction.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_ADJOINT_OF_ADJOINT = 2  # its cost, in passes of the adjoint


@final
@dataclass(frozen=True, kw_only=True)
class Directions:
    """Displacements of the atoms of each structure of a batch.

    Args:
        vectors: of every atom, in every direction; orthonormal within a structure.
        present: which structures have a direction: no more than three per atom.
        scale: what makes sums of squares along the directions an estimate of those along all.
    """

    vectors: Float[Tensor, "atom 3 direction"]
    present: Bool[Tensor, "structure direction"]
    scale: Float[Tensor, " structure"]

    @property
    def number(self) -> int:
        """Largest number of directions of a structure."""
        return self.vectors.shape[2]


def all_directions(counts: Int[Tensor, " structure"]) -> Directions:
    """Every coordinate of every atom.

    Args:
        counts: number of atoms of each structure.
    """
    index, within = _places(counts)
    n_most = 3 * int(counts.max())
    vectors = torch.zeros(len(index), 3, n_most, dtype=torch.float64)
    for axis in range(3):
        vectors[torch.arange(len(index)), axis, 3 * within + axis] = 1.0
    return Directions(
        vectors=vectors,
        present=torch.arange(n_most) < 3 * counts[:, None],
        scale=torch.ones(len(counts), dtype=torch.float64),
    )


def random_directions(
    counts: Int[Tensor, " structure"], number: int, generator: torch.Generator
) -> Directions:
    """Orthonormal directions at random, in which all atoms move.

    The mean of s^2 u u^T over such directions, with the scale s, is the unit matrix.

    Args:
        counts: number of atoms of each structure.
        number: of directions; structures with fewer coordinates get all they have.
        generator: of the random numbers.
    """
    index, within = _places(counts)
    n_most = int(counts.max())
    drawn = torch.randn(len(index), 3, number, generator=generator, dtype=torch.float64)
    padded = drawn.new_zeros(len(counts), n_most, 3, number)
    padded[index, within] = drawn
    basis = torch.linalg.qr(padded.flatten(1, 2)).Q
    # those beyond the coordinates of a structure mean nothing
    present = torch.arange(basis.shape[2]) < 3 * counts[:, None]
    return Directions(
        vectors=basis.unflatten(1, (n_most, 3))[index, within],
        present=present,
        scale=(3 * counts / present.sum(dim=1)).double().sqrt(),
    )


def derivatives_along(
    features: Float[Tensor, "structure column"],
    positions: Float[Tensor, "atom 3"],
    structure_index: Int[Tensor, " atom"],
    directions: Directions,
) -> Float[Tensor, "structure direction column"]:
    """d x_A / du for every structure and direction.

    Args:
        features: computed from `positions`, those of a structure from its own atoms only.
        positions: that require a gradient.
        structure_index: structure of each atom.
        directions: of the displacements, without their scale.
    """
    vectors = directions.vectors.to(positions)
    if not features.requires_grad:  # no center anywhere: nothing depends on the positions
        return features.new_zeros(len(features), directions.number, features.shape[1])
    if features.shape[1] <= _ADJOINT_OF_ADJOINT * directions.number:
        return _by_columns(features, positions, structure_index, vectors)
    return _by_directions(features, positions, vectors)


def _by_columns(
    features: Float[Tensor, "structure column"],
    positions: Float[Tensor, "atom 3"],
    structure_index: Int[Tensor, " atom"],
    vectors: Float[Tensor, "atom 3 direction"],
) -> Float[Tensor, "structure direction column"]:
    """One adjoint pass per column."""
    found = []
    for column in features.sum(dim=0).unbind():
        (gradient,) = torch.autograd.grad(column, positions, retain_graph=True)
        along = torch.einsum("ax,axk->ak", gradient, vectors)
        sums = along.new_zeros(len(features), vectors.shape[2])
        found.append(sums.index_add(0, structure_index, along))
    return torch.stack(found, dim=2)


def _by_directions(
    features: Float[Tensor, "structure column"],
    positions: Float[Tensor, "atom 3"],
    vectors: Float[Tensor, "atom 3 direction"],
) -> Float[Tensor, "structure direction column"]:
    """One pass through the adjoint per direction; all structures move at once."""
    dual = torch.zeros_like(features).requires_grad_()
    (adjoint,) = torch.autograd.grad(features, positions, dual, create_graph=True)
    found = [
        torch.autograd.grad(adjoint, dual, vector, retain_graph=True)[0]
        for vector in vectors.unbind(dim=2)
    ]
    return torch.stack(found, dim=1)


def _places(
    counts: Int[Tensor, " structure"],
) -> tuple[Int[Tensor, " atom"], Int[Tensor, " atom"]]:
    """Structure of each atom, and its place there."""
    index = torch.arange(len(counts)).repeat_interleave(counts)
    return index, torch.arange(len(index)) - (counts.cumsum(0) - counts)[index]
