"""Structures for the benchmarks: made here, the same on every machine."""

from dataclasses import replace

import numpy as np
from ase import Atoms
from ase.build import molecule

from multilode.structures.batch import Structures

_LIQUID = 9.85  # Å, side of a cube that holds 32 molecules


def water_box(
    repeat: int | tuple[int, int, int] = 1, side: float = _LIQUID, seed: int = 0
) -> Atoms:
    """32 randomly oriented molecules on a lattice in a cubic box (side in Å), then repeated."""
    return _box((4, 4, 2), side, seed).repeat(repeat)


def _box(shape: tuple[int, int, int], side: float, seed: int) -> Atoms:
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), axis=-1)
    box = Atoms(cell=[side] * 3, pbc=True)
    for site in grid.reshape(-1, 3) * side:
        water = molecule("H2O")
        water.rotate(rng.uniform(0, 360), rng.normal(size=3), center="COM")
        water.translate(site + rng.normal(scale=0.1, size=3) - water.get_center_of_mass())
        box += water
    return box


def liquid(repeat: int | tuple[int, int, int], seed: int = 0) -> Atoms:
    """A supercell whose atoms are displaced at random: none of its waves is missing."""
    atoms = water_box(repeat)
    atoms.rattle(0.05, rng=np.random.default_rng(seed))
    return atoms


def crystals(count: int, shape: tuple[int, int, int]) -> list[Atoms]:
    """Boxes of `prod(shape)` molecules at the density of the liquid, no two cells alike."""
    rng = np.random.default_rng(1)
    kinds = [
        _box(shape, _LIQUID * (np.prod(shape) / 32) ** (1 / 3), seed)
        for seed in range(min(count, 8))
    ]
    frames = []
    for i in range(count):
        atoms = kinds[i % len(kinds)].copy()
        strain = np.eye(3) + rng.uniform(-0.02, 0.02, size=(3, 3))
        atoms.set_cell(atoms.cell[:] @ strain, scale_atoms=True)
        atoms.rattle(0.05, rng=rng)
        frames.append(atoms)
    return frames


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
