"""Active environments: the few to which sparse kernels compare all others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.correlations.selection import TrainingRows, farthest_points
from multilode.models.environments import Environments
from multilode.models.polynomial_kernel import BLOCK_BYTES, PolynomialKernel


@final
@dataclass(frozen=True, kw_only=True)
class ActiveEnvironments:
    """Reference environments of one term, which make features of its kernel.

    The features of a structure A are phi_A = L^-1 k_A, with its kernel k_A with each of the active
    environments (all components m of them) and L L^T their kernel with each other: phi_A . phi_B is
    the kernel of A and B as far as the active environments describe it (Nystroem).

    Args:
        rows: the environments, each row counted as a structure of its own.
        factor: L, lower triangular.
    """

    rows: Environments
    factor: Float[Tensor, "active active"]

    @staticmethod
    def of(rows: Environments, kernel: PolynomialKernel) -> "ActiveEnvironments":
        """Decompose the kernel of the environments with each other."""
        return ActiveEnvironments(rows=rows, factor=_cholesky(kernel.between(rows, rows)))

    def features(self, kernel: Float[Tensor, "structure active"]) -> Tensor:
        """phi of structures, from their kernels with the active environments."""
        return torch.linalg.solve_triangular(self.factor, kernel.T, upper=False).T

    def tensors(self) -> dict[str, Tensor]:
        """All numbers by name."""
        rows = self.rows
        named = {"values": rows.values, "slots": rows.slots, "factor": self.factor}
        return named if rows.invariants is None else {**named, "invariants": rows.invariants}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> "ActiveEnvironments | None":
        """The environments back from `tensors()`; None if there are none."""
        if "factor" not in tensors:
            return None
        values, slots = tensors["values"], tensors["slots"]
        rows = _each_apart(values, slots, tensors.get("invariants"))
        return ActiveEnvironments(rows=rows, factor=tensors["factor"])


def choose_active(
    candidates: Environments,
    kernel: PolynomialKernel,
    n_active: int,
    *,
    components: int = 1,
) -> ActiveEnvironments:
    """Farthest points among environments, of each kind of center in proportion.

    Args:
        candidates: environments of some structures.
        n_active: number to choose; fewer, if there are no more different ones.
        components: consecutive structures that are the components m of one; all components of an
            environment are active together, because only then predictions rotate with structures.
    """
    units = _units(candidates, components)
    # what tells environments apart must not depend on how they are turned
    described = candidates.values if candidates.invariants is None else candidates.invariants
    if components > 1 and candidates.invariants is None:
        described = described[units].flatten(start_dim=1)
    else:
        described = described[units[:, 0]]
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
    invariants = None if candidates.invariants is None else candidates.invariants[rows]
    active = _each_apart(candidates.values[rows], candidates.slots[rows], invariants)
    return ActiveEnvironments.of(active, kernel)


def project(
    new: Environments,
    kernel: PolynomialKernel,
    active: ActiveEnvironments | None,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Tensor, "structure column"]:
    """Features of structures whose scalar products are the kernel; exact without active ones.

    Args:
        active: None for zeta = 1, whose environments are sums over the centers of each kind: side
            by side they are the features of a linear model.
    """
    if active is None:
        return new.values.reshape(new.n_structures, -1)
    return active.features(kernel.between(new, active.rows, block_bytes=block_bytes))


def _each_apart(
    values: Float[Tensor, "active feature"],
    slots: Int[Tensor, " active"],
    invariants: Float[Tensor, "active invariant"] | None,
) -> Environments:
    n = len(values)
    return Environments(
        values=values,
        structure_index=torch.arange(n, device=values.device),
        slots=slots,
        n_structures=n,
        invariants=invariants,
    )


def _units(rows: Environments, components: int) -> Int[Tensor, "unit component"]:
    """Rows that are the components of one environment.

    Structures are components m of a structure A, A major; environments have the same order in each.
    """
    counts = torch.bincount(rows.structure_index, minlength=rows.n_structures)
    starts = (counts.cumsum(0) - counts).view(-1, components)
    per_structure = counts.view(-1, components)[:, 0]
    first = starts.repeat_interleave(per_structure, dim=0)  # [unit, component]
    ends = per_structure.cumsum(0) - per_structure
    within = torch.arange(len(first)) - ends.repeat_interleave(per_structure)
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
