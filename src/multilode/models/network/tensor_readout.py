"""Tensors of atoms from a round of a network: invariant weights times equivariants."""

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from multilode.models.network.invariants import (
    LARGEST_COUPLED,
    Blocks,
    coupled,
    coupling_matrix,
)
from multilode.models.network.weights import drawn
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import Irrep, irrep_name


@final
class TensorReadout(nn.Module):
    """T_lm = sum_q w_q(invariants) X_q,lm of every irrep, as a Cartesian tensor.

    X are the channels A_l themselves, and sums of products (A x A')_l of two of them; the weights w
    are linear in the last layer of the readout. A scalar is linear in that layer.

    Source: theory#tensors; theory#coupling.

    Args:
        kind: of tensor, a name in `TENSORS`.
        channels: number of channels of every l.
        max_angular: largest l of the channels.
        n_hidden: width of the last layer.

    Raises:
        ValueError: if no product of two channels has one of the irreps, as of a pseudoscalar.
    """

    def __init__(self, kind: str, channels: int, max_angular: int, n_hidden: int) -> None:
        super().__init__()
        self.kind, self.max_angular = tensor_kind(kind), max_angular
        self.mixtures = nn.ParameterList(
            drawn(channels, channels, divisor=channels**0.5) for _ in range(max_angular + 1)
        )
        self.paths = {i: product_paths(i, min(max_angular, LARGEST_COUPLED)) for i in self._irreps}
        self.weights, self.gates = nn.ParameterDict(), nn.ModuleDict()
        for irrep, paths in self.paths.items():
            if irrep == Irrep(0, -1):
                raise ValueError(
                    f"'{kind}' has a pseudoscalar, for which a network has no products; learn it "
                    "with another estimator"
                )
            alone = irrep.parity > 0 and irrep.degree <= max_angular
            if not paths and not alone:
                raise ValueError(
                    f"no two fields with max_angular {max_angular} make {irrep_name(irrep)}, which "
                    f"'{kind}' has; raise max_angular"
                )
            size = 1 if irrep.degree == 0 else channels * (bool(paths) + alone)
            copies = self.kind.columns[irrep].shape[2]
            self.gates[_key(irrep)] = nn.Linear(n_hidden, size * copies)
            if irrep.degree:
                for a, b in paths:
                    self.weights[f"{_key(irrep)}_{a}_{b}"] = drawn(channels)

    @property
    def _irreps(self) -> tuple[Irrep, ...]:
        return self.kind.irreps

    def forward(
        self, blocks: Blocks, hidden: Float[Tensor, "center hidden"]
    ) -> Float[Tensor, "center cartesian"]:
        """The tensors of centers.

        Args:
            blocks: channels of l = 0, 1, ...
            hidden: last layer of the readout.
        """
        mixed = [a @ w for a, w in zip(blocks, self.mixtures, strict=True)]
        found: Mapping[Irrep, Tensor] = {
            irrep: self._irrep(irrep, blocks, mixed, hidden) for irrep in self._irreps
        }
        return self.kind.to_cartesian(found)

    def _irrep(
        self, irrep: Irrep, blocks: Blocks, mixed: Blocks, hidden: Float[Tensor, "center hidden"]
    ) -> Float[Tensor, "center m copy"]:
        gates = self.gates[_key(irrep)](hidden)
        if irrep.degree == 0:
            return gates[:, None]
        parts = []
        if irrep.parity > 0 and irrep.degree <= self.max_angular:
            parts.append(mixed[irrep.degree])
        products = [
            coupled(blocks[a], mixed[b], coupling_matrix(a, b, (irrep.degree,)).to(hidden))
            * self.weights[f"{_key(irrep)}_{a}_{b}"]
            for a, b in self.paths[irrep]
        ]
        if products:
            parts.append(torch.stack(products).sum(dim=0) / len(products) ** 0.5)
        whole = torch.cat(parts, dim=2)  # [center, m, q]
        weights = gates.unflatten(1, (whole.shape[2], -1))
        return torch.bmm(whole, weights) / whole.shape[2] ** 0.5


def product_paths(irrep: Irrep, max_angular: int) -> list[tuple[int, int]]:
    """Degrees of two channels, neither of them zero, whose product has an irrep."""
    degrees, l = range(1, max_angular + 1), irrep.degree
    return [
        (a, b)
        for a in degrees
        for b in degrees[a - 1 :]
        if b - a <= l <= a + b and (-1) ** (a + b + l) == irrep.parity
    ]


def _key(irrep: Irrep) -> str:
    return f"{irrep.degree}{'e' if irrep.parity > 0 else 'o'}"
