"""What a training set has around its atoms, in a few numbers, and what is far from all of it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.numerics.modes import own_modes
from multilode.representation.abstract import AbstractRepresentation
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.structures.batch import Structures
from multilode.structures.neighbors import pairs_within

_RADII = (0.7, 1.0, 1.5, 2.2, 3.3, 4.8)  # Å, of shells of neighbors
_WIDTH = 0.22  # of a shell, in ln r
_CUTOFF = 6.0  # Å
_RESOLUTION = 0.03  # of the numbers of an environment: smaller differences are none
_AXES = 8  # along which environments of an element differ most
_POINTS = 64  # environments that are kept of an element
_ALLOWANCE = 1.25  # how much farther than the loneliest of the training set one may be
_OF_FEW = 10.0  # added over the number of structures
_FEWEST = 5  # structures with an element, below which nothing is said of it
_SAMPLED = 1000  # structures of a training set


@final
@dataclass(frozen=True, kw_only=True)
class ElementEnvironments:
    """Environments of one element in a space of a few dimensions.

    Args:
        mean: of the numbers of its environments.
        axes: along which these differ, the most first, divided by the spread along each.
        points: some environments, as far from each other as there are.
        limit: distance from the nearest of these that is still usual.
    """

    mean: Float[Tensor, " number"]
    axes: Float[Tensor, "number axis"]
    points: Float[Tensor, "point coordinate"]
    limit: float

    def __post_init__(self) -> None:
        fits = len(self.mean) == len(self.axes) and len(self.points) > 0
        if not (fits and self.points.shape[1] == min(_AXES, self.axes.shape[1]) + 1):
            raise ValueError("sizes of the known environments disagree; train the model again")
        if not 0 < self.limit < math.inf:
            raise ValueError("the limit of the known environments is not positive")

    def coordinates(
        self, numbers: Float[Tensor, "center number"]
    ) -> Float[Tensor, "center coordinate"]:
        """Of environments, along the first axes, and at last away from all of these."""
        found = (numbers - self.mean.to(numbers)) @ self.axes.to(numbers)
        left = found[:, _AXES:].norm(dim=1, keepdim=True)
        return torch.cat([found[:, :_AXES], left], dim=1)

    def novelty(self, numbers: Float[Tensor, "center number"]) -> Float[Tensor, " center"]:
        """Distance to the nearest known environment over the limit."""
        apart = torch.cdist(self.coordinates(numbers), self.points.to(numbers))
        return apart.amin(dim=1) / self.limit


@final
@dataclass(frozen=True, kw_only=True)
class KnownEnvironments:
    """Numbers of neighbors in shells around each center, and how they are to each side.

    Some kB for each element, whatever the model is made of. Known environments are compared with
    those of other structures of the same set; of these the loneliest, with an allowance, has the
    largest distance that is not far.

    Args:
        species: elements of the training set, which neighbors may have.
        elements: environments of those that are centers, by their atomic numbers.
    """

    species: tuple[int, ...]
    elements: dict[int, ElementEnvironments]

    def __post_init__(self) -> None:
        numbers = len(_RADII) * (len(self.species) + 1)
        if any(len(one.mean) != numbers for one in self.elements.values()):
            raise ValueError("sizes of the known environments disagree; train the model again")

    @own_modes()
    def novelty(
        self, structures: Structures, centers: Int[Tensor, " center"]
    ) -> Float[Tensor, " center"]:
        """How far the centers are from all of the training: above 1 farther than usual there.

        Args:
            structures: a batch.
            centers: its atoms that carry features.

        Returns:
            Zeros for elements of which too little is known.
        """
        found = structures.positions.new_zeros(len(centers), dtype=torch.float64)
        kinds = structures.species[centers]
        numbers = _environments(structures, self.species)[centers]
        for number, known in self.elements.items():
            own = kinds == number
            found[own] = known.novelty(numbers[own])
        return found


@own_modes()
def known_environments(
    representation: AbstractRepresentation, structures: Structures
) -> KnownEnvironments:
    """Environments of a training set.

    Args:
        representation: of the model, which says what atoms are centers.
        structures: the training set, of which up to 1000 structures are looked at.
    """
    n = structures.n_structures
    chosen = torch.linspace(0, n - 1, min(n, _SAMPLED)).round().long().unique()
    some = structures if n <= _SAMPLED else structures.select(chosen)
    species = tuple(sorted(some.species.unique().tolist()))
    centers = representation.centers_of(some)
    kinds, index = some.species[centers], some.structure_index[centers]
    numbers = torch.cat(list(_in_batches(some, species)))[centers]
    elements: dict[int, ElementEnvironments] = {}
    for number in kinds.unique().tolist():
        own = kinds == number
        if len(index[own].unique()) >= _FEWEST:
            elements[number] = _of_element(numbers[own], index[own])
    return KnownEnvironments(species=species, elements=elements)


def _in_batches(
    structures: Structures, species: tuple[int, ...]
) -> Iterator[Float[Tensor, "atom number"]]:
    for start, stop in batch_limits(structures, BATCH_ATOMS):
        yield _environments(structures.select(torch.arange(start, stop)), species)


def _of_element(
    numbers: Float[Tensor, "center number"], index: Int[Tensor, " center"]
) -> ElementEnvironments:
    """Axes, points and limit, from environments and the structure of each."""
    mean = numbers.mean(dim=0)
    apart = numbers - mean
    sizes, directions = torch.linalg.eigh(apart.T @ apart / len(apart))
    axes = directions / (sizes.clamp(min=0) + _RESOLUTION**2).sqrt()
    plain = {"mean": mean.float(), "axes": axes.flip(1).float().contiguous()}
    start = numbers.new_zeros(1, min(_AXES, len(mean)) + 1).float()
    places = ElementEnvironments(**plain, points=start, limit=1.0).coordinates(numbers)
    kept = _spread_out(places)
    between = torch.cdist(places, places[kept])
    between[index[:, None] == index[kept]] = math.inf
    lonely = between.amin(dim=1)
    largest = float(lonely[lonely.isfinite()].max())
    # spreads of few environments are too small, and the loneliest of few structures is not lonely
    allowance = _ALLOWANCE + len(mean) / len(numbers) + _OF_FEW / len(index.unique())
    return ElementEnvironments(
        **plain, points=places[kept].float(), limit=allowance * max(1.0, largest)
    )


def _spread_out(places: Float[Tensor, "center coordinate"]) -> Int[Tensor, " point"]:
    """Some of them, each as far as can be from those before it."""
    kept = [0]
    nearest = (places - places[0]).norm(dim=1)
    while len(kept) < min(_POINTS, len(places)) and float(nearest.max()) > 0:
        kept.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (places - places[kept[-1]]).norm(dim=1))
    return torch.tensor(kept, device=places.device)


@torch.no_grad()
def _environments(structures: Structures, species: tuple[int, ...]) -> Float[Tensor, "atom number"]:
    """ln(1 + n) of n neighbors of each element in each shell, and of the length of the sum of the
    directions to all."""
    pairs = pairs_within(structures, _CUTOFF)
    vectors = pairs.vectors(structures).double()
    apart = vectors.norm(dim=1).clamp(min=1e-3)
    known = torch.tensor(species, device=apart.device)
    kind = torch.searchsorted(known, structures.species[pairs.neighbor].to(known))
    row = pairs.center * len(species) + kind.clamp(max=len(species) - 1)
    inner = (apart[:, None] / torch.tensor(_RADII).to(apart)).log()
    inner[:, 0] = inner[:, 0].clamp(min=0)  # however near
    weights = torch.exp(-0.5 * (inner / _WIDTH).square())
    weights *= (1 - (apart / _CUTOFF).square()).clamp(min=0).square()[:, None]
    n = structures.n_atoms
    counts = weights.new_zeros(n * len(species), len(_RADII)).index_add(0, row, weights)
    sides = [
        weights.new_zeros(n, len(_RADII)).index_add(0, pairs.center, weights * (x / apart)[:, None])
        for x in vectors.T
    ]
    shifted = torch.stack(sides).norm(dim=0)
    return torch.cat([counts.reshape(n, -1), shifted], dim=1).log1p()
