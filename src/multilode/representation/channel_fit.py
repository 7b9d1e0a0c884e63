"""Channels made for a training set: mixtures of (species, n) with most of what varies in it."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.correlations import FieldChannels
from multilode.errors import DataWarning, renumber_errors
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures
from multilode.structures.elements import chemical_symbol

ChannelNumber = int | Literal["auto"] | None

AUTO_SPECIES = 3  # up to which "auto" keeps all
AUTO_CHANNELS = 16
_SAMPLE_ATOMS = 4000
_SAMPLE_OF_SPECIES = 20  # structures, at least, if there are as many
_LEAST = 1e-8  # relative variance of a species; of less it is rounding
_POOR = 0.5  # share of the variance of a species below which it is said


def with_channels(
    representation: Representation,
    structures: Structures,
    channels: ChannelNumber = "auto",
    *,
    seed: int = 0,
) -> Representation:
    """The same recipe with its fields in a few channels, fitted to a training set.

    They are principal components of the coefficients over (species, n) for each l: the first
    eigenvectors of their covariance, summed over m and centers; of l = 0 about the means of the
    center species. Each species counts with the root of its variance, so that rare ones are seen.
    Fields that have sources keep the channels of these.

    Source: theory#channels.

    Args:
        representation: without channels.
        structures: of the training set; some thousand atoms of them are looked at.
        channels: their number in each field; None keeps all (species, n); "auto" keeps all of up to
            three species, else 16.
        seed: of the choice of structures.

    Raises:
        ValueError: if a field has fewer (species, n) than channels were asked for, the number is
            less than 1, or there is no atom.
    """
    check_channels(channels)
    if channels is None or (channels == "auto" and len(representation.species) <= AUTO_SPECIES):
        return representation
    number = AUTO_CHANNELS if channels == "auto" else channels
    of_species = [n for n in representation.used if representation.sources_of(n) is None]
    sizes = {name: representation.n_channels_of(name) for name in of_species}
    for name, size in sizes.items():
        if number > size and channels != "auto":
            raise ValueError(
                f"{number} channels of the field '{name}' are more than its {size} products of "
                f"species and radial functions; set channels to at most {size}, or to none to keep "
                "all"
            )
    moments = _moments(representation, structures, sample_of(structures, seed))
    fitted = {
        name: _fitted(moments[name], representation.species, number, name)
        for name, size in sizes.items()
        if number < size
    }
    return replace(representation, channels=fitted or None)


def check_channels(channels: object) -> None:
    """Raise a ValueError if this is no number of channels."""
    known = channels is None or channels == "auto" or (type(channels) is int and channels >= 1)
    if not known:
        raise ValueError(
            f"is {channels!r}; use a number of at least 1, 'auto', or 'none' to keep all products "
            "of species and radial functions"
        )


def sample_of(structures: Structures, seed: int) -> Int[Tensor, " chosen"]:
    """Random structures with some thousand atoms, among them some with each species.

    Raises:
        ValueError: if there is no atom.
    """
    n = structures.n_structures
    if structures.n_atoms == 0:
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
    for batch in batches_of(structures, chosen):
        found = representation.coefficients(batch)
        member = (found.center_species.cpu()[:, None] == known).double()  # [center, species]
        numbers += member.sum(dim=0)[:, None]
        for name, field in zip(representation.used, found.terms, strict=True):
            blocks = [field.blocks[irrep].cpu().double() for irrep in sorted(field.blocks)]
            squares = [torch.einsum("imp,imq->pq", block, block) for block in blocks]
            first = [torch.zeros_like(square) for square in squares]
            sums[name] = [a + b for a, b in zip(sums.get(name, first), squares, strict=True)]
            totals[name] = totals.get(name, 0) + member.T @ blocks[0][:, 0]
    for name, total in totals.items():
        sums[name][0] = sums[name][0] - total.T @ (total / numbers.clamp(min=1))
    return sums


def batches_of(structures: Structures, chosen: Int[Tensor, " chosen"]) -> Iterator[Structures]:
    """The chosen structures in batches; errors have their numbers."""
    with renumber_errors(chosen.tolist()):
        some = structures.select(chosen)
    for start, stop in batch_limits(some, BATCH_ATOMS):
        with renumber_errors(chosen[start:stop].tolist()):
            yield some.select(torch.arange(start, stop))


def _fitted(
    covariances: list[Float[Tensor, "mixed mixed"]],
    species: tuple[int, ...],
    number: int,
    name: str,
) -> FieldChannels:
    """Leading eigenvectors of each l, and what they keep of each species."""
    matrices = tuple(_leading(own, len(species), number) for own in covariances)
    kept, whole = torch.zeros(2, len(species), dtype=torch.float64)
    for covariance, matrix in zip(covariances, matrices, strict=True):
        each = matrix.unflatten(0, (len(species), -1))  # [species, n, channel]
        own = covariance.unflatten(0, each.shape[:2]).unflatten(2, each.shape[:2])
        own = torch.diagonal(own, dim1=0, dim2=2).movedim(-1, 0)  # [species, n, n]
        kept += (each * (own @ each)).sum(dim=(1, 2))
        whole += _of_species(covariance, len(species))
    shares = (kept / whole.clamp(min=1e-300)).tolist()
    poor = [(share, z) for share, z in zip(shares, species, strict=True) if share < _POOR]
    if poor:
        share, z = min(poor)
        warnings.warn(
            f"the {number} channels of the field '{name}' have {share:.0%} of what "
            f"{chemical_symbol(z)} atoms add to it; more channels see them better, and with "
            "channels: none nothing is lost",
            DataWarning,
            stacklevel=2,
        )
    return FieldChannels(matrices=matrices, shares=tuple(shares))


def _leading(
    covariance: Float[Tensor, "mixed mixed"], n_species: int, number: int
) -> Float[Tensor, "mixed channel"]:
    """Orthonormal axes with most of the variance, where that of each species is its root."""
    variances = _of_species(covariance, n_species)
    relative = variances / variances.max().clamp(min=1e-300)
    factors = relative.clamp(min=_LEAST).pow(-0.25).repeat_interleave(len(covariance) // n_species)
    found = torch.linalg.eigh(factors[:, None] * covariance * factors)[1].flip(1)[:, :number]
    vectors = torch.linalg.qr(factors[:, None] * found)[0]
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    return (vectors * largest.sign()).contiguous()


def _of_species(
    covariance: Float[Tensor, "mixed mixed"], n_species: int
) -> Float[Tensor, " species"]:
    return covariance.diagonal().clamp(min=0).unflatten(0, (n_species, -1)).sum(dim=1)
