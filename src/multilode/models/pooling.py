"""Sums and means over the centers of rows: the features of linear models."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.features import FeatureRows
from multilode.models.reduce import Reduce, check_reduce


def species_slots(
    center_species: Int[Tensor, " center"], centers: tuple[int, ...]
) -> Int[Tensor, " center"]:
    """Position of each center's species within `centers`.

    Raises:
        ValueError: if a center has a species that is not listed.
    """
    table = torch.tensor(centers, dtype=torch.int64, device=center_species.device)
    matches = center_species[:, None] == table
    unknown = ~matches.any(dim=1)
    if bool(unknown.any()):
        number = int(center_species[unknown][0])
        raise ValueError(
            f"a center has atomic number {number}, but the model knows {list(centers)}; "
            "train with structures that contain this species"
        )
    return matches.to(torch.int64).argmax(dim=1)


def pool(
    values: Float[Tensor, "point feature"],
    row_index: Int[Tensor, " point"],
    n_rows: int,
    *,
    reduce: Reduce,
    slots: Int[Tensor, " point"] | None = None,
    n_slots: int = 1,
) -> Float[Tensor, "row pooled"]:
    """Sum or mean over the centers of each row; rows without centers give zeros.

    With `slots` every slot (a center species) has a block of columns of its own, and the mean still
    divides by the number of all centers of the row: a linear model on the pooled rows is then a
    mean of atomic contributions with one weight vector per center species.

    Source: theory#extensive.

    Args:
        slots: block of columns of each center, between 0 and `n_slots - 1`; one block if None.

    Raises:
        ValueError: if `reduce` is neither "sum" nor "mean".
    """
    check_reduce(reduce)
    row = row_index if slots is None else row_index * n_slots + slots
    sums = values.new_zeros(n_rows * n_slots, values.shape[1]).index_add(0, row, values)
    sums = sums.reshape(n_rows, n_slots * values.shape[1])
    if reduce == "sum":
        return sums
    counts = torch.bincount(row_index, minlength=n_rows).clamp(min=1)
    return sums / counts.to(values.dtype)[:, None]


def pool_terms(
    features: FeatureRows, *, reduce: Reduce, centers: tuple[int, ...] | None
) -> tuple[Float[Tensor, "row _"], ...]:
    """All terms of `features`, pooled in the type that they have.

    Args:
        centers: center species, each with its own block of columns; None to pool all alike.

    Raises:
        ValueError: if a center's species is not in `centers`.
    """
    slots = None if centers is None else species_slots(features.center_species, centers)
    n_slots = 1 if centers is None else len(centers)
    index, n = features.row_index, features.n_rows
    return tuple(
        pool(term, index, n, reduce=reduce, slots=slots, n_slots=n_slots) for term in features.terms
    )
