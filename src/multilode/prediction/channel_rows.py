"""Rows of products of fields for every channel of their sources, to be mixed."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.correlations import one_point, power_spectrum
from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.features import Features
from multilode.errors import renumber_errors
from multilode.models import Ridge
from multilode.models.pooling import pool, species_slots
from multilode.models.reduce import Reduce
from multilode.models.solve.scaling import POWERS
from multilode.prediction.row_bases import MOST_COLUMNS, RowBasis
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures

# Not what is free here and now: the same data give the same sources on every machine
MOST_DOUBLES = 120_000_000  # of rows for all channels: 1 GB, and three of it while they are made
_SAMPLE = 500  # structures whose rows say which directions of columns there are


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelRows:
    """Rows of one product of fields, linear in the strengths of the factors that are mixed.

    Args:
        values: channels of the factors that are mixed stand last, those of two of them as pairs.
        names: of the fields that are mixed, in the order of the factors.
    """

    values: Float[Tensor, "row column channel"]
    names: tuple[str, ...]

    def mixed(self, mixtures: Mapping[str, Float[Tensor, "_ _"]]) -> Float[Tensor, "row mixed"]:
        """The rows in mixtures of channels, columns in any order and turned against each other."""
        if not self.names:
            return self.values[:, :, 0]
        matrix = mixtures[self.names[0]]
        if len(self.names) == 2:
            matrix = torch.kron(matrix, mixtures[self.names[1]])
        return (self.values @ matrix).flatten(start_dim=1)


@torch.no_grad()
def channel_rows(
    representation: Representation,
    mixed: Collection[str],
    structures: Structures,
    estimator: Ridge,
    reduce: Reduce,
) -> list[ChannelRows]:
    """Rows of all products, those of fragments subtracted, in few directions of their columns.

    Directions are those of some hundred structures, so that no more than these have all columns at
    a time.

    Args:
        representation: with the channels that are mixed as sources.
        mixed: names of the fields whose sources are mixed.
        structures: one row for each.
        estimator: whether species of centers have columns of their own; scaling of columns, "auto"
            stands for the root of their spread.
        reduce: sum or mean over centers.

    Raises:
        ValueError: if a product has more than two fields.
    """
    shapes = [_shape(representation, names, mixed, estimator) for names in representation.products]
    centers = representation.centers if estimator.per_species else None
    own = (representation, shapes, centers, reduce)
    power = POWERS.get(estimator.scaling, POWERS["root"])
    n = structures.n_structures
    all_columns = sum(math.prod(shape) for shape in shapes)
    many = min(_SAMPLE, n, max(2, MOST_DOUBLES // all_columns))
    some = torch.linspace(0, n - 1, many).round().long()
    bases = [
        RowBasis.of(torch.cat(values), power)
        for values in zip(*_batches(structures.select(some), *own), strict=True)
    ]
    parts: list[list[Tensor]] = [[] for _ in shapes]
    for batch in _batches(structures, *own):
        for part, basis, values in zip(parts, bases, batch, strict=True):
            part.append(basis.of_rows(values))
    return [
        ChannelRows(values=torch.cat(part), names=tuple(n for n in names if n in mixed))
        for part, names in zip(parts, representation.products, strict=True)
    ]


def _batches(
    structures: Structures,
    representation: Representation,
    shapes: Sequence[tuple[int, ...]],
    centers: tuple[int, ...] | None,
    reduce: Reduce,
) -> Iterator[list[Float[Tensor, "row column channel"]]]:
    """All columns of all products, of one batch of structures after the other."""
    for start, stop in batch_limits(structures, BATCH_ATOMS):
        with renumber_errors(range(start, stop)):
            batch = structures.select(torch.arange(start, stop))
            made = _whole_and_parts(representation, batch)
        found = []
        for names, shape in zip(representation.products, shapes, strict=True):
            signed = [
                sign * _pooled(part, representation, names, centers, reduce) for sign, part in made
            ]
            found.append(_channels_last(torch.stack(signed).sum(dim=0), shape))
        yield found


def _channels_last(
    rows: Float[Tensor, "row _"], shape: tuple[int, ...]
) -> Float[Tensor, "row column channel"]:
    """Columns in parts of these sizes, every second of which are channels."""
    axes = list(range(1, len(shape) + 1))
    order = [0, *axes[::2], *axes[1::2]]
    found = rows.reshape(len(rows), *shape).permute(order)
    return found.reshape(len(rows), math.prod(shape[::2]), math.prod(shape[1::2]))


def doubles_of_a_row(
    representation: Representation, mixed: Collection[str], estimator: Ridge
) -> int:
    """Numbers in a row of all products, in few directions of their columns.

    Raises:
        ValueError: if a product has more than two fields.
    """
    shapes = (_shape(representation, names, mixed, estimator) for names in representation.products)
    return sum(min(math.prod(one[::2]), MOST_COLUMNS) * math.prod(one[1::2]) for one in shapes)


def _shape(
    representation: Representation,
    names: tuple[str, ...],
    mixed: Collection[str],
    estimator: Ridge,
) -> tuple[int, ...]:
    """Sizes of the parts of the columns of a product: (center species, l), factors."""
    slots = len(representation.centers) if estimator.per_species else 1
    if len(names) > 2:
        raise ValueError(
            f"sources are fitted with products of one or two fields; {' x '.join(names)} has "
            f"{len(names)}: leave it out, or use sources of the kind described"
        )
    first = representation.fields[next(iter(names))]
    degrees = 1 if len(names) == 1 else first.max_angular + 1
    shape, before = [], slots * degrees
    for name in names:
        size, sources = representation.n_channels_of(name), representation.sources_of(name)
        if name not in mixed or sources is None:
            before *= size
            continue
        shape += [before, sources.n_channels]
        before = size // sources.n_channels
    return *shape, before


def _whole_and_parts(
    representation: Representation, structures: Structures
) -> list[tuple[int, Features]]:
    """Coefficients of structures, and of their fragments in the rows of the whole, with signs."""
    found = [(1, representation.coefficients(structures))]
    if representation.fragments is None:
        return found
    alone, atom = structures.parts(structures.array(representation.fragments))
    parts = representation.coefficients(alone)
    owner = structures.structure_index[atom[representation.centers_of(alone)]]
    moved = Features(
        terms=parts.terms,
        structure_index=owner,
        center_species=parts.center_species,
        n_structures=structures.n_structures,
    )
    return [*found, (-1, moved)]


def _pooled(
    coefficients: Features,
    representation: Representation,
    names: tuple[str, ...],
    centers: tuple[int, ...] | None,
    reduce: Reduce,
) -> Float[Tensor, "row column"]:
    """Rows of a product; that of a field with itself has all pairs of columns, in both orders."""
    fields = dict(zip(representation.used, coefficients.terms, strict=True))
    left = fields[names[0]]
    if len(names) == 1:
        values = one_point(left)
    else:
        right = fields[names[1]]
        apart = Equivariants(right.blocks, right.labels, right.centers)
        values = power_spectrum(left, apart)
    slots = None if centers is None else species_slots(coefficients.center_species, centers)
    return pool(
        values.cpu().double(),
        coefficients.structure_index.cpu(),
        coefficients.n_structures,
        reduce=reduce,
        slots=None if slots is None else slots.cpu(),
        n_slots=1 if centers is None else len(centers),
    )
