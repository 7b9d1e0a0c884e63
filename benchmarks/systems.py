"""Structures for the benchmarks: made here, the same on every machine."""

from dataclasses import replace

import numpy as np
from ase import Atoms
from ase.build import molecule

from multilode.structures import Structures


def water_box(repeat: int = 1, side: float = 9.85, seed: int = 0) -> Atoms:
    """32 randomly oriented molecules on a lattice in a cubic box (side in Å), then repeated."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(n) / n for n in (4, 4, 2)], indexing="ij"), axis=-1)
    box = Atoms(cell=[side] * 3, pbc=True)
    for site in grid.reshape(-1, 3) * side:
        water = molecule("H2O")
        water.rotate(rng.uniform(0, 360), rng.normal(size=3), center="COM")
        water.translate(site + rng.normal(scale=0.1, size=3) - water.get_center_of_mass())
        box += water
    return box.repeat(repeat)


def to_structures(*frames: Atoms) -> Structures:
    """A batch of our own type."""
    return Structures.from_arrays(
        [a.positions for a in frames],
        [a.numbers for a in frames],
        [a.cell[:] for a in frames],
        [a.pbc for a in frames],
    )


def differentiable(structures: Structures) -> Structures:
    """The same structures, their positions and cells as leaves of a graph."""
    return replace(
        structures,
        positions=structures.positions.clone().requires_grad_(),
        cell=structures.cell.clone().requires_grad_(),
    )
