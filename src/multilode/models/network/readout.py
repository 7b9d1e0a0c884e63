"""Multilayer perceptrons of invariants, shared by all elements and tuned to each."""

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from multilode.models.network.weights import drawn

_FLOOR = 1e-3  # of a scale, relative to the mean scale: invariants that hardly vary stay small


@final
class Readout(nn.Module):
    """Two hidden layers on standardised invariants, beside a linear model of each element.

    Elements share the layers; each has its own weighting of the invariants, its own bias and its
    own linear model.

    Args:
        n_inputs: number of invariants.
        n_hidden: width of the hidden layers.
        n_outputs: number of results; the linear models add to the first.
        n_species: number of elements.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, n_inputs: int, n_hidden: int, n_outputs: int, n_species: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(n_inputs))
        self.register_buffer("scale", torch.ones(n_inputs))
        self.gates = drawn(n_species, n_inputs, factor=0.1, mean=1.0)
        self.biases = nn.Parameter(torch.zeros(n_species, n_hidden))
        self.first = drawn(n_inputs, n_hidden, divisor=n_inputs**0.5)
        self.second = nn.Linear(n_hidden, n_hidden)
        self.last = nn.Linear(n_hidden, n_outputs)
        self.linear = nn.Parameter(torch.zeros(n_species, n_inputs))
        with torch.no_grad():
            self.last.bias.zero_()
            self.last.weight[0] = 0  # energies begin as those of the baseline

    @torch.no_grad()
    def standardise(self, invariants: Float[Tensor, "center invariant"]) -> None:
        """Take shift and scale from the invariants of some centers."""
        deviation = invariants.std(dim=0)
        self.shift.copy_(invariants.mean(dim=0))
        self.scale.copy_(1 / (deviation + _FLOOR * deviation.mean() + 1e-8))

    def forward(
        self, invariants: Float[Tensor, "center invariant"], kinds: Int[Tensor, " center"]
    ) -> tuple[Float[Tensor, "center output"], Float[Tensor, "center hidden"]]:
        """Results of each center, and the last layer that they are linear in.

        Args:
            kinds: element of each center.
        """
        x = (invariants - self.shift) * self.scale
        first = nn.functional.silu((x * self.gates[kinds]) @ self.first + self.biases[kinds])
        hidden = first + nn.functional.silu(self.second(first))
        found = self.last(hidden)
        linear = (x * self.linear[kinds]).sum(dim=1, keepdim=True)
        return torch.cat([found[:, :1] + linear, found[:, 1:]], dim=1), hidden
