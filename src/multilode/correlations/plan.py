"""Plan of a product: pairs of blocks (l1, l2) for each irrep, their order and their weights.

The product of two expansions with l <= 1 has, for degree 1 and parity 1, the pairs (0, 1) and (1,
0); (1, 1) couples to degree 1 with parity -1 only. Each pair of blocks is one `Term`, all its
channels (Q1, Q2) side by side.

Of a field with itself, rho x rho x rho x ..., products that differ by the order of their channels
are equal, and one of them is kept: that with ascending channels. It stands for all, with the root
of their number as weight. A channel remembers for this its last factor, how many factors in a row
are the same field (`run`), and how many of the last ones are the same channel (`repeats`): of the
orders of n factors in a row, n! / (repeats! ...) are different.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multilode.correlations.factor import Channels, Factor
from multilode.equivariants.labels import FeatureLabels
from multilode.symmetry.coupling import clebsch_gordan
from multilode.symmetry.irrep import Irrep


@final
@dataclass(frozen=True, eq=False)
class Selection:
    """The products of two blocks that are kept, where not all of them are.

    Args:
        products: numbers of the products [left, m, right], in the order of the result [m, feature].
        weights: of the features.
    """

    products: Int[Tensor, " product"]
    weights: Float[Tensor, " feature"]


@final
@dataclass(frozen=True, eq=False)
class Term:
    """Pair of blocks: products of some left columns with all right columns, coupled to one irrep.

    Args:
        left: block of the left factor.
        right: block of the right factor.
        start: first column of the left block.
        stop: the one after the last.
        contracts_left: whether the coupling is applied to the left factor.
        coupling: coefficients and weight, as [m1, (m, m2)] for the left factor and as
            [(m1, m), m2] for the right one.
        selection: the products that are kept; None for all, with weight 1.
        first: first column of the result.
        last: the one after its last.
    """

    left: Irrep
    right: Irrep
    start: int
    stop: int
    contracts_left: bool
    coupling: Float[Tensor, "_ _"]
    selection: Selection | None
    first: int
    last: int


@final
@dataclass(frozen=True, eq=False)
class Plan:
    """Plan of one product: its terms, and the factor that its result is.

    Args:
        terms: pairs of blocks of each irrep, in the order of the columns.
        result: labels and history of the channels of the result.
    """

    terms: Mapping[Irrep, tuple[Term, ...]]
    result: Factor


def product_irreps(left: Irrep, right: Irrep) -> list[Irrep]:
    """Irreps in the product of two irreps. Source: theory#coupling; Grisafi2021 Eq. 6."""
    degrees = range(abs(left.degree - right.degree), left.degree + right.degree + 1)
    return [Irrep(l, _parity(left, right, l)) for l in degrees]


@lru_cache(maxsize=256)
def reachable_irreps(max_angulars: tuple[int, ...]) -> frozenset[Irrep]:
    """Irreps in the product of expansions with these largest l."""
    fields = [[Irrep(l) for l in range(top + 1)] for top in max_angulars]
    reached = set(fields[0])
    for field in fields[1:]:
        reached = {irrep for a in reached for b in field for irrep in product_irreps(a, b)}
    return frozenset(reached)


def _parity(left: Irrep, right: Irrep, degree: int) -> int:
    return left.parity * right.parity * (-1) ** (left.degree + right.degree + degree)


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def plan_product(
    left: Factor,
    right: Factor,
    irreps: tuple[Irrep, ...],
    repeated: bool,  # noqa: FBT001 - the cache wants positional arguments
) -> Plan:
    """Terms of a product of two factors, and the labels of the result.

    Source: theory#coupling; theory#unordered-pairs.

    Args:
        left: a field or a product of fields.
        right: a field.
        irreps: irreps to compute.
        repeated: whether the right field is the last one of the left factor. Products that differ
            by the order of its channels only are then computed in ascending order, with the weight
            that keeps scalar products: the root of the number of orders.
    """
    ordered = repeated and left.run > 0
    terms, channels = {}, {}
    for irrep in sorted(irreps):
        builder = _Builder(left, right, irrep, ordered)
        if builder.terms:
            terms[irrep] = tuple(builder.terms)
            channels[irrep] = builder.channels()
    run = left.run + 1 if repeated and left.run > 0 else 1
    return Plan(terms, Factor(channels, left.order + 1, run))


