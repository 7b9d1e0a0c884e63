"""Symmetrised correlations of expansion coefficients: one-point invariants and power spectra."""

import math
from functools import cache, lru_cache

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
    degrees = tuple(irrep.degree for irrep in sorted(left.blocks))
    products = [
        (left.blocks[Irrep(l)].transpose(1, 2) @ right.blocks[Irrep(l)]).flatten(start_dim=1)
        for l in degrees  # [center, p q] from [center, m, p] and [center, m, q]
    ]
    spectrum = torch.cat(products, dim=1)
    if left is right:
        index, weights = _unordered_pairs(left.blocks[Irrep(0)].shape[2], degrees)
        return spectrum.index_select(1, index.to(spectrum.device)).mul_(weights.to(spectrum))
    sizes = torch.tensor([p.shape[1] for p in products])
    norms = (2 * torch.tensor(degrees, dtype=torch.float64) + 1) ** -0.5
    return spectrum.mul_(torch.repeat_interleave(norms, sizes).to(spectrum))


def power_spectrum_labels(left: Equivariants, right: Equivariants) -> FeatureLabels:
    """Labels (species_1, n_1, species_2, n_2, l) of `power_spectrum`."""
    degrees = tuple(irrep.degree for irrep in sorted(left.blocks))
    channels = (left.labels[Irrep(0)], right.labels[Irrep(0)])
    return _pair_labels(*channels, degrees, left is right)


@lru_cache(maxsize=64)
def _pair_labels(
    left: FeatureLabels,
    right: FeatureLabels,
    degrees: tuple[int, ...],
    symmetric: bool,  # noqa: FBT001 - the cache wants positional arguments
) -> FeatureLabels:
    a, b = left.values, right.values
    if symmetric:
        rows, columns = np.triu_indices(len(a))
    else:
        rows, columns = np.indices((len(a), len(b))).reshape(2, -1)
    pairs = np.hstack([a[rows], b[columns]])
    tables = [np.hstack([pairs, np.full((len(pairs), 1), degree)]) for degree in degrees]
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
@torch.inference_mode(mode=False)
def _unordered_pairs(
    size: int, degrees: tuple[int, ...]
) -> tuple[Int[Tensor, " feature"], Float[Tensor, " feature"]]:
    """Columns of the full products to keep, and their weights."""
    rows, columns = torch.triu_indices(size, size)
    weights = (2 - (rows == columns).to(torch.float64)).sqrt()  # where() would round to float32
    pair = rows * size + columns
    index = torch.cat([pair + k * size**2 for k in range(len(degrees))])
    return index, torch.cat([weights / math.sqrt(2 * l + 1) for l in degrees])
