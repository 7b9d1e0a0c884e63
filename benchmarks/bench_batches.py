"""Batches of small crystals beside one large system: what a small structure costs on top."""

from problem import backward, values
from systems import crystals, liquid, to_structures
from timing import in_turn, quantity

SMEARING, TOLERANCE = 1.0, 1e-4
BATCHES = {24: (1000, (2, 2, 2)), 96: (200, (4, 4, 2))}


def run(threads: int) -> list[dict]:
    entries = []
    large = to_structures(liquid((6, 6, 6)))
    for size, (count, shape) in BATCHES.items():
        batch = to_structures(*crystals(count, shape))
        for what, make in (("values", values), ("values + derivatives", backward)):
            many, one = in_turn([make(s, SMEARING, TOLERANCE) for s in (batch, large)], rounds=3)
            per_atom, reference = many / batch.n_atoms, one / large.n_atoms
            entries.append(
                quantity(
                    f"batch of {count} crystals of {size} atoms, {what}, time per atom over that "
                    f"of one system of {large.n_atoms}",
                    per_atom / reference, "", microseconds_per_atom=1e6 * per_atom,
                    frames_per_second=count / many, tolerance=TOLERANCE, dtype="float64",
                    threads=threads,
                )
            )  # fmt: skip
    return entries
