"""What a channel of sources costs beside an element: as many of either, the same field."""

from collections.abc import Callable

import torch
from problem import SPECIES, potential
from systems import differentiable, liquid, to_structures
from timing import in_turn, quantity

from multilode.expansion import expand
from multilode.structures.batch import Structures

SMEARING, TOLERANCE = 1.0, 1e-4
SIZES = {96: (1, 1, 1), 768: (2, 2, 2)}


def run(threads: int) -> list[dict]:
    entries = []
    for size, repeat in SIZES.items():
        structures = to_structures(liquid(repeat))
        members = torch.stack([structures.species == z for z in SPECIES], dim=1).double()
        for what, slopes in (("values", False), ("values + derivatives", True)):
            told = ({"species": SPECIES}, {"strengths": members})
            calls = [expansion(structures, slopes=slopes, **own) for own in told]
            elements, channels = in_turn(calls, rounds=7)
            entries.append(
                quantity(
                    f"{len(SPECIES)} channels of sources, {size} atoms, {what}, time over that of "
                    f"{len(SPECIES)} elements",
                    channels / elements, "", milliseconds=1e3 * channels, tolerance=TOLERANCE,
                    dtype="float64", threads=threads,
                )
            )  # fmt: skip
    return entries


def expansion(structures: Structures, *, slopes: bool, **sources: object) -> Callable[[], None]:
    """A call that computes the coefficients, and the slopes of their sum."""

    def call() -> None:
        moved = differentiable(structures) if slopes else structures
        found = expand(potential(SMEARING), moved, tolerance=TOLERANCE, **sources)
        if slopes:
            sum(block.sum() for block in found.blocks.values()).backward()

    return call
