"""Principal components of the surroundings of each species, fitted to a training set."""

import warnings
from dataclasses import replace

import torch

from multilode.errors import DataWarning
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.channel_fit import batches_of, sample_of
from multilode.representation.representation import Representation
from multilode.representation.sources.described import DescribedSources, invariants_of
from multilode.representation.sources.moments import Moments
from multilode.structures.batch import Structures
from multilode.structures.elements import chemical_symbol

# Few functions: a strength is a smooth number of bonds and angles
_RADIAL, _ANGULAR, _SMEARING = 4, 2, 0.4


def described_sources(
    name: str,
    representation: Representation,
    structures: Structures,
    components: int,
    cutoff: float | None,
    *,
    responding: bool,
    toward: str | None = None,
    mixing: float = 0.5,
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
        toward: name of numbers of atoms that the components are to explain; None for none.
        mixing: 1 for the largest variances alone, 0 for what explains the numbers alone.
        seed: of the choice of structures.

    Warns:
        DataWarning: if the surroundings of a species vary in fewer ways.
    """
    descriptor = _descriptor(name, representation, cutoff, responding=responding)
    sums = _moments(descriptor, structures, toward, seed)
    n_species, width = len(descriptor.species), components + 1
    offsets = torch.zeros(n_species, n_species * width, dtype=torch.float64)
    n_features = sums[0].n_features
    weights = torch.zeros(n_species, n_features, n_species * width, dtype=torch.float64)
    ranks = []
    for kind, own in enumerate(sums):
        first = kind * width
        offsets[kind, first] = 1
        found = own.components(components, mixing)
        some = slice(first + 1, first + 1 + found.shape[1])
        weights[kind, :, some] = found
        offsets[kind, some] = -own.mean @ found
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
    descriptor: Representation, structures: Structures, toward: str | None, seed: int
) -> list[Moments]:
    """Sums over the atoms of each species."""
    found: list[Moments] = []
    for batch in batches_of(structures, sample_of(structures, seed)):
        values, kinds = invariants_of(descriptor, batch)
        values, kinds = values.double().cpu(), kinds.cpu()
        numbers = values.new_zeros(len(values), 0)
        if toward is not None:
            numbers = batch.array(toward).double().cpu().reshape(len(values), -1)
        each = [(kinds == kind).nonzero()[:, 0] for kind in range(len(descriptor.species))]
        own = [Moments.of(values[some], numbers[some]) for some in each]
        found = [a.joined(b) for a, b in zip(found, own, strict=True)] if found else own
    return found


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
