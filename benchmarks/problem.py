"""The potential expansion that is measured: GTO, 6 radial functions, max_angular 4, p = 1."""

from collections.abc import Callable

import torch
from systems import differentiable

from multilode.expansion import FieldExpansion, ReciprocalSum, expand
from multilode.expansion.lattice.cell_cache import CELL_CACHE
from multilode.fields import SmearedPotential
from multilode.radial import GaussianTypeOrbitals
from multilode.structures.batch import Structures

N_RADIAL, MAX_ANGULAR, RADIUS, SPECIES = 6, 4, 3.0, (1, 8)
_EXACT = 1e-11  # tolerance of the sums over waves that others are compared with
_MEASURED_CENTERS = 96  # of large structures, of which the exact coefficients are computed

Blocks = list[torch.Tensor]  # one [center, m, species n] per l


def potential(smearing: float) -> FieldExpansion:
    return FieldExpansion(
        SmearedPotential(smearing, 1.0), GaussianTypeOrbitals(N_RADIAL, RADIUS), MAX_ANGULAR
    )


def coefficients(
    structures: Structures,
    smearing: float,
    tolerance: float,
    method="auto",
    centers: torch.Tensor | None = None,
) -> Blocks:
    found = expand(
        potential(smearing), structures, species=SPECIES, centers=centers, method=method,
        tolerance=tolerance,
    )  # fmt: skip
    return list(found.blocks.values())


def values(structures: Structures, smearing: float, tolerance: float, method="auto") -> Callable:
    """A call that computes all coefficients; what depends on the cell alone stays cached."""

    def call() -> None:
        with torch.no_grad():
            coefficients(structures, smearing, tolerance, method)

    return call


def values_of_new_cell(
    structures: Structures, smearing: float, tolerance: float, method="auto"
) -> Callable:
    """The same, as for a structure whose cell was never seen."""
    call = values(structures, smearing, tolerance, method)

    def forgetful() -> None:
        CELL_CACHE.clear()
        call()

    return forgetful


def backward(structures: Structures, smearing: float, tolerance: float, method="auto") -> Callable:
    """A call that computes coefficients, then gradients of a random sum of them, cell included."""
    moving = differentiable(structures)
    generator = torch.Generator(device=structures.positions.device).manual_seed(0)
    with torch.no_grad():
        cotangents = [
            torch.randn(b.shape, dtype=b.dtype, device=b.device, generator=generator)
            for b in coefficients(structures, smearing, tolerance, method)
        ]

    def call() -> None:
        blocks = coefficients(moving, smearing, tolerance, method)
        torch.autograd.grad(blocks, (moving.positions, moving.cell), cotangents)

    return call


def measured_centers(structures: Structures) -> torch.Tensor:
    """Centers, the same in every call, whose coefficients stand for all."""
    generator = torch.Generator().manual_seed(1)
    order = torch.randperm(structures.n_atoms, generator=generator)
    return order[:_MEASURED_CENTERS].sort().values


def exact(structures: Structures, smearing: float, centers: torch.Tensor | None = None) -> Blocks:
    """The sum over all waves that matter in double precision."""
    with torch.no_grad():
        return coefficients(structures, smearing, _EXACT, ReciprocalSum(_EXACT), centers)


def deviation(blocks: Blocks, reference: Blocks) -> float:
    """Largest deviation of any coefficient over the largest coefficient."""
    largest = max(float(b.abs().max()) for b in reference)
    return max(float((a - b).abs().max()) for a, b in zip(blocks, reference, strict=True)) / largest


def error_of(
    structures: Structures,
    smearing: float,
    tolerance: float,
    reference: Blocks,
    centers: torch.Tensor | None = None,
    method="auto",
) -> float:
    """Measured error at some centers; all are computed, as a mesh treats them together."""
    with torch.no_grad():
        blocks = coefficients(structures, smearing, tolerance, method)
    if centers is not None:
        blocks = [b[centers] for b in blocks]
    return deviation(blocks, reference)
