"""Principal components of the surroundings of each species, fitted to a training set."""

import warnings
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.errors import DataWarning
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.channel_fit import batches_of, sample_of
from multilode.representation.representation import Representation
from multilode.representation.sources.described import DescribedSources, invariants_of
from multilode.structures.batch import Structures
from multilode.structures.elements import chemical_symbol

# Few functions: a strength is a smooth number of bonds and angles
_RADIAL, _ANGULAR, _SMEARING = 4, 2, 0.4
_LEAST = 1e-6  # variance of a component relative to the first; of less it is rounding


def described_sources(
    name: str,
    representation: Representation,
    structures: Structures,
    components: int,
    cutoff: float | None,
    *,
    responding: bool,
    seed: int,
) -> DescribedSources:
    """Channels (species, component): a constant, then components with a variance of one.

    Source: theory#sources.

    Args:
        name: of the field whose sources they are.
        representation: of the training set; that field, made by species, describes sources that
            respond.
        structures: the training set.
        components: of each species.
        cutoff: radius in Å of the surroundings.
        responding: whether sources respond to the field.
        seed: of the choice of structures.

    Warns:
        DataWarning: if the surroundings of a species vary in fewer ways.
    """
    descriptor = _descriptor(name, representation, cutoff, responding=responding)
    sums = _moments(descriptor, structures, seed)
    n_species, width = len(descriptor.species), components + 1
    offsets = torch.zeros(n_species, n_species * width, dtype=torch.float64)
    weights = torch.zeros(n_species, sums[0][1].shape[0], n_species * width, dtype=torch.float64)
    ranks = []
    for kind, (number, total, square) in enumerate(sums):
        first = kind * width
        offsets[kind, first] = 1
        found = _components(number, total, square, components)
        some = slice(first + 1, first + 1 + found.shape[1])
        weights[kind, :, some] = found
        offsets[kind, some] = -(total / max(number, 1)) @ found
        ranks.append(found.shape[1])
    constant = weights.abs().sum(dim=(0, 1)) == 0
    kept = offsets.abs().sum(dim=0) + weights.abs().sum(dim=(0, 1)) > 0
    _tell(ranks, components, descriptor.species)
    present = (weights.abs().sum(dim=1) > 0).double()
    return DescribedSources(
        descriptor=descriptor,
        offsets=offsets[:, kept],
        weights=weights[:, :, kept],
        means=(offsets * constant)[:, kept],
        spreads=present[:, kept],
    )


def _descriptor(
    name: str, representation: Representation, cutoff: float | None, *, responding: bool
) -> Representation:
    """Invariants of few functions: the density, its pairs, and maybe the field and both."""
    field = representation.fields[name]
    densities = [one.neighbor_cutoff for one in representation.fields.values()]
    radius = cutoff or max((r for r in densities if r is not None), default=field.basis.radius)
    basis = GaussianTypeOrbitals(n_radial=_RADIAL, radius=radius)
    density = FieldExpansion(GaussianDensity(_SMEARING), basis, _ANGULAR, neighbor_cutoff=radius)
    fields, products = {"rho": density}, [("rho",), ("rho", "rho")]
    if responding:
        small = GaussianTypeOrbitals(n_radial=2, radius=field.basis.radius)
        fields["V"] = replace(field, basis=small, max_angular=_ANGULAR)
        products += [("V",), ("rho", "V")]
    return Representation(
        fields=fields,
        products=tuple(products),
        species=representation.species,
        centers=representation.species,
        method=representation.method,
        tolerance=representation.tolerance,
    )


@torch.no_grad()
def _moments(
    descriptor: Representation, structures: Structures, seed: int
) -> list[tuple[int, Float[Tensor, " feature"], Float[Tensor, "feature feature"]]]:
    """Number of atoms of each species, sums of their invariants and of products of these."""
    found = {}
    for batch in batches_of(structures, sample_of(structures, seed)):
        values, kinds = invariants_of(descriptor, batch)
        values = values.double().cpu()
        for kind in range(len(descriptor.species)):
            own = values[kinds.cpu() == kind]
            before = found.get(kind, (0, 0.0, 0.0))
            sums = (len(own), own.sum(dim=0), own.T @ own)
            found[kind] = tuple(a + b for a, b in zip(before, sums, strict=True))
    return [found[kind] for kind in range(len(descriptor.species))]


def _components(
    number: int,
    total: Float[Tensor, " feature"],
    square: Float[Tensor, "feature feature"],
    components: int,
) -> Float[Tensor, "feature component"]:
    """Leading eigenvectors of the covariance, divided by the spread along them."""
    if number == 0:  # in none of the structures that were looked at
        return square.new_zeros(len(square), 0)
    mean = total / number
    covariance = square / number - mean[:, None] * mean
    variances, vectors = torch.linalg.eigh(covariance)
    variances, vectors = variances.flip(0), vectors.flip(1)
    size = max(float(variances[0]), _LEAST * float(square.diagonal().sum()) / number)
    rank = min(components, int((variances > _LEAST * size).sum()), max(number - 1, 0))
    leading = vectors[:, :rank]
    signs = leading.gather(0, leading.abs().argmax(dim=0, keepdim=True)).sign()
    return leading * signs / variances[:rank].sqrt()


def _tell(ranks: list[int], components: int, species: tuple[int, ...]) -> None:
    poor = [(rank, z) for rank, z in zip(ranks, species, strict=True) if rank < components]
    if poor:
        told = ", ".join(f"{chemical_symbol(z)} in {rank}" for rank, z in poor)
        warnings.warn(
            f"surroundings vary in fewer than {components} ways: {told}; so many components "
            "describe their sources",
            DataWarning,
            stacklevel=2,
        )
