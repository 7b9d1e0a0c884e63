"""Checks of sources of fields."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.representation.sources import AbstractSources
from multilode.structures.batch import Structures
from multilode.testing.equality import require_equal

_STEP = 1e-5  # Å


def check_sources(
    sources: AbstractSources, structures: Structures, tolerance: float = 1e-8
) -> None:
    """Strengths are numbers of atoms that follow them, and have the slopes of differences.

    They stay as they are if all atoms are moved together, turned or reflected, and go with the
    atoms if these are counted in another order; structures have those that they have alone.

    Args:
        sources: to check; they need not be in the table of sources.
        structures: two or more, with the arrays that the sources need.
        tolerance: largest difference relative to the largest strength.

    Raises:
        AssertionError: if one of this does not hold.
    """
    found = sources.strengths(structures)
    require_equal("shape", tuple(found.shape), (structures.n_atoms, sources.n_channels))
    require_equal("dtype", found.dtype, structures.positions.dtype)
    size = max(float(found.detach().abs().max()), 1e-300)

    def same(moved: Structures, expected: Float[Tensor, "atom channel"], what: str) -> None:
        difference = float((sources.strengths(moved) - expected).detach().abs().max())
        if difference > tolerance * size:
            raise AssertionError(f"{what}: strengths change by {difference}, of {size}")

    shift = torch.tensor([0.3, -1.2, 0.7], dtype=found.dtype)
    same(replace(structures, positions=structures.positions + shift), found, "moved together")
    generator = torch.Generator().manual_seed(0)
    proper = torch.linalg.qr(torch.randn(3, 3, generator=generator).to(found.dtype))[0]
    for turn, what in ((proper, "turned"), (-proper, "turned and reflected")):
        turned = replace(
            structures, positions=structures.positions @ turn.T, cell=structures.cell @ turn.T
        )
        same(turned, found, what)
    alone = [sources.strengths(structures.select([k])) for k in range(structures.n_structures)]
    same(structures, torch.cat(alone), "alone")
    _check_order(sources, structures, same)
    _check_slopes(sources, structures, size)


def _check_order(
    sources: AbstractSources, structures: Structures, same: Callable[..., None]
) -> None:
    """Atoms in another order, structure by structure."""
    counts, start, order = structures.counts.tolist(), 0, []
    for count in counts:
        order.append(start + torch.arange(count).flip(0))
        start += count
    index = torch.cat(order)
    turned = replace(
        structures,
        positions=structures.positions[index],
        species=structures.species[index],
        arrays={name: values[index] for name, values in structures.arrays.items()},
    )
    same(turned, sources.strengths(structures)[index], "in another order")


def _check_slopes(sources: AbstractSources, structures: Structures, size: float) -> None:
    """Along a random displacement of all atoms."""
    generator = torch.Generator().manual_seed(1)
    like = structures.positions
    along = torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)
    weights = torch.cos(torch.arange(structures.n_atoms * sources.n_channels).to(like))

    def total(positions: Tensor) -> Tensor:
        found = sources.strengths(replace(structures, positions=positions))
        return (found.flatten() * weights).sum()

    positions = like.detach().clone().requires_grad_()
    value = total(positions)
    slope = 0.0
    if value.requires_grad:
        slope = float((torch.autograd.grad(value, positions)[0] * along).sum())
    with torch.no_grad():
        ends = [float(total(like + sign * _STEP * along)) for sign in (1, -1)]
    difference = (ends[0] - ends[1]) / (2 * _STEP)
    if abs(slope - difference) > 1e-5 * max(size, abs(difference)):
        raise AssertionError(f"the slope of strengths is {slope}, differences give {difference}")
