"""Factors of a product: labels of their channels, and which fields they were made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
from jaxtyping import Int

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import FeatureLabels
from multilode.symmetry.irrep import Irrep


@final
@dataclass(frozen=True, eq=False)
class Channels:
    """Labels of the columns of one block, with the channel that each was multiplied with last.

    Args:
        labels: names of the columns.
        last_block: number of the block of the last field, ascending.
        last_channel: its column in that block.
        repeats: how often the same block and column stand at the end.
    """

    labels: FeatureLabels
    last_block: Int[np.ndarray, " feature"]
    last_channel: Int[np.ndarray, " feature"]
    repeats: Int[np.ndarray, " feature"]


@final
@dataclass(frozen=True, eq=False)
class Factor:
    """One factor of a product: a field, or a product of fields.

    Args:
        channels: columns of each block, the blocks ascending.
        order: how many fields were multiplied.
        run: how many of them, the last ones, are the same field, its channels in ascending order;
            0 if the channels were mixed, so that nothing is known of their order.
    """

    channels: Mapping[Irrep, Channels]
    order: int
    run: int


def field_factor(field: Equivariants) -> Factor:
    """The factor of a single field; equal labels give the same object, so that plans are cached."""
    return _field_factor(tuple((irrep, field.labels[irrep]) for irrep in sorted(field.blocks)))


@lru_cache(maxsize=64)
def _field_factor(labels: tuple[tuple[Irrep, FeatureLabels], ...]) -> Factor:
    channels = {}
    for number, (irrep, table) in enumerate(labels):
        columns = np.arange(len(table))
        channels[irrep] = Channels(
            table, np.full_like(columns, number), columns, np.ones_like(columns)
        )
    return Factor(channels, order=1, run=1)


@lru_cache(maxsize=64)
def mixed_factor(sizes: tuple[tuple[Irrep, int], ...], order: int) -> Factor:
    """The factor of a contracted product, whose channels are labelled by a number."""
    channels = {}
    for irrep, size in sizes:
        columns = np.arange(size)
        unknown = np.zeros_like(columns)
        labels = FeatureLabels((f"component_{order}",), columns[:, None])
        channels[irrep] = Channels(labels, unknown, unknown, unknown)
    return Factor(channels, order=order, run=0)
