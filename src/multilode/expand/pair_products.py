"""Sums over pairs of radial functions times spherical harmonics, as batched matrix products."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


def chunk_sums(
    radial: Float[Tensor, "pair l n"],
    weight: Float[Tensor, " pair"] | None,
    angular: Float[Tensor, "pair lm"],
    slots: Int[Tensor, "chunk slot"],
    places: Int[Tensor, " pair"],
) -> tuple[Float[Tensor, "chunk _ n"], ...]:
    """Sum over the pairs of each chunk of weight F_nl Y_lm, [chunk, m, n] for each l.

    Differentiable to any order in the first three.

    Args:
        radial: radial functions of each pair.
        weight: of each pair; 1 by default.
        angular: harmonics of each pair.
        slots: pair in each slot; the number of pairs stands for none.
        places: slot of each pair, counted over all chunks.
    """
    return _ChunkSums.apply(radial, weight, angular, slots, places)


class _ChunkSums(torch.autograd.Function):
    """Its adjoint writes each part of an array once; slices of it would be added to zeros."""

    @staticmethod
    def forward(
        ctx: Any,
        radial: Tensor,
        weight: Tensor | None,
        angular: Tensor,
        slots: Tensor,
        places: Tensor,
    ) -> tuple[Tensor, ...]:
        weighted = radial.new_empty((len(radial) + 1, *radial.shape[1:]))
        if weight is None:
            weighted[:-1] = radial
        else:
            torch.mul(radial, weight[:, None, None], out=weighted[:-1])
        weighted[-1] = 0
        in_slots = _in_slots(weighted, angular, slots)
        ctx.save_for_backward(radial, weight, angular, slots, places, *in_slots)
        padded_radial, padded_angular = in_slots
        return tuple(
            torch.bmm(padded_angular[:, :, _m_of(l)].transpose(1, 2), padded_radial[:, :, l])
            for l in range(radial.shape[1])
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        radial, weight, angular, slots, places, *in_slots = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted: stay connected
            weighted = radial if weight is None else radial * weight[:, None, None]
            weighted = torch.cat([weighted, torch.zeros_like(weighted[:1])])
            in_slots = _in_slots(weighted, angular, slots)
        padded_radial, padded_angular = in_slots
        to_radial = torch.stack(
            [torch.bmm(padded_angular[:, :, _m_of(l)], g) for l, g in enumerate(grads)], dim=2
        )  # [chunk, slot, l, n]
        to_angular = torch.cat(
            [torch.bmm(padded_radial[:, :, l], g.transpose(1, 2)) for l, g in enumerate(grads)],
            dim=2,
        )
        to_radial = to_radial.flatten(end_dim=1).index_select(0, places)
        to_angular = to_angular.flatten(end_dim=1).index_select(0, places)
        if weight is None:
            return to_radial, None, to_angular, None, None
        to_weight = torch.linalg.vecdot(to_radial.flatten(1), radial.flatten(1))
        return to_radial * weight[:, None, None], to_weight, to_angular, None, None


def _in_slots(
    weighted: Float[Tensor, "pair_1 l n"],
    angular: Float[Tensor, "pair lm"],
    slots: Int[Tensor, "chunk slot"],
) -> tuple[Float[Tensor, "chunk slot l n"], Float[Tensor, "chunk slot lm"]]:
    """Both factors in the slots; the last row of the first is zero, for slots that are free."""
    flat = slots.flatten()
    any_pair = flat.clamp(max=len(angular) - 1)
    return (
        weighted.index_select(0, flat).unflatten(0, slots.shape),
        angular.index_select(0, any_pair).unflatten(0, slots.shape),
    )


def _m_of(l: int) -> slice:
    return slice(l * l, (l + 1) ** 2)
