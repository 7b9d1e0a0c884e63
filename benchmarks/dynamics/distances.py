"""Distributions of distances in a liquid, of a model beside the classical one it has learned."""

from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from classical import Classical
from liquids import KELVIN, STEP

import multilode as ml

PAIRS = {"salt": ((11, 17), (11, 11), (17, 17)), "water": ((8, 8), (1, 8), (1, 1))}
WIDTH = 0.1  # Å
PICOSECONDS, LEFT_OUT, EVERY = {"salt": 4.0, "water": 4.0}, 0.5, 10


def counts_of(atoms: Atoms, kind: str) -> np.ndarray:
    """g(r) of one configuration for all kinds of pairs [pair, bin]."""
    reach = 0.5 * float(atoms.cell.lengths().min())
    edges = WIDTH * np.arange(int(reach / WIDTH) + 1)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    apart = atoms.get_all_distances(mic=True)
    molecule = np.arange(len(atoms)) // (3 if kind == "water" else 1)
    apart[molecule[:, None] == molecule] = np.inf
    found = []
    for a, b in PAIRS[kind]:
        one, other = atoms.numbers == a, atoms.numbers == b
        near = apart[one][:, other]
        number = np.isfinite(near).sum() + (one.sum() if a == b and kind == "salt" else 0)
        counts = np.histogram(near[np.isfinite(near)], bins=edges)[0]
        found.append(counts * atoms.get_volume() / shells / number)
    return np.array(found)


def compared(kind: str, start: Atoms, model: Path) -> dict:
    """Mean distributions of two runs from the same start, one with each force."""
    found: dict = {"width": WIDTH, "pairs": PAIRS[kind], "picoseconds": PICOSECONDS[kind]}
    for name, calculator in (
        ("model", ml.PredictorCalculator(model)),
        ("classical", Classical()),
    ):
        atoms, generator = start.copy(), np.random.default_rng(7)
        atoms.calc = calculator
        MaxwellBoltzmannDistribution(atoms, temperature_K=KELVIN[kind], rng=generator)
        moving = Langevin(
            atoms, STEP[kind] * units.fs, temperature_K=KELVIN[kind],
            friction=0.005 / units.fs, rng=generator, fixcm=False,
        )  # fmt: skip
        moving.run(round(1000 * LEFT_OUT / STEP[kind]))
        parts = []
        for _ in range(round(1000 * PICOSECONDS[kind] / STEP[kind] / EVERY)):
            moving.run(EVERY)
            parts.append(counts_of(atoms, kind))
        halves = np.array_split(np.array(parts), 4)
        found[name] = np.mean(parts, axis=0).tolist()
        found[f"{name}, spread"] = np.std([half.mean(axis=0) for half in halves], axis=0).tolist()
    return found
