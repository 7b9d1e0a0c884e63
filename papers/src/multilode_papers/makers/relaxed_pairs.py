"""Candidates for binding curves: relaxed as rigid molecules, turned a little, without high walls.

All that decides whether a candidate is kept is computed with GFN2-xTB and was fixed before any
split: it has a minimum, and at the nearest displacement its energy is not above `HIGHEST_WALL`.
Every fifth candidate is for the test, by its number, whatever is found of it.

Two charged molecules are relaxed, and their walls measured, in implicit water: in vacuum opposite
charges come so close that nothing nearer converges, and like charges have no minimum.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from multilode.data import Dataset, concatenate, read
from multilode.progress import Progress
from multilode_papers.makers.dimers import DISPLACEMENTS, Pair, molecules
from multilode_papers.makers.engines import (
    HARTREE,
    EngineError,
    bohr_of,
    tblite_energy_and_gradient,
)
from multilode_papers.makers.fragments import fragment
from multilode_papers.makers.frames import Frame
from multilode_papers.makers.jobs import run_jobs
from multilode_papers.makers.rigid_pairs import drawn, relaxed, turned

# curves for training, as in the 2021 paper's Table 1, and for the test: a quarter of that
COUNTS = {
    "CC": (100, 25),
    "CP": (200, 50),
    "CA": (150, 38),
    "PP": (100, 25),
    "PA": (350, 88),
    "AA": (950, 238),
}
TURN = 7.0  # degrees, of each molecule: about 10 of one seen from the other
HIGHEST_WALL = 0.5, 0.7  # eV, of neutral pairs and of those with a charge
TEST_EVERY = 5
SOLVENTS = {"CC": "water"}  # implicit, while candidates are relaxed and chosen
_BATCH = 20  # candidates of one job


def candidate(name: str) -> Pair | None:
    """The pair of a name such as `CP-0012`, which is the seed; None if it has no minimum.

    Raises:
        EngineError: if tblite or RDKit is not installed.
    """
    label = name.split("-")[0]
    rng = np.random.default_rng(zlib.crc32(f"relaxed {name}".encode()))
    a, b = (fragment(choice) for choice in molecules(label, rng))
    found = relaxed(drawn(a, b, rng), SOLVENTS.get(label))
    return None if found is None else turned(found, TURN, rng)


def split_of(name: str) -> str:
    """Part to which a candidate belongs."""
    return "test" if int(name.split("-")[1]) % TEST_EVERY == TEST_EVERY - 1 else "train"


def labels_of(name: str, pair: Pair) -> dict[str, object]:
    """What all points of a curve share."""
    label = name.split("-")[0]
    return {"dimer": name, "label": label, "split": split_of(name), **pair.labels()}


def kept(nearest: Frame) -> bool:
    """Whether the nearest point of a curve is no higher than allowed."""
    values = nearest.values
    charged = bool(values["charge_a"] or values["charge_b"])
    return float(str(values["interaction_energy"])) <= HIGHEST_WALL[charged]


def gfn2_curve(pair: Pair, shared: Mapping[str, object]) -> list[Frame]:
    """Points of a curve with their GFN2-xTB interaction energies (eV).

    Raises:
        EngineError: if tblite is not installed or an energy does not converge.
    """
    solvent = SOLVENTS.get(str(shared["label"]))

    def energy(species: np.ndarray, positions: np.ndarray, charge: int) -> float:
        return tblite_energy_and_gradient(species, bohr_of(positions), charge, solvent=solvent)[0]

    a, b = pair.a, pair.b
    apart = energy(a.species, pair.first, a.charge) + energy(b.species, pair.second, b.charge)
    frames = []
    for offset in DISPLACEMENTS:
        positions = np.round(pair.at(pair.contact + offset), 5)
        total = energy(pair.species, positions, a.charge + b.charge)
        values = {
            "displacement": offset,
            "distance": round(pair.contact + offset, 5),
            "interaction_energy": round(HARTREE * (total - apart), 6),
        }
        frames.append(
            Frame(
                species=pair.species,
                positions=positions,
                values={**shared, **values},
                atom_values=monomers(pair),
            )
        )
    return frames


def monomers(pair: Pair) -> dict[str, np.ndarray]:
    """Number of the molecule, 0 or 1, to which each atom belongs."""
    return {"monomer": np.repeat([0, 1], [len(pair.first), len(pair.second)])}


def batch(name: str) -> list[Frame]:
    """GFN2-xTB curves of the candidates that are kept, such as `PA-20-40`."""
    label, first, last = name.split("-")
    frames = []
    for number in range(int(first), int(last)):
        dimer = f"{label}-{number:04d}"
        pair = candidate(dimer)
        if pair is None:
            continue
        try:
            curve = gfn2_curve(pair, labels_of(dimer, pair))
        except EngineError:  # atoms so close that the energy does not converge
            continue
        if kept(curve[0]):
            frames += curve
    return frames


def gfn2_curves(
    label: str, folder: Path, *, count: int | None, workers: int, progress: Progress | None
) -> Dataset:
    """GFN2-xTB curves of the first candidates of a class that are kept.

    Args:
        label: the class.
        folder: folder of finished batches.
        count: number of curves, a fifth of them for the test; by default those of `COUNTS`.
        workers: number of processes.
        progress: called with the numbers of finished and of all batches so far.

    Raises:
        EngineError: if tblite or RDKit is not installed.
    """
    counts = counts_of(label, count)
    names = [f"{label}-{a}-{a + _BATCH}" for a in range(0, sum(counts.values()), _BATCH)]
    while True:
        found = read(run_jobs(batch, names, folder, workers=workers, progress=progress))
        parts = [first_dimers(found, part, number) for part, number in counts.items()]
        if [len(set(part.labels("dimer"))) for part in parts] == list(counts.values()):
            return concatenate([part for part in parts if len(part)])
        begin = _BATCH * len(names)  # some were dropped: that many more
        names += [
            f"{label}-{begin + _BATCH * i}-{begin + _BATCH * (i + 1)}" for i in range(workers)
        ]


def counts_of(label: str, count: int | None) -> dict[str, int]:
    """Numbers of training and of test curves of a class; a fifth of a count is for the test."""
    train, test = COUNTS[label]
    if count is not None:
        tests = count // TEST_EVERY
        train, test = min(train, count - tests), min(test, tests)
    return {"train": train, "test": test}


def first_dimers(dataset: Dataset, part: str, count: int) -> Dataset:
    """The curves of the first dimers of a part."""
    mine = dataset.select(np.flatnonzero(np.array(dataset.labels("split")) == part))
    labels = np.array(mine.labels("dimer"))
    names = list(dict.fromkeys(labels.tolist()))[:count]
    return mine.select(np.flatnonzero(np.isin(labels, names)))
