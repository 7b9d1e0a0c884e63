"""Sums over pairs of radial functions times spherical harmonics, as batched matrix products."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.expansion.pairs.groups import PairBlock, Slots


def neighbor_sums(
    radial: Float[Tensor, "pair l n"],
    weight: Float[Tensor, " pair"] | None,
    angular: Float[Tensor, "pair lm"],
    block: PairBlock,
) -> tuple[Float[Tensor, "center _ n"], ...]:
    """Sum over the pairs of each center of weight F_nl Y_lm, for each kind and within it each l.

    Differentiable to any order in the first three. With one l the harmonics may be any columns.

    Args:
        radial: radial functions of each pair.
        weight: of each pair; 1 by default.
        angular: harmonics of each pair.
        block: which pair belongs to which center and kind.
    """
    return _NeighborSums.apply(radial, weight, angular, block)


class _NeighborSums(torch.autograd.Function):
    """Its adjoint writes each part of an array once; slices of it would be added to zeros."""

    @staticmethod
    def forward(
        ctx: Any, radial: Tensor, weight: Tensor | None, angular: Tensor, block: PairBlock
    ) -> tuple[Tensor, ...]:
        weighted = radial.new_empty((len(radial) + 1, *radial.shape[1:]))
        if weight is None:
            weighted[:-1] = radial
        else:
            torch.mul(radial, weight[:, None, None], out=weighted[:-1])
        weighted[-1] = 0
        filled = [_fill(weighted, angular, slots) for slots in block.slots]
        ctx.save_for_backward(radial, weight, angular, *(x for pair in filled for x in pair))
        ctx.block = block
        sums, n_l = [], radial.shape[1]
        for slots, (radial_, angular_) in zip(block.slots, filled, strict=True):
            for l in range(n_l):
                product = torch.bmm(angular_[:, :, _m_of(l, n_l)].transpose(1, 2), radial_[:, :, l])
                sums.append(_gather(product, slots, block.n_centers))
        return tuple(sums)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        radial, weight, angular, *saved = ctx.saved_tensors
        slots, places = ctx.block.slots, ctx.block.places
        filled = list(zip(saved[::2], saved[1::2], strict=True))
        if torch.is_grad_enabled():  # a second derivative is wanted: stay connected
            weighted = radial if weight is None else radial * weight[:, None, None]
            weighted = torch.cat([weighted, torch.zeros_like(weighted[:1])])
            filled = [_fill(weighted, angular, s) for s in slots]
        n_l, connected = radial.shape[1], torch.is_grad_enabled()
        sizes = [s.pair.numel() for s in slots]
        # one array for all kinds, unless a second derivative has to follow each part
        both = (
            ()
            if connected
            else (
                radial.new_empty((sum(sizes), *radial.shape[1:])),
                angular.new_empty((sum(sizes), angular.shape[1])),
            )
        )
        to_radial, to_angular = [list(x.split(sizes)) for x in both] if both else ([], [])
        for k, (radial_, angular_) in enumerate(filled):
            mine = grads[k * n_l : (k + 1) * n_l]
            if slots[k].center is not None:
                mine = [g.index_select(0, slots[k].center) for g in mine]
            parts = [torch.bmm(angular_[:, :, _m_of(l, n_l)], g) for l, g in enumerate(mine)]
            others = [torch.bmm(radial_[:, :, l], g.transpose(1, 2)) for l, g in enumerate(mine)]
            if connected:
                to_radial.append(torch.stack(parts, dim=2).flatten(end_dim=1))
                to_angular.append(torch.cat(others, dim=2).flatten(end_dim=1))
            else:
                shape = slots[k].pair.shape
                torch.stack(parts, dim=2, out=to_radial[k].unflatten(0, shape))
                torch.cat(others, dim=2, out=to_angular[k].unflatten(0, shape))
        if connected:
            both = torch.cat(to_radial), torch.cat(to_angular)
        grad_radial, grad_angular = (x.index_select(0, places) for x in both)
        if weight is None:
            return grad_radial, None, grad_angular, None
        grad_weight = torch.linalg.vecdot(grad_radial.flatten(1), radial.flatten(1))
        return grad_radial * weight[:, None, None], grad_weight, grad_angular, None


def _fill(
    weighted: Float[Tensor, "pair_1 l n"], angular: Float[Tensor, "pair lm"], slots: Slots
) -> tuple[Float[Tensor, "chunk slot l n"], Float[Tensor, "chunk slot lm"]]:
    """Both factors in the slots; the last row of the first is zero, for slots that are free."""
    flat = slots.pair.flatten()
    some_pair = flat.clamp(max=len(angular) - 1)
    return (
        weighted.index_select(0, flat).unflatten(0, slots.pair.shape),
        angular.index_select(0, some_pair).unflatten(0, slots.pair.shape),
    )


def _gather(
    product: Float[Tensor, "chunk m n"], slots: Slots, n_centers: int
) -> Float[Tensor, "center m n"]:
    if slots.center is None:
        return product
    zeros = product.new_zeros((n_centers, *product.shape[1:]))
    return zeros.index_add_(0, slots.center, product)


def _m_of(l: int, n_l: int) -> slice:
    return slice(l * l, (l + 1) ** 2 if l < n_l - 1 else None)
