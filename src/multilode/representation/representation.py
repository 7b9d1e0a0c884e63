"""The recipe from structures to features: which fields, on which bases, correlated how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from multilode.correlations import (
    Contraction,
    ContractionSettings,
    FieldChannels,
    correlate,
    fit_contraction,
    one_point,
    one_point_labels,
    power_spectrum,
    power_spectrum_labels,
    reachable_irreps,
)
from multilode.data.inputs import Data, as_structures
from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.features import Features
from multilode.expansion import FieldExpansion, check_method, expand
from multilode.numerics.modes import own_modes
from multilode.radial import orthonormalize
from multilode.radial.tables import check_tolerance
from multilode.representation.abstract import AbstractRepresentation, require_species
from multilode.representation.sources.abstract import AbstractSources
from multilode.structures.batch import Structures
from multilode.structures.elements import atomic_number
from multilode.symmetry.irrep import Irrep


def described(
    products: Sequence[Sequence[str]], fields: Mapping[str, FieldExpansion]
) -> tuple[str, list[str]]:
    """Products of fields on one line, and a line for each field on its basis."""
    text = " + ".join(" x ".join(names) for names in products)
    lines = [
        f"  {name}: {one.field} of {_atoms(one)} on {one.basis}, l <= {one.max_angular}"
        for name, one in fields.items()
    ]
    return text, lines


def _atoms(expansion: FieldExpansion) -> str:
    """Which atoms make a field."""
    if expansion.neighbor_cutoff is not None:
        return f"atoms within {expansion.neighbor_cutoff:g} Å"
    if expansion.near_radius is None:
        return "all atoms"
    side = "within" if expansion.range == "near" else "beyond"
    return f"atoms {side} {expansion.near_radius:g} Å"


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class Representation(AbstractRepresentation):
    """Features around every center of the chosen species.

    Args:
        fields: named fields with their bases.
        products: names of fields to multiply: one for the expansion coefficients themselves,
            two for the power spectrum of two fields, or of one with itself, more for higher orders.
        species: atomic numbers that may occur, ascending; they come from the training set.
        centers: atomic numbers of the atoms that carry features.
        irreps: symmetries of the features, for models of tensors; None for invariants alone.
        contractions: of each product, from `contracted`; None for those that keep all features.
        method: of expansions without a cutoff, "auto" or a name in `expansion.METHODS`.
        tolerance: relative accuracy of the expansion coefficients, from 1e-12 to 1e-2; by default
            1e-8, and 1e-4 in single precision.
        channels: mixtures of (species, n) of fields by name, from `with_channels`; a field that is
            not named keeps all.
        sources: strengths of the atoms that make a field, by its name; each species is a channel of
            a field that is not named.
        fragments: name of the numbers of atoms that divide structures into fragments: features are
            then those of the whole less those of each fragment by itself.

    Raises:
        ValueError: if a name is unknown, invariants of two fields are wanted that differ in
            `max_angular`, no product has one of the irreps, or the tolerance is out of range.
        TypeError: if the method is no name, or the tolerance no number.
    """

    fields: Mapping[str, FieldExpansion]
    products: tuple[tuple[str, ...], ...]
    species: tuple[int, ...]
    centers: tuple[int, ...]
    irreps: tuple[Irrep, ...] | None = None
    contractions: tuple[Contraction | None, ...] | None = None
    method: str = "auto"
    tolerance: float | None = None
    channels: Mapping[str, FieldChannels] | None = None
    sources: Mapping[str, AbstractSources] | None = None
    fragments: str | None = None

    def __repr__(self) -> str:
        products, lines = described(self.products, self.fields)
        known = f"species {list(self.species)}, centers {list(self.centers)}"
        mixed = [f"channels {dict(self.channels)}"] if self.channels else []
        mixed += [f"sources {dict(self.sources)}"] if self.sources else []
        mixed += [f"less those of fragments by '{self.fragments}'"] if self.fragments else []
        more = [f"irreps {[tuple(irrep) for irrep in self.irreps]}"] if self.irreps else []
        return (
            "\n".join([f"Representation({', '.join([products, known, *mixed, *more])}", *lines])
            + ")"
        )

    def __post_init__(self) -> None:
        for number in (*self.species, *self.centers):
            if isinstance(number, str):
                raise ValueError(
                    f"species and centers are atomic numbers, not '{number}'; give "
                    f"{atomic_number(number)}"
                )
        if list(self.species) != sorted(set(self.species)) or not self.species:
            raise ValueError(f"species must ascend without repetition, got {self.species}")
        if not self.centers or not set(self.centers) <= set(self.species):
            raise ValueError(f"centers {self.centers} must be among the species {self.species}")
        if not self.products:
            raise ValueError("a representation needs at least one product, such as (rho, rho)")
        self._check_products()
        if self.contractions is not None and len(self.contractions) != len(self.products):
            raise ValueError(
                f"{len(self.contractions)} contractions for {len(self.products)} products; "
                "give one for each, None where all features are kept"
            )
        for irrep in self.irreps or ():
            if not any(irrep in self._irreps_of(names) for names in self.products):
                products = ", ".join(" x ".join(names) for names in self.products)
                raise ValueError(
                    f"none of {products} has features of degree {irrep.degree} and parity "
                    f"{irrep.parity}; raise max_angular or multiply more fields"
                )
        check_method(self.method)
        if self.tolerance is not None:
            check_tolerance(self.tolerance)

    def _check_products(self) -> None:
        for names in self.products:
            self._check_product(names)
        for noun, given in (("channels", self.channels), ("sources", self.sources)):
            for name in given or {}:
                if name not in self.used:
                    raise ValueError(f"{noun} of the field '{name}', which is in no product")

    def _check_product(self, names: tuple[str, ...]) -> None:
        unknown = [name for name in names if name not in self.fields]
        if unknown:
            raise ValueError(
                f"product {list(names)} names the field '{unknown[0]}'; "
                f"defined are {sorted(self.fields)}"
            )
        if not names:
            raise ValueError("a product is empty; name at least one field")
        degrees = {name: self.fields[name].max_angular for name in names}
        if len(set(degrees.values())) > 1 and len(names) == 2 and self.irreps is None:
            raise ValueError(
                f"product {list(names)} joins fields with max_angular {degrees}; make them equal"
            )

    def for_species(self, species: Sequence[int]) -> "Representation":  # noqa: ARG002
        """The same: its species are given. A `FeatureRecipe` takes those of the training set."""
        return self

    def for_structures(self, structures: Data) -> "Representation":  # noqa: ARG002
        """The same: its species and channels are given."""
        return self

    @own_modes()
    def compute(self, structures: Data) -> Features:
        """Features of all centers in the batch, differentiable in positions and cells.

        With fragments each center has what it has in the whole less what it has in its fragment.

        Source: theory#fragments.

        Args:
            structures: a batch, a data set, or objects of ASE.

        Raises:
            ValueError: if a structure has a species that is not in `species`, or lacks an array.
        """
        structures = as_structures(structures, self.arrays)
        found = self.multiplied(self.coefficients(structures))
        if self.fragments is None:
            return found
        alone, atom = structures.parts(structures.array(self.fragments))
        parts = self.multiplied(self.coefficients(alone))
        place = torch.argsort(atom[self.centers_of(alone)])  # of the centers of the whole
        pairs = zip(found.terms, parts.terms, strict=True)
        return replace(found, terms=tuple(_less(whole, part, place) for whole, part in pairs))

    def multiplied(self, coefficients: Features) -> Features:
        """The products of fields, from their coefficients: from `coefficients`, or of others."""
        products = self._products(coefficients)
        make = self._invariants if self.irreps is None else self._equivariants
        terms = tuple(make(k, factors) for k, factors in enumerate(products))
        return replace(coefficients, terms=terms)

    @own_modes()
    def coefficients(self, structures: Data) -> Features:
        """Expansion coefficients around all centers, one term per field in the order of `used`.

        Fields that have channels are in these.

        Args:
            structures: a batch, a data set, or objects of ASE.

        Raises:
            ValueError: if a structure has a species that is not in `species`.
        """
        structures = as_structures(structures, self.arrays)
        if self.sources:
            require_species(structures, self.species)
        centers = self.centers_of(structures)
        terms = tuple(self._field(name, structures, centers) for name in self.used)
        return Features(
            terms=terms,
            structure_index=structures.structure_index[centers],
            center_species=structures.species[centers],
            n_structures=structures.n_structures,
        )

    def _field(
        self, name: str, structures: Structures, centers: Int[Tensor, " center"]
    ) -> Equivariants:
        sources = self.sources_of(name)
        field = expand(
            self.fields[name],
            structures,
            species=self.species if sources is None else None,
            strengths=None if sources is None else sources.strengths(structures),
            centers=centers,
            method=self.method if self.fields[name].neighbor_cutoff is None else "auto",
            tolerance=self.tolerance,
        )
        mixtures = self.channels_of(name)
        return field if mixtures is None else mixtures.mix(field)

    def n_channels_of(self, name: str) -> int:
        """Number of coefficients of a field for each l and m: channels, or (species, n)."""
        mixtures, field = self.channels_of(name), self.fields[name]
        if mixtures is not None:
            return mixtures.number
        functions = orthonormalize(field.basis, field.max_angular).values.shape[1]
        sources = self.sources_of(name)
        return (len(self.species) if sources is None else sources.n_channels) * functions

    def sources_of(self, name: str) -> AbstractSources | None:
        """The sources of a field; None if each species is a channel."""
        return None if self.sources is None else self.sources.get(name)

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the numbers of atoms that structures have to bring along."""
        names = [] if self.fragments is None else [self.fragments]
        names += [key for sources in (self.sources or {}).values() for key in sources.arrays]
        return tuple(dict.fromkeys(names))

    @property
    def has_fixed_species(self) -> bool:
        """Whether every field is made by species, and no fragments are subtracted."""
        return not self.sources and self.fragments is None

    def channels_of(self, name: str) -> FieldChannels | None:
        """The channels of a field; None if it keeps all (species, n)."""
        return None if self.channels is None else self.channels.get(name)

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the fields that are in any product."""
        named = {name for names in self.products for name in names}
        return tuple(name for name in self.fields if name in named)

    def with_irreps(self, irreps: tuple[Irrep, ...] | None) -> "Representation":
        """The same recipe for features of other symmetries.

        Raises:
            ValueError: if no product has one of the irreps.
        """
        return self if irreps == self.irreps else replace(self, irreps=irreps)

    def terms_with(self, irrep: Irrep) -> tuple[int, ...]:
        """Numbers of the products that have features of an irrep."""
        return tuple(k for k, names in enumerate(self.products) if irrep in self._wanted(names))

    @own_modes()
    def contracted(
        self, batches: Sequence[Structures], settings: ContractionSettings
    ) -> "Representation":
        """The same recipe with fewer features where three fields or more are multiplied.

        Args:
            batches: structures of a training set, to which contractions are fitted.
            settings: number of features to keep, and their choice.

        Raises:
            ValueError: if there is no center among the structures.
        """
        long = [k for k, names in enumerate(self.products) if len(names) > 2]
        with torch.no_grad():
            products = [self._products(self.coefficients(batch)) for batch in batches]
        fitted: list[Contraction | None] = [None] * len(self.products)
        for k in long:
            irreps = self._wanted(self.products[k])
            fitted[k] = fit_contraction([batch[k] for batch in products], irreps, settings)
        return replace(self, contractions=tuple(fitted))

    def centers_of(self, structures: Structures) -> Int[Tensor, " center"]:
        """The atoms that carry features, ascending."""
        wanted = torch.tensor(self.centers, device=structures.species.device)
        return torch.isin(structures.species, wanted).nonzero().flatten()

    def _products(self, coefficients: Features) -> list[list[Equivariants]]:
        """Factors of each product; equal names are the same object."""
        fields = dict(zip(self.used, coefficients.terms, strict=True))
        return [[fields[name] for name in names] for names in self.products]

    def _irreps_of(self, names: tuple[str, ...]) -> frozenset[Irrep]:
        return reachable_irreps(tuple(self.fields[name].max_angular for name in names))

    def _wanted(self, names: tuple[str, ...]) -> tuple[Irrep, ...]:
        mine = self._irreps_of(names)
        return tuple(irrep for irrep in self.irreps or (Irrep(0),) if irrep in mine)

    def _equivariants(self, k: int, factors: list[Equivariants]) -> Equivariants:
        contraction = None if self.contractions is None else self.contractions[k]
        wanted = self._wanted(self.products[k])
        if not wanted:  # other products have what is asked for
            return Equivariants({}, {}, factors[0].centers)
        return correlate(factors, wanted, contraction)

    def _invariants(self, k: int, factors: list[Equivariants]) -> Equivariants:
        """Without the general machinery of products, which is slower for one or two factors."""
        if len(factors) == 1:
            values, labels = one_point(factors[0]), one_point_labels(factors[0])
        elif len(factors) == 2:
            values, labels = power_spectrum(*factors), power_spectrum_labels(*factors)
        else:
            return self._equivariants(k, factors)
        block = values[:, None]  # [center, m, feature], a view
        return Equivariants({Irrep(0): block}, {Irrep(0): labels}, factors[0].centers)


def _less(whole: Equivariants, parts: Equivariants, place: Int[Tensor, " center"]) -> Equivariants:
    """What the centers have less what they have in the parts, whose centers are in other places."""
    blocks = {irrep: block - parts.blocks[irrep][place] for irrep, block in whole.blocks.items()}
    return replace(whole, blocks=blocks)
