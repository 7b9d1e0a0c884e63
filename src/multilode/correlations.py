"""Symmetrised correlations of expansion coefficients: one-point invariants and power spectra."""

import math
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants import Equivariants, Irrep
from multilode.features import FeatureLabels


def one_point(equivariants: Equivariants) -> Float[Tensor, "center feature"]:
    """Invariants of first order, the coefficients with l = 0. Source: 2019 Eq. 6, 2021 Eq. 7."""
    return equivariants.blocks[Irrep(0)][:, 0]


def one_point_labels(equivariants: Equivariants) -> FeatureLabels:
    """Labels (species, n) of `one_point`."""
    return equivariants.labels[Irrep(0)]


def power_spectrum(left: Equivariants, right: Equivariants) -> Float[Tensor, "center feature"]:
    """Invariants of second order of two fields, (2l+1)^(-1/2) sum_m <a1 n1 l m> <a2 n2 l m>.

    Of one field with itself (the same object given twice), each unordered pair of channels is
    stored once, those of different channels with weight sqrt2, so that scalar products of features
    do not change. Features run over l, then the left and then the right channel.
    Source: 2019 Eq. 8; 2021 Eqs. 9 and 12.

    Raises:
        ValueError: if the two expansions differ in l or in their centers.
    """
    _check(left, right)
    spectrum = []
    for irrep in sorted(left.blocks):
        a, b = left.blocks[irrep], right.blocks[irrep]  # [center, m, p], [center, m, q]
        product = a.transpose(1, 2) @ b
        if left is right:
            rows, columns, weights = _upper_triangle(a.shape[2])
            index = (rows * a.shape[2] + columns).to(a.device)
            scale = weights.to(a) / math.sqrt(2 * irrep.degree + 1)
            product = product.flatten(start_dim=1).index_select(1, index) * scale
        else:
            product = product.flatten(start_dim=1) / math.sqrt(2 * irrep.degree + 1)
        spectrum.append(product)
    return torch.cat(spectrum, dim=1)


def power_spectrum_labels(left: Equivariants, right: Equivariants) -> FeatureLabels:
    """Labels (species_1, n_1, species_2, n_2, l) of `power_spectrum`."""
    tables = []
    for irrep in sorted(left.blocks):
        a, b = left.labels[irrep].values, right.labels[irrep].values
        if left is right:
            rows, columns, _ = _upper_triangle(len(a))
            rows, columns = rows.numpy(), columns.numpy()
        else:
            grid = np.indices((len(a), len(b))).reshape(2, -1)
            rows, columns = grid[0], grid[1]
        degree = np.full((len(rows), 1), irrep.degree)
        tables.append(np.hstack([a[rows], b[columns], degree]))
    return FeatureLabels(("species_1", "n_1", "species_2", "n_2", "l"), np.concatenate(tables))


def _check(left: Equivariants, right: Equivariants) -> None:
    if left.blocks.keys() != right.blocks.keys():
        raise ValueError(
            f"a product of two fields needs the same max_angular on both sides, got irreps "
            f"{sorted(left.blocks)} and {sorted(right.blocks)}"
        )
    if left.centers.shape != right.centers.shape:
        raise ValueError("a product of two fields needs the same centers on both sides")


@cache
def _upper_triangle(
    size: int,
) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"], Float[Tensor, " pair"]]:
    rows, columns = torch.triu_indices(size, size)
    weights = torch.where(rows == columns, 1.0, math.sqrt(2)).to(torch.float64)
    return rows, columns, weights
