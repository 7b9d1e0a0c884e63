"""Active environments: the few to which sparse kernels compare all others."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.correlations.selection import TrainingRows, farthest_points
from multilode.models.kernels import AbstractKernel, Points
from multilode.models.kernels.environments import Environments
from multilode.models.kernels.row_kernels import BLOCK_BYTES, kernel_between


@final
@dataclass(frozen=True, kw_only=True)
class ActiveEnvironments:
    """Reference environments of one term, which make features of its kernel.

    The features of a row A are phi_A = L^-1 k_A, with its kernel k_A with each of the active
    environments (all components m of them) and L L^T their kernel with each other: phi_A . phi_B is
    the kernel of A and B as far as the active environments describe it (Nystroem).

    Args:
        rows: the environments, each point a row of its own.
        factor: L, lower triangular.
    """

    rows: Environments
    factor: Float[Tensor, "active active"]

    @staticmethod
    def of(rows: Environments, kernel: AbstractKernel) -> "ActiveEnvironments":
        """Decompose the kernel of the environments with each other."""
        return ActiveEnvironments(rows=rows, factor=_cholesky(kernel_between(kernel, rows, rows)))

    def features(self, kernel: Float[Tensor, "row active"]) -> Float[Tensor, "row active"]:
        """phi of rows, from their kernels with the active environments."""
        return torch.linalg.solve_triangular(self.factor, kernel.T, upper=False).T


def choose_active(
    candidates: Environments,
    kernel: AbstractKernel,
    n_active: int,
    *,
    components: int = 1,
) -> ActiveEnvironments:
    """Farthest points among environments, of each kind of center in proportion.

    Source: theory#sparse-kernel; Imbalzano2018.

    Args:
        candidates: environments of some rows.
        n_active: number to choose; fewer, if there are no more different ones.
        components: consecutive rows that are the components m of one structure or center; all
            components of an environment are active together, because only then predictions rotate
            with structures.

    Raises:
        ValueError: if all environments are empty.
    """
    units = _units(candidates, components)
    described = _described(candidates, units)
    filled = described.square().sum(dim=1) > 0
    slots = candidates.slots[units[:, 0]]
    chosen = []
    for slot in slots[filled].unique().tolist():
        own = (filled & (slots == slot)).nonzero()[:, 0]
        quota = max(1, round(n_active * len(own) / int(filled.sum())))
        rows = TrainingRows(described[own].T, described.new_zeros(len(own)), len(own))
        chosen.append(own[farthest_points(rows, quota)])
    if not chosen:
        raise ValueError(
            "all environments are empty, there is nothing to compare others with; enlarge the "
            "cutoff, or check the structures"
        )
    rows = units[torch.cat(chosen)].flatten()
    active = _each_apart(candidates.points[rows], candidates.slots[rows])
    return ActiveEnvironments.of(active, kernel)


def _described(
    candidates: Environments, units: Int[Tensor, "unit component"]
) -> Float[Tensor, "unit _"]:
    """Coordinates in which environments have distances: invariants of their centers, if given.

    They do not depend on how an environment is turned, as its own components do.
    """
    leaf = candidates.points.first
    values = leaf.of_invariants().values
    if units.shape[1] > 1 and leaf.invariants is None:
        return values[units].flatten(start_dim=1)
    return values[units[:, 0]]


def project(
    new: Environments,
    kernel: AbstractKernel,
    active: ActiveEnvironments | None,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Tensor, "row column"]:
    """Features of rows whose scalar products are the kernel; exact without active ones.

    Args:
        active: None for a linear kernel, whose environments are sums over the centers of each kind:
            side by side they are the features of a linear model.
    """
    if active is None:
        return new.points.values.reshape(new.n_rows, -1)
    return active.features(kernel_between(kernel, new, active.rows, block_bytes=block_bytes))


def _each_apart(points: Points, slots: Int[Tensor, " active"]) -> Environments:
    n = len(points)
    return Environments(
        points=points,
        row_index=torch.arange(n, device=slots.device),
        slots=slots,
        scale=torch.ones(n, dtype=torch.float64, device=slots.device),
    )


def _units(rows: Environments, components: int) -> Int[Tensor, "unit component"]:
    """Points that are the components of one environment.

    Rows are components m of a structure A, A major; environments have the same order in each.
    """
    counts = rows.counts
    starts = (counts.cumsum(0) - counts).view(-1, components)
    per_row = counts.view(-1, components)[:, 0]
    first = starts.repeat_interleave(per_row, dim=0)  # [unit, component]
    ends = per_row.cumsum(0) - per_row
    within = torch.arange(len(first)) - ends.repeat_interleave(per_row)
    return first + within[:, None]


def _cholesky(kernel: Float[Tensor, "active active"]) -> Float[Tensor, "active active"]:
    """Lower factor, with the smallest shift of the diagonal that rounding demands."""
    jitter = len(kernel) * torch.finfo(kernel.dtype).eps * float(kernel.diagonal().max())
    while True:
        shifted = kernel + jitter * torch.eye(len(kernel), dtype=kernel.dtype)
        factor, failed = torch.linalg.cholesky_ex(shifted)
        if not int(failed):
            return factor
        jitter *= 10
