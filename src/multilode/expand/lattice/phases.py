"""Correlations of plane-wave phases between centers and the atoms of each species."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


def phase_correlations(
    phase: Float[Tensor, "atom k"],
    members: Float[Tensor, "species atom"],
    centers: Int[Tensor, " center"],
) -> tuple[Float[Tensor, "center_species k"], Float[Tensor, "center_species k"]]:
    """Sums over the atoms j of a species of cos(phase_i - phase_j) and of -sin(phase_i - phase_j).

    Differentiable in the phases to any order. The adjoint is written out because the chain of
    elementary operations would pass ten times more often over arrays [atom, k].

    Args:
        phase: k . r of every atom.
        members: 1 where an atom is of a species, else 0.
        centers: the atoms i, ascending. Rows of the results run over centers, then species.
    """
    return _PhaseCorrelations.apply(phase, members, centers)


def _species_sums(
    cosine: Float[Tensor, "atom k"],
    sine: Float[Tensor, "atom k"],
    members: Float[Tensor, "species atom"],
) -> tuple[Float[Tensor, "species k"], Float[Tensor, "species k"]]:
    return members @ cosine, members @ sine


class _PhaseCorrelations(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, phase: Tensor, members: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
        cosine, sine = torch.cos(phase), torch.sin(phase)
        ctx.save_for_backward(phase, members, centers, cosine, sine)
        sum_cosine, sum_sine = _species_sums(cosine, sine, members)
        if len(centers) < len(phase):
            cosine, sine = cosine[centers], sine[centers]
        cosine, sine = cosine[:, None], sine[:, None]
        symmetric = (cosine * sum_cosine).addcmul_(sine, sum_sine)
        antisymmetric = (cosine * sum_sine).addcmul_(sine, sum_cosine, value=-1)
        return symmetric.flatten(end_dim=1), antisymmetric.flatten(end_dim=1)

    @staticmethod
    def backward(
        ctx: Any, grad_symmetric: Tensor, grad_antisymmetric: Tensor
    ) -> tuple[Tensor, None, None]:
        phase, members, centers, cosine, sine = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted: stay connected to the phases
            cosine, sine = torch.cos(phase), torch.sin(phase)
        sum_cosine, sum_sine = _species_sums(cosine, sine, members)
        all_centers = len(centers) == len(phase)
        center_cosine = cosine if all_centers else cosine[centers]
        center_sine = sine if all_centers else sine[centers]
        shape = (len(centers), len(members), phase.shape[1])
        to_cosine, to_sine = [], []  # adjoints of the sums over each species
        along_cosine = along_sine = torch.zeros_like(center_cosine)
        pairs = zip(
            grad_symmetric.view(shape).unbind(1),
            grad_antisymmetric.view(shape).unbind(1),
            sum_cosine,
            sum_sine,
            strict=True,
        )
        for g, h, total_cosine, total_sine in pairs:
            along_cosine = along_cosine + g * total_cosine + h * total_sine
            along_sine = along_sine + g * total_sine - h * total_cosine
            to_cosine.append((g * center_cosine - h * center_sine).sum(dim=0))
            to_sine.append((g * center_sine + h * center_cosine).sum(dim=0))
        if not all_centers:
            along_cosine = torch.zeros_like(phase).index_add(0, centers, along_cosine)
            along_sine = torch.zeros_like(phase).index_add(0, centers, along_sine)
        along_cosine = along_cosine + members.T @ torch.stack(to_cosine)
        along_sine = along_sine + members.T @ torch.stack(to_sine)
        return cosine * along_sine - sine * along_cosine, None, None
