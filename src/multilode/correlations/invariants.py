"""Symmetrised correlations of expansion coefficients: one-point invariants and power spectra."""

import math
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import FeatureLabels
from multilode.symmetry.irrep import Irrep

_BLOCK_CENTERS = 128  # whose full products of a MB or two stay in cache


def one_point(equivariants: Equivariants) -> Float[Tensor, "center feature"]:
    """Invariants of first order, the coefficients with l = 0.

    Source: theory#one-point; Grisafi2019 Eq. 6; Grisafi2021 Eq. 7.
    """
    return equivariants.blocks[Irrep(0)][:, 0]


def one_point_labels(equivariants: Equivariants) -> FeatureLabels:
    """Labels (species, n) of `one_point`."""
    return equivariants.labels[Irrep(0)]


def power_spectrum(left: Equivariants, right: Equivariants) -> Float[Tensor, "center feature"]:
    """Invariants of second order of two fields, (2l+1)^(-1/2) sum_m <a1 n1 l m> <a2 n2 l m>.

    Of one field with itself (the same object given twice), each unordered pair of channels is
    stored once, those of different channels with weight sqrt2, so that scalar products of features
    do not change. Features run over l, then the left and then the right channel.

    Source: theory#power-spectrum; theory#unordered-pairs; Grisafi2019 Eq. 8; Grisafi2021 Eqs. 9 and
    12; Bartok2013.

    Raises:
        ValueError: if the two expansions differ in l or in their centers.
    """
    _check(left, right)
    degrees = tuple(irrep.degree for irrep in sorted(left.blocks))
    if left is right:
        return _UnorderedProducts.apply(*(left.blocks[Irrep(l)] for l in degrees))
    products = [
        torch.bmm(
            left.blocks[Irrep(l)].transpose(1, 2) / math.sqrt(2 * l + 1), right.blocks[Irrep(l)]
        )
        for l in degrees  # [center, p, q] from [center, m, p] and [center, m, q]
    ]
    return torch.cat([product.flatten(start_dim=1) for product in products], dim=1)


class _UnorderedProducts(torch.autograd.Function):
    """Products of blocks [center, m, p] with themselves, each unordered pair of channels once.

    The adjoint multiplies each block by one symmetric matrix, instead of once for either factor.
    """

    @staticmethod
    def forward(ctx: Any, *blocks: Tensor) -> Tensor:
        ctx.save_for_backward(*blocks)
        degrees = tuple((b.shape[1] - 1) // 2 for b in blocks)
        index, weights, _, _ = _unordered_pairs(blocks[0].shape[2], degrees)
        index, weights = index.to(blocks[0].device), weights.to(blocks[0])
        spectrum = blocks[0].new_empty((len(blocks[0]), len(index)))
        for first in range(0, len(spectrum), _BLOCK_CENTERS):
            here = slice(first, first + _BLOCK_CENTERS)
            full = torch.cat([_outer(b[here]).flatten(start_dim=1) for b in blocks], dim=1)
            part = spectrum[here]
            torch.gather(full, 1, index.expand(len(part), -1), out=part)
            part *= weights
        return spectrum

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        blocks = ctx.saved_tensors
        degrees = tuple((b.shape[1] - 1) // 2 for b in blocks)
        size = blocks[0].shape[2]
        _, _, index, weights = _unordered_pairs(size, degrees)
        index, weights = index.to(grad.device), weights.to(grad)
        if torch.is_grad_enabled():  # a second derivative is wanted: stay connected
            full = torch.gather(grad, 1, index.expand(len(grad), -1)) * weights
            full = full.reshape(len(grad), len(blocks), size, size)
            return tuple(torch.bmm(b, full[:, k]) for k, b in enumerate(blocks))
        adjoints = [torch.empty_like(b) for b in blocks]
        for first in range(0, len(grad), _BLOCK_CENTERS // 4):
            here = slice(first, first + _BLOCK_CENTERS // 4)
            part = grad[here]
            full = torch.gather(part, 1, index.expand(len(part), -1)).mul_(weights)
            full = full.view(len(part), len(blocks), size, size)
            for k, (b, adjoint) in enumerate(zip(blocks, adjoints, strict=True)):
                torch.bmm(b[here], full[:, k], out=adjoint[here])
        return tuple(adjoints)


def _outer(block: Float[Tensor, "center m p"]) -> Float[Tensor, "center p p"]:
    if block.shape[1] == 1:  # a product of numbers, for which the matrix product is slow
        return block.transpose(1, 2) * block
    return torch.bmm(block.transpose(1, 2), block)


def power_spectrum_labels(left: Equivariants, right: Equivariants) -> FeatureLabels:
    """Labels (species_1, n_1, species_2, n_2, l) of `power_spectrum`, or (channel_1, ...)."""
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
    names = [f"{name}_{k}" for k, part in ((1, left), (2, right)) for name in part.names]
    return FeatureLabels((*names, "l"), np.concatenate(tables))


def _check(left: Equivariants, right: Equivariants) -> None:
    if left.blocks.keys() != right.blocks.keys():
        raise ValueError(
            f"a product of two fields needs the same max_angular on both sides, got irreps "
            f"{sorted(left.blocks)} and {sorted(right.blocks)}"
        )
    if left.centers.shape != right.centers.shape:
        raise ValueError("a product of two fields needs the same centers on both sides")


def unordered_adjoint(
    size: int, degrees: tuple[int, ...]
) -> tuple[Int[Tensor, " full"], Float[Tensor, " full"]]:
    """How slopes of unordered products become matrices [l, p, q]: g becomes g[index] * factors.

    The matrix of each l is symmetric; times the coefficients it is the slope in them.
    """
    return _unordered_pairs(size, degrees)[2:]


@cache
@torch.inference_mode(mode=False)
def unordered_pairs(size: int) -> tuple[Int[Tensor, " pair"], Float[Tensor, " pair"]]:
    """Places in a matrix [size, size] of unordered pairs of channels, with their weights."""
    rows, columns = torch.triu_indices(size, size)
    weights = (2 - (rows == columns).to(torch.float64)).sqrt()  # where() would round to float32
    return rows * size + columns, weights


@cache
@torch.inference_mode(mode=False)
def _unordered_pairs(
    size: int, degrees: tuple[int, ...]
) -> tuple[
    Int[Tensor, " feature"], Float[Tensor, " feature"], Int[Tensor, " full"], Float[Tensor, " full"]
]:
    """Columns of the products to keep, with weights; and the scatter indices of the adjoint."""
    pair, weights = unordered_pairs(size)
    rows, columns = pair // size, pair % size
    place = torch.empty((size, size), dtype=torch.int64)
    place[rows, columns] = place[columns, rows] = torch.arange(len(pair))
    # d(c_p c_q) = dc_p c_q + c_p dc_q
    twice = weights[place] * (1 + torch.eye(size, dtype=torch.float64))
    norms = [1 / math.sqrt(2 * l + 1) for l in degrees]
    return (
        torch.cat([pair + k * size**2 for k in range(len(degrees))]),
        torch.cat([weights * norm for norm in norms]),
        torch.cat([place.flatten() + k * len(pair) for k in range(len(degrees))]),
        torch.cat([twice.flatten() * norm for norm in norms]),
    )
