"""Fields on bases and their products, before the species are known."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

from multilode.data.inputs import Data, as_structures
from multilode.expansion import FieldExpansion, check_method
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.radial import GaussianTypeOrbitals
from multilode.radial.tables import check_tolerance
from multilode.representation.channel_fit import ChannelNumber, check_channels, with_channels
from multilode.representation.representation import Representation, described
from multilode.representation.sources.recipes import AbstractSourceRecipe
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import Irrep

DEFAULT_CUTOFF = 4.0
DEFAULT_PRODUCTS = "rho*rho + rho*V"


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class FeatureRecipe:
    """Everything that defines features, except for the species.

    Args:
        fields: named fields with their bases.
        products: names of the fields that are multiplied, for each term of the features.
        method: of expansions without a cutoff, "auto" or a name in `expansion.METHODS`.
        tolerance: relative accuracy of the expansion; by default 1e-8, in single precision 1e-4.
        channels: number of mixtures of (species, n) in each field, fitted to the training set, as
            in `with_channels`: "auto" for 16 if there are more than three species; None keeps all.
        sources: what makes the sources of a field, by its name; by default each species is one.

    Raises:
        ValueError: if a product or sources name an unknown field, the method is unknown, or the
            tolerance or
            the number of channels is out of range.
    """

    fields: Mapping[str, FieldExpansion]
    products: tuple[tuple[str, ...], ...]
    method: str = "auto"
    tolerance: float | None = None
    channels: ChannelNumber = "auto"
    sources: Mapping[str, AbstractSourceRecipe] = field(default_factory=dict)

    def __repr__(self) -> str:
        products, lines = described(self.products, self.fields)
        return "\n".join([f"FeatureRecipe({products}", *lines]) + ")"

    def __post_init__(self) -> None:
        _check_names(self.products, self.fields)
        unknown = [name for name in self.sources if name not in self.fields]
        if unknown:
            raise ValueError(
                f"sources of the field '{unknown[0]}'; defined are {', '.join(self.fields)}"
            )
        check_method(self.method)
        if self.tolerance is not None:
            check_tolerance(self.tolerance)
        try:
            check_channels(self.channels)
        except ValueError as error:
            raise ValueError(f"channels {error}") from error

    def representation(
        self,
        species: Sequence[int],
        centers: Sequence[int] | None = None,
        irreps: tuple[Irrep, ...] | None = None,
    ) -> Representation:
        """The features for structures of these species, with all (species, n) of fields.

        Args:
            species: atomic numbers of the training set, in any order.
            centers: atomic numbers of the atoms that carry features; by default all species.
            irreps: symmetries of the features; by default only invariants.

        Raises:
            ValueError: if a center is not among the species, or the products do not fit together.
        """
        known = tuple(sorted(set(species)))
        return Representation(
            fields=self.fields,
            products=self.products,
            species=known,
            centers=known if centers is None else tuple(sorted(set(centers))),
            irreps=irreps,
            method=self.method,
            tolerance=self.tolerance,
        )

    def for_species(self, species: Sequence[int]) -> Representation:
        """The recipe for some elements, all of which are centers, without channels."""
        return self.representation(species)

    def for_structures(self, structures: Data) -> Representation:
        """The recipe for a training set: its elements, sources and channels fitted to it."""
        structures = as_structures(structures, self.arrays)
        return self.prepared(self.representation(structures.species.unique().tolist()), structures)

    def prepared(
        self, representation: Representation, structures: Structures, *, seed: int = 0
    ) -> Representation:
        """The representation with sources and channels of this recipe, fitted to a training set.

        Sources that are fitted together with a model are what these will be mixed from.

        Args:
            representation: from `representation`.
            structures: of the training set, with the arrays that sources need.
            seed: of the choice of structures that are looked at.

        Raises:
            ValueError: as in `with_channels`, or if sources cannot be had from the structures.
        """
        found = {
            name: one.start(name, representation, structures, seed)
            for name, one in self.sources.items()
        }
        if found:
            representation = replace(representation, sources=found)
        return with_channels(representation, structures, self.channels, seed=seed)

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the numbers of atoms that structures have to bring along."""
        return tuple(dict.fromkeys(key for one in self.sources.values() for key in one.arrays))


def features(
    products: str = DEFAULT_PRODUCTS,
    *,
    cutoff: float = DEFAULT_CUTOFF,
    method: str = "auto",
    tolerance: float | None = None,
    channels: ChannelNumber = "auto",
    sources: Mapping[str, AbstractSourceRecipe] | None = None,
    **fields: FieldExpansion,
) -> FeatureRecipe:
    """A recipe in one line: `features("rho*rho + rho*V", cutoff=4.0)`.

    Args:
        products: terms of the features, sums of products of fields; `rho` is the density and `V`
            the Coulomb potential of smeared atoms, unless they are given.
        cutoff: radius in Å of both bases, and of the neighbors that make the density.
        method: expansion method of fields without a cutoff.
        tolerance: relative accuracy of the expansion.
        channels: number of mixtures of (species, n) in each field, see `FeatureRecipe`.
        sources: what makes the sources of fields, likewise.
        fields: further fields by name.

    Raises:
        ValueError: if the text is no sum of products, or names a field that is not defined.
    """
    known = {**default_fields(cutoff), **fields}
    parsed = parse_products(products)
    _check_names(parsed, known)
    used = {name for names in parsed for name in names}
    idle = sorted(set(fields) - used)
    if idle:
        raise ValueError(
            f"the field '{idle[0]}' is in no product of '{products}'; add or remove it"
        )
    return FeatureRecipe(
        fields={name: field for name, field in known.items() if name in used},
        products=parsed,
        method=method,
        tolerance=tolerance,
        channels=channels,
        sources=sources or {},
    )


def default_fields(cutoff: float = DEFAULT_CUTOFF) -> dict[str, FieldExpansion]:
    """The two fields that exist without being defined: `rho` and `V`.

    Args:
        cutoff: radius in Å of both bases, and of the neighbors that make the density.
    """
    basis = GaussianTypeOrbitals(n_radial=6, radius=cutoff)
    return {
        "rho": FieldExpansion(GaussianDensity(0.3), basis, 4, neighbor_cutoff=cutoff),
        "V": FieldExpansion(SmearedPotential(smearing=1.0, exponent=1.0), basis, 4),
    }


def parse_products(text: str) -> tuple[tuple[str, ...], ...]:
    """Names of fields in each product of a sum such as "rho*rho + rho*V".

    Raises:
        ValueError: if the text has another form.
    """
    products = tuple(tuple(name.strip() for name in term.split("*")) for term in text.split("+"))
    for names in products:
        for name in names:
            if not re.fullmatch(r"\w+", name):
                raise ValueError(
                    f"'{text}' is no sum of products of fields; write names, '*' and '+' as in "
                    f"'{DEFAULT_PRODUCTS}'"
                )
    return products


def _check_names(products: Sequence[Sequence[str]], fields: Mapping[str, FieldExpansion]) -> None:
    unknown = [name for names in products for name in names if name not in fields]
    if unknown:
        raise ValueError(
            f"a product names the field '{unknown[0]}'; defined are {', '.join(fields)}; define it "
            "or choose one of them"
        )
