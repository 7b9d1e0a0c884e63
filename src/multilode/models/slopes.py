"""Derivatives of features of structures along displacements of their atoms, by adjoints.

Neither the features of single centers nor their Jacobians are ever kept: where there are fewer
columns than directions, each column is differentiated for all atoms at once; otherwise the adjoint,
which is linear in what it is applied to, is differentiated itself, once per direction.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_ADJOINT_OF_ADJOINT = 2  # its cost, in passes of the adjoint


class AbstractDirections(ABC):
    """Displacements of the atoms of each structure of a batch, orthonormal within a structure.

    A *row* is a structure and one of its directions; rows of a structure follow each other.
    """

    present: Bool[Tensor, "structure direction"]  # which directions a structure has
    scale: Float[Tensor, " structure"]  # with it sums of squares estimate those along all

    @property
    def structure(self) -> Int[Tensor, " row"]:
        """Structure of each row, ascending."""
        return self.present.nonzero()[:, 0]

    @abstractmethod
    def vector(self, direction: int) -> Float[Tensor, "atom 3"]:
        """The displacement of every atom, all structures at once."""

    @abstractmethod
    def along(self, vectors: Float[Tensor, "atom 3"]) -> Float[Tensor, " row"]:
        """Scalar products of the displacements with vectors of the atoms, without the scale."""


@final
@dataclass(frozen=True, kw_only=True)
class AllDirections(AbstractDirections):
    """Every coordinate of every atom, which takes no memory.

    Args:
        present: which directions a structure has: three per atom.
        scale: ones.
        within: place of each atom in its structure.
    """

    present: Bool[Tensor, "structure direction"]
    scale: Float[Tensor, " structure"]
    within: Int[Tensor, " atom"]

    def vector(self, direction: int) -> Float[Tensor, "atom 3"]:
        """One coordinate of one atom of each structure."""
        coordinates = 3 * self.within[:, None] + torch.arange(3)
        return (coordinates == direction).double()

    def along(self, vectors: Float[Tensor, "atom 3"]) -> Float[Tensor, " row"]:
        """The components themselves."""
        return vectors.reshape(-1)


@final
@dataclass(frozen=True, kw_only=True)
class SomeDirections(AbstractDirections):
    """Directions in which all atoms move.

    Args:
        present: which directions a structure has.
        scale: factor that makes sums of squares along the directions an estimate of all.
        vectors: of every atom, in every direction.
        index: structure of each atom.
    """

    present: Bool[Tensor, "structure direction"]
    scale: Float[Tensor, " structure"]
    vectors: Float[Tensor, "atom 3 direction"]
    index: Int[Tensor, " atom"]

    def vector(self, direction: int) -> Float[Tensor, "atom 3"]:
        """The displacement of every atom."""
        return self.vectors[:, :, direction]

    def along(self, vectors: Float[Tensor, "atom 3"]) -> Float[Tensor, " row"]:
        """Sums over the atoms of each structure."""
        products = torch.einsum("ax,axk->ak", vectors, self.vectors.to(vectors))
        sums = products.new_zeros(self.present.shape)
        device = vectors.device
        return sums.index_add(0, self.index.to(device), products)[self.present.to(device)]


def all_directions(counts: Int[Tensor, " structure"]) -> AllDirections:
    """Every coordinate of every atom.

    Args:
        counts: number of atoms of each structure.
    """
    return AllDirections(
        present=torch.arange(3 * int(counts.max())) < 3 * counts[:, None],
        scale=torch.ones(len(counts), dtype=torch.float64),
        within=_places(counts)[1],
    )


def random_directions(
    counts: Int[Tensor, " structure"], number: int, generator: torch.Generator
) -> SomeDirections:
    """Orthonormal directions at random, in which all atoms move.

    The mean of s^2 u u^T over such directions, summed over those of a structure, with the scale s,
    is the unit matrix.

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
    return SomeDirections(
        present=present,
        scale=(3 * counts / present.sum(dim=1)).double().sqrt(),
        vectors=basis.unflatten(1, (n_most, 3))[index, within],
        index=index,
    )


def derivatives_along(
    features: Float[Tensor, "structure column"],
    positions: Float[Tensor, "atom 3"],
    directions: AbstractDirections,
) -> Float[Tensor, "row column"]:
    """d x_A / du for every structure and each of its directions, on the CPU in float64.

    Args:
        features: computed from `positions`, those of a structure from its own atoms only.
        positions: that require a gradient.
        directions: of the displacements, without their scale.
    """
    n_rows, n_directions = len(directions.structure), directions.present.shape[1]
    found = torch.zeros(n_rows, features.shape[1], dtype=torch.float64)
    if not features.requires_grad:  # no center anywhere: nothing depends on the positions
        return found
    if features.shape[1] <= _ADJOINT_OF_ADJOINT * n_directions:
        for k, column in enumerate(features.sum(dim=0).unbind()):
            (gradient,) = torch.autograd.grad(column, positions, retain_graph=True)
            found[:, k] = directions.along(gradient).cpu()
        return found
    dual = torch.zeros_like(features).requires_grad_()
    (adjoint,) = torch.autograd.grad(features, positions, dual, create_graph=True)
    row = directions.present.flatten().cumsum(0).view(directions.present.shape) - 1
    for k in range(n_directions):  # all structures move at once
        vector = directions.vector(k).to(positions)
        (moved,) = torch.autograd.grad(adjoint, dual, vector, retain_graph=True)
        own = directions.present[:, k]
        found[row[own, k]] = moved.cpu().double()[own]
    return found


def along_directions(
    slopes: Float[Tensor, "atom_axis column"],
    counts: Int[Tensor, " structure"],
    directions: AbstractDirections,
) -> Float[Tensor, "row column"]:
    """Slopes along the displacements, from those along every coordinate of every atom.

    Args:
        counts: number of atoms of each structure.
    """
    if isinstance(directions, AllDirections):
        return slopes
    parts = []
    own = slopes.unflatten(0, (-1, 3)).split(counts.tolist())
    atoms = torch.arange(int(counts.sum())).split(counts.tolist())
    for structure, (part, some) in enumerate(zip(own, atoms, strict=True)):
        numbers = directions.present[structure].nonzero()[:, 0].tolist()
        moves = torch.stack([directions.vector(k)[some] for k in numbers])
        parts.append(torch.einsum("kax,axc->kc", moves.to(part), part))
    return torch.cat(parts)


def _places(
    counts: Int[Tensor, " structure"],
) -> tuple[Int[Tensor, " atom"], Int[Tensor, " atom"]]:
    """Structure of each atom, and its place there."""
    index = torch.arange(len(counts)).repeat_interleave(counts)
    return index, torch.arange(len(index)) - (counts.cumsum(0) - counts)[index]