class _Builder:
    """Collects the terms of one irrep."""

    def __init__(self, left: Factor, right: Factor, irrep: Irrep, ordered: bool) -> None:  # noqa: FBT001
        self.left, self.right, self.irrep = left, right, irrep
        self.terms: list[Term] = []
        self.parts: list[Channels] = []
        for number, second in enumerate(right.channels):
            for first in left.channels:
                if irrep not in product_irreps(first, second):
                    continue
                last = left.channels[first].last_block
                if not ordered:
                    self.add(first, second, number, 0, len(last))
                    continue
                middle, end = np.searchsorted(last, [number, number + 1])
                self.add(first, second, number, 0, int(middle), weight=(left.run + 1) ** 0.5)
                self.add_ordered(first, second, number, int(middle), int(end))

    def add_ordered(self, first: Irrep, second: Irrep, number: int, start: int, stop: int) -> None:
        """The term of left columns whose last factor is the block that they are multiplied with."""
        mine = self.left.channels[first]
        previous = mine.last_channel[start:stop, None]
        column = np.arange(len(self.right.channels[second].labels))
        wanted = previous <= column
        same = previous == column
        if self.left.order == 1 and (first.degree + second.degree + self.irrep.degree) % 2:
            wanted &= ~same  # the antisymmetric product of a vector with itself
        repeats = np.where(same, mine.repeats[start:stop, None] + 1, 1)
        self.add(
            first, second, number, start, stop, wanted, repeats, weight=(self.left.run + 1) ** 0.5
        )

    def add(
        self,
        first: Irrep,
        second: Irrep,
        number: int,
        start: int,
        stop: int,
        wanted: Bool[np.ndarray, "left right"] | None = None,
        repeats: Int[np.ndarray, "left right"] | None = None,
        *,
        weight: float = 1.0,
    ) -> None:
        shape = (stop - start, len(self.right.channels[second].labels))
        if wanted is None or repeats is None:
            wanted, repeats = np.ones(shape, dtype=bool), np.ones(shape, dtype=np.int64)
        rows, columns = np.nonzero(wanted)
        if not len(rows):
            return
        before = self.terms[-1].last if self.terms else 0
        left_first = _contracts_left(first.degree, second.degree, *shape)
        self.terms.append(
            Term(
                left=first,
                right=second,
                start=start,
                stop=stop,
                contracts_left=left_first,
                coupling=weight * _coupling(first, second, self.irrep.degree, left_first),
                selection=_selection(wanted, repeats, self.irrep.degree),
                first=before,
                last=before + len(rows),
            )
        )
        labels = _joined(self.left, self.right, first, second, rows + start, columns)
        blocks = np.full(len(rows), number)
        self.parts.append(Channels(labels, blocks, columns, repeats[rows, columns]))

    def channels(self) -> Channels:
        parts = self.parts
        labels = FeatureLabels(
            parts[0].labels.names, np.concatenate([p.labels.values for p in parts])
        )
        return Channels(
            labels,
            np.concatenate([p.last_block for p in parts]),
            np.concatenate([p.last_channel for p in parts]),
            np.concatenate([p.repeats for p in parts]),
        )


def _selection(
    wanted: Bool[np.ndarray, "left right"], repeats: Int[np.ndarray, "left right"], degree: int
) -> Selection | None:
    """The wanted products with their weights; None if these are all, with weight 1."""
    rows, columns = np.nonzero(wanted)
    if len(rows) == wanted.size and repeats.max() == 1:
        return None
    n = 2 * degree + 1
    products = ((rows * n + np.arange(n)[:, None]) * wanted.shape[1] + columns).ravel()
    weights = repeats[rows, columns] ** -0.5
    return Selection(torch.from_numpy(products), torch.from_numpy(weights))


def _contracts_left(l1: int, l2: int, size1: int, size2: int) -> bool:
    """Whether applying the coupling to the left factor costs less, per m of the result."""
    m1, m2 = 2 * l1 + 1, 2 * l2 + 1
    return size1 * m2 * (m1 + size2) < size2 * m1 * (m2 + size1)


def _coupling(
    first: Irrep,
    second: Irrep,
    degree: int,
    contracts_left: bool,  # noqa: FBT001
) -> Float[Tensor, "_ _"]:
    values = clebsch_gordan(first.degree, second.degree, degree)  # [m1, m2, m]
    if contracts_left:
        return values.transpose(1, 2).flatten(start_dim=1)
    return values.transpose(1, 2).flatten(0, 1)


def _joined(
    left: Factor,
    right: Factor,
    first: Irrep,
    second: Irrep,
    rows: Int[np.ndarray, " feature"],
    columns: Int[np.ndarray, " feature"],
) -> FeatureLabels:
    """Labels of products: those of the left factor with its irrep, then those of the right one."""
    names, values = [], []
    sides = ((1, left, first, rows), (left.order + 1, right, second, columns))
    for number, factor, irrep, chosen in sides:
        labels = factor.channels[irrep].labels
        single = factor.order == 1
        own = (f"l_{number}",) if single else (f"lambda_{factor.order}", f"sigma_{factor.order}")
        given = tuple(f"{name}_{number}" for name in labels.names) if single else labels.names
        if single and any(other.parity < 0 for other in factor.channels):
            own = (*own, f"sigma_{number}")
        names += [*given, *own]
        values += [labels.values[chosen], np.tile(irrep[: len(own)], (len(chosen), 1))]
    return FeatureLabels(tuple(names), np.hstack(values).astype(np.int64))
