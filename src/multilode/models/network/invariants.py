"""Invariants of channels: products of up to four of them, learned mixtures inside."""

from collections.abc import Sequence
from functools import cache
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from multilode.models.network.weights import drawn
from multilode.symmetry.coupling import clebsch_gordan

LARGEST_COUPLED = 3  # products of three and four channels take l up to this
Blocks = Sequence[Float[Tensor, "center _ channel"]]  # of l = 0, 1, ...


def coupled(
    first: Float[Tensor, "center a channel"],
    second: Float[Tensor, "center b channel"],
    matrix: Float[Tensor, "m ab"],
) -> Float[Tensor, "center m channel"]:
    """Channels coupled one by one; rows of the matrix are components of all degrees wanted."""
    return matrix @ (first[:, :, None] * second[:, None]).flatten(1, 2)


@cache
def coupling_matrix(a: int, b: int, degrees: tuple[int, ...]) -> Float[Tensor, "m ab"]:
    """Clebsch-Gordan coefficients of two degrees, rows of all degrees one after the other."""
    parts = [clebsch_gordan(a, b, degree).flatten(end_dim=1).T for degree in degrees]
    return torch.cat(parts)


@final
class Invariants(nn.Module):
    """Invariants of channels A_l: A_0, A . A', (A x A') . A and Q . Q with Q_l = sum A x A'.

    A' are learned mixtures of A. Odd sums of degrees do not occur, so that a mirror image has the
    same invariants.

    Args:
        channels: number of channels of every l.
        max_angular: largest l.
    """

    def __init__(self, channels: int, max_angular: int) -> None:
        super().__init__()
        self.max_angular = max_angular
        self.mixtures = nn.ParameterList(
            drawn(channels, channels, divisor=channels**0.5) for _ in range(max_angular + 1)
        )
        paths = coupling_paths(min(max_angular, LARGEST_COUPLED))
        self.pairs = {
            (a, b): [path[2] for path in paths if path[:2] == (a, b)] for a, b, _ in paths
        }
        self.triples = _unique(paths)
        self.degrees = sorted({path[2] for path in paths})
        self.weights = nn.ParameterDict(
            {"_".join(map(str, path)): drawn(channels) for path in paths}
        )
        self.n_invariants = channels * (2 + max_angular + len(self.triples) + 2 * len(self.degrees))

    def forward(self, blocks: Blocks) -> Float[Tensor, "center invariant"]:
        """All invariants of each center."""
        mixed = [a @ w for a, w in zip(blocks, self.mixtures, strict=True)]
        found = [blocks[0][:, 0]]
        found += [_dot(a, b) for a, b in zip(blocks, mixed, strict=True)]
        sums: dict[int, list[Tensor]] = {degree: [] for degree in self.degrees}
        for (a, b), degrees in self.pairs.items():
            matrix = coupling_matrix(a, b, tuple(degrees)).to(mixed[b])
            products = coupled(blocks[a], mixed[b], matrix)
            parts = products.split([2 * degree + 1 for degree in degrees], dim=1)
            for degree, product in zip(degrees, parts, strict=True):
                if (a, b, degree) in self.triples:
                    found.append((product * blocks[degree]).sum(dim=1))
                sums[degree].append(product * self.weights[f"{a}_{b}_{degree}"])
        for degree, parts in sums.items():
            total = torch.stack(parts).sum(dim=0) / len(parts) ** 0.5
            found += [_dot(total, total), _dot(total, mixed[degree])]
        return torch.cat(found, dim=1)


def coupling_paths(max_angular: int) -> list[tuple[int, int, int]]:
    """Two degrees and the degree they are coupled to, none of them zero, their sum even."""
    degrees = range(1, max_angular + 1)
    return [
        (a, b, c)
        for a in degrees
        for b in degrees[a - 1 :]
        for c in degrees
        if b - a <= c <= a + b and (a + b + c) % 2 == 0
    ]


def _unique(paths: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """One path for each set of three degrees: the others give the same invariants."""
    found: dict[tuple[int, ...], tuple[int, int, int]] = {}
    for path in paths:
        found.setdefault(tuple(sorted(path)), path)
    return list(found.values())


def _dot(
    first: Float[Tensor, "center m channel"], second: Float[Tensor, "center m channel"]
) -> Float[Tensor, "center channel"]:
    return (first * second).sum(dim=1) / first.shape[1] ** 0.5
