"""Channels made for a training set: mixtures of (species, n) with most of what varies in it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.correlations import FieldChannels
from multilode.errors import renumber_errors
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures

ChannelNumber = int | Literal["auto"] | None

AUTO_SPECIES = 2  # up to which "auto" keeps all
AUTO_CHANNELS = 16  # at most
AUTO_LOST = 1e-3  # of the variance, at most, if the channels suffice
_SAMPLE_ATOMS = 4000
_SAMPLE_OF_SPECIES = 20  # structures, at least, if there are as many
_ROUNDING = 1e-13


def with_channels(
    representation: Representation,
    structures: Structures,
    channels: ChannelNumber = "auto",
    *,
    seed: int = 0,
) -> Representation:
    """The same recipe with its fields in a few channels, fitted to a training set.

    They are the first eigenvectors of the covariance of the coefficients over (species, n), summed
    over m and centers, for each l; those of l = 0 about the means of the center species. Every
    species counts alike, however rare it is.

    Source: theory#channels.

    Args:
        representation: without channels.
        structures: of the training set; some thousand atoms of them are looked at.
        channels: their number in each field; None keeps all (species, n); "auto" keeps all of one
            or two species, else as many as have 99.9 % of the variance, at most 16.
        seed: of the choice of structures.

    Raises:
        ValueError: if the number is less than 1, or there is no atom.
    """
    check_channels(channels)
    few = len(representation.species) <= AUTO_SPECIES
    if channels is None or (channels == "auto" and few):
        return representation
    chosen = _sample(structures, seed)
    moments = _moments(replace(representation, channels=None), structures, chosen)
    fitted = {}
    for name, own in moments.items():
        found = _fitted(own, len(representation.species), channels)
        if found is not None:
            fitted[name] = found
    return replace(representation, channels=fitted or None)


def check_channels(channels: object) -> None:
    """Raise a ValueError if this is no number of channels."""
    known = channels is None or channels == "auto" or (type(channels) is int and channels >= 1)
    if not known:
        raise ValueError(
            f"channels is {channels!r}; use a number of at least 1, 'auto', or none to keep all"
        )


def _sample(structures: Structures, seed: int) -> Int[Tensor, " chosen"]:
    """Random structures with some thousand atoms, among them some with each species."""
    n = structures.n_structures
    if int(structures.counts.sum()) == 0:
        raise ValueError("there are no atoms to fit channels to; give structures to learn from")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    place = torch.empty_like(order)
    place[order] = torch.arange(n)
    counts = structures.counts.cpu()
    many = int((counts[order].cumsum(0) <= _SAMPLE_ATOMS).sum())
    chosen = [order[: max(many, 1)]]
    index, species = structures.structure_index.cpu(), structures.species.cpu()
    for number in species.unique().tolist():
        having = index[species == number].unique()
        chosen.append(having[place[having].argsort()][:_SAMPLE_OF_SPECIES])
    return torch.cat(chosen).unique()


@torch.no_grad()
def _moments(
    representation: Representation, structures: Structures, chosen: Int[Tensor, " chosen"]
) -> dict[str, list[Float[Tensor, "mixed mixed"]]]:
    """Covariances of the coefficients of each field, one for each l."""
    sums: dict[str, list[Tensor]] = {}
    totals: dict[str, Tensor] = {}
    known = torch.tensor(representation.species)
    numbers = torch.zeros(len(known), 1, dtype=torch.float64)
    for batch in _batches(structures, chosen):
        fields = representation.coefficients(batch)
        kinds = batch.species[representation.centers_of(batch)].cpu()
        member = (kinds[:, None] == known).double()  # [center, species]
        numbers += member.sum(dim=0)[:, None]
        for name, field in fields.items():
            blocks = [field.blocks[irrep].cpu().double() for irrep in sorted(field.blocks)]
            squares = [torch.einsum("imp,imq->pq", block, block) for block in blocks]
            first = [torch.zeros_like(square) for square in squares]
            sums[name] = [a + b for a, b in zip(sums.get(name, first), squares, strict=True)]
            totals[name] = totals.get(name, 0) + member.T @ blocks[0][:, 0]
    for name, total in totals.items():
        sums[name][0] = sums[name][0] - total.T @ (total / numbers.clamp(min=1))
    return sums


def _batches(structures: Structures, chosen: Int[Tensor, " chosen"]) -> Iterator[Structures]:
    with renumber_errors(chosen.tolist()):
        some = structures.select(chosen)
        for start, stop in batch_limits(some, BATCH_ATOMS):
            yield some.select(torch.arange(start, stop))


def _fitted(
    covariances: list[Float[Tensor, "mixed mixed"]], n_species: int, channels: int | str
) -> FieldChannels | None:
    """Leading eigenvectors of each l; None where the number is that of all (species, n)."""
    found = [_eigenvectors(covariance, n_species) for covariance in covariances]
    shares = torch.stack([values / values.sum().clamp(min=1e-300) for values, _ in found])
    kept = shares.cumsum(dim=1).mean(dim=0)  # every l counts alike
    size = len(kept)
    number = channels
    if channels == "auto":
        number = min(int((kept < 1 - AUTO_LOST).sum()) + 1, AUTO_CHANNELS)
    number = int(number)
    if number >= size:
        return None
    matrices = tuple(vectors[:, :number].contiguous() for _, vectors in found)
    return FieldChannels(matrices=matrices, kept=float(kept[number - 1]))


def _eigenvectors(
    covariance: Float[Tensor, "mixed mixed"], n_species: int
) -> tuple[Float[Tensor, " mixed"], Float[Tensor, "mixed mixed"]]:
    """Descending eigenvalues and eigenvectors, where all species have the same variance."""
    variances = covariance.diagonal().clamp(min=0).unflatten(0, (n_species, -1)).sum(dim=1)
    floor = _ROUNDING * variances.max().clamp(min=1e-300)
    scales = variances.clamp(min=float(floor)).sqrt()
    typical = variances.mean().clamp(min=float(floor)).sqrt()
    factors = (typical / scales).repeat_interleave(len(covariance) // n_species)
    values, vectors = torch.linalg.eigh(factors[:, None] * covariance * factors)
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    vectors = factors[:, None] * vectors * largest.sign()
    return values.flip(0).clamp(min=0), vectors.flip(1)
