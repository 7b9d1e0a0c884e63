"""Cartesian tensors and their irreducible spherical components."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.symmetry.coupling import clebsch_gordan
from multilode.symmetry.harmonics import spherical_harmonics
from multilode.symmetry.irrep import Irrep

_DIRECTION = (0.48, -0.6, 0.64)  # in which no harmonic of low degree vanishes


@final
@dataclass(frozen=True, eq=False)
class TensorKind:
    """Cartesian tensors of one rank and symmetry, as sums of irreducible spherical components.

    The map is orthonormal: the squares of the components of all irreps add up to the squared
    Frobenius norm, and going there and back changes nothing.

    Source: theory#tensors; Grisafi2018.

    Args:
        rank: number of Cartesian indices, each in the order x, y, z.
        columns: orthonormal tensors, flattened, of each irrep; several copies where an irrep occurs
            more than once.
    """

    rank: int
    columns: Mapping[Irrep, Float[Tensor, "cartesian _ _"]]

    @property
    def size(self) -> int:
        """Number of Cartesian components, 3^rank."""
        return 3**self.rank

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one tensor."""
        return (3,) * self.rank

    @property
    def irreps(self) -> tuple[Irrep, ...]:
        """The irreps that occur, ascending."""
        return tuple(self.columns)

    def to_spherical(
        self, values: Float[Tensor, "*batch cartesian"]
    ) -> dict[Irrep, Float[Tensor, "*batch _ _"]]:
        """Components [m, copy] of flattened tensors, in the unit of these.

        Parts that the kind does not have, such as the antisymmetric part of a symmetric tensor, are
        left out.
        """
        return {
            irrep: torch.einsum("...x,xmc->...mc", values, columns.to(values))
            for irrep, columns in self.columns.items()
        }

    def to_cartesian(
        self, blocks: Mapping[Irrep, Float[Tensor, "*batch _ _"]]
    ) -> Float[Tensor, "*batch cartesian"]:
        """Flattened tensors of components; irreps that are not given are zero."""
        parts = [
            torch.einsum("...mc,xmc->...x", block, self.columns[irrep].to(block))
            for irrep, block in blocks.items()
        ]
        return torch.stack(parts).sum(dim=0)

    def isotropic(
        self, values: Float[Tensor, "*batch cartesian"]
    ) -> Float[Tensor, "*batch cartesian"]:
        """The part that no rotation or inversion changes, such as a third of the trace."""
        columns = self.columns.get(Irrep(0))
        if columns is None:
            return torch.zeros_like(values)
        basis = columns[:, 0].to(values)
        return values @ basis @ basis.T


@cache
@torch.inference_mode(mode=False)
def general_tensor(rank: int) -> TensorKind:
    """Tensors without any symmetry, by coupling one vector after the other.

    For rank 2 these are +Tr / sqrt3, the antisymmetric part as the axial vector
    (A_yz - A_zy, ...) / sqrt2 of parity -1, and the symmetric traceless part.

    Source: theory#tensors.
    """
    if rank == 0:
        return TensorKind(0, {Irrep(0): torch.ones(1, 1, 1, dtype=torch.float64)})
    vector = torch.eye(3, dtype=torch.float64)[:, [1, 2, 0]]  # [x y z, m]: m runs over y, z, x
    found: dict[Irrep, list[Tensor]] = {}
    for (l, parity), columns in general_tensor(rank - 1).columns.items():
        for degree in range(abs(l - 1), l + 2):
            coupled = torch.einsum(
                "xmc,yn,mnM->xyMc", columns, vector, clebsch_gordan(l, 1, degree)
            )
            irrep = Irrep(degree, parity * (-1) ** (l + 1 + degree))
            found.setdefault(irrep, []).append(coupled.flatten(end_dim=1))
    return TensorKind(rank, {irrep: torch.cat(found[irrep], dim=2) for irrep in sorted(found)})


@cache
@torch.inference_mode(mode=False)
def symmetric_tensor(rank: int) -> TensorKind:
    """Tensors that do not change when indices change places: degrees rank, rank - 2, ...

    The components of the tensor n n n ... of a direction n are positive multiples of Y_lm(n): +Tr /
    sqrt3 for rank 2.

    Source: theory#tensors.
    """
    if rank < 2:
        return general_tensor(rank)
    columns = {}
    for irrep, all_copies in general_tensor(rank).columns.items():
        symmetrised = _symmetrised(all_copies, rank)
        # acts on copies alone, as a projector
        overlap = torch.einsum("xmc,xmd->cd", all_copies, symmetrised) / all_copies.shape[1]
        values, vectors = torch.linalg.eigh(0.5 * (overlap + overlap.T))
        kept = all_copies @ vectors[:, values > 0.5]
        if kept.shape[2]:
            columns[irrep] = kept * _sign(kept, irrep.degree, rank)
    return TensorKind(rank, columns)


def _symmetrised(columns: Float[Tensor, "cartesian m c"], rank: int) -> Tensor:
    tensors = columns.unflatten(0, (3,) * rank)
    total = torch.zeros_like(tensors)
    for order in itertools.permutations(range(rank)):
        total += tensors.permute(*order, rank, rank + 1)
    return (total / math.factorial(rank)).flatten(end_dim=rank - 1)


def _sign(columns: Float[Tensor, "cartesian m 1"], degree: int, rank: int) -> Tensor:
    """Sign of the overlap of a power of a direction with the harmonics of that direction."""
    n = torch.tensor(_DIRECTION, dtype=torch.float64)
    n = n / n.norm()
    power = n.new_ones(1)
    for _ in range(rank):
        power = torch.outer(power, n).flatten()
    harmonics = spherical_harmonics(n[None], degree)[0, degree**2 :]
    return torch.sign(torch.einsum("x,xmc,m->", power, columns, harmonics))


TENSORS: dict[str, Callable[[], TensorKind]] = {
    "scalar": lambda: general_tensor(0),
    "vector": lambda: general_tensor(1),
    "symmetric": lambda: symmetric_tensor(2),
    "matrix": lambda: general_tensor(2),
    "symmetric3": lambda: symmetric_tensor(3),
    "rank3": lambda: general_tensor(3),
    "symmetric4": lambda: symmetric_tensor(4),
    "rank4": lambda: general_tensor(4),
}


def tensor_kind(name: str) -> TensorKind:
    """The kind of a name in `TENSORS`.

    Raises:
        ValueError: if no kind has this name.
    """
    if name not in TENSORS:
        raise ValueError(f"tensor is {name!r}; use one of {', '.join(TENSORS)}")
    return TENSORS[name]()
