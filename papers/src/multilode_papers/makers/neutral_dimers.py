"""Binding curves of neutral dimers in the numbers of the 2021 paper, at low cost: GFN2-xTB.

Classes PP, PA and AA only. With a charged molecule this method transfers charge between distant
molecules; without one its tail is small, but not exact: see the catalogue.
"""

import zlib
from pathlib import Path

import numpy as np

from multilode.data import Dataset, read
from multilode.progress import Progress
from multilode_papers.makers.dimers import DISPLACEMENTS, Pair, facing
from multilode_papers.makers.engines import HARTREE, bohr_of, tblite_energy_and_gradient
from multilode_papers.makers.fragments import FRAGMENTS, fragment
from multilode_papers.makers.frames import Frame
from multilode_papers.makers.jobs import run_jobs

# dimers in all, and of these for training: the numbers of the 2021 paper's Table 1
COUNTS = {"PP": (161, 100), "PA": (418, 350), "AA": (1051, 950)}
_BATCH = 20  # dimers of one job


def make(folder: Path, *, count: int | None, workers: int, progress: Progress | None) -> Dataset:
    """The curves of all dimers.

    Args:
        folder: folder of finished batches.
        count: number of dimers in each class; by default those of the paper.
        workers: number of processes.
        progress: called with the numbers of finished and of all batches.

    Raises:
        EngineError: if tblite or RDKit is not installed.
    """
    names = []
    for label, (total, _) in COUNTS.items():
        wanted = total if count is None else min(count, total)
        starts = range(0, wanted, _BATCH)
        names += [f"{label}-{a}-{min(a + _BATCH, wanted)}" for a in starts]
    return read(run_jobs(batch, names, folder, workers=workers, progress=progress))


def batch(name: str) -> list[Frame]:
    """The frames of some dimers, such as `PA-20-40`."""
    label, first, last = name.split("-")
    return [
        frame for k in range(int(first), int(last)) for frame in binding_curve(f"{label}-{k:04d}")
    ]


def binding_curve(name: str) -> list[Frame]:
    """The frames of one dimer; its name is the seed of all that is drawn."""
    label, number = name.split("-")
    rng = np.random.default_rng(zlib.crc32(f"neutral {name}".encode()))
    a, b = (fragment(str(rng.choice(list(FRAGMENTS[kind])))) for kind in label)
    pair = facing(a, b, rng)
    apart = sum(
        _energy(molecule.species, positions)
        for molecule, positions in ((a, pair.first), (b, pair.second))
    )
    split = "train" if int(number) < COUNTS[label][1] else "test"
    shared = {"dimer": name, "label": label, "split": split, **pair.labels()}
    return [_point(pair, offset, apart, shared) for offset in DISPLACEMENTS]


def _point(pair: Pair, offset: float, apart: float, shared: dict[str, object]) -> Frame:
    positions = np.round(pair.at(pair.contact + offset), 5)
    energy = HARTREE * (_energy(pair.species, positions) - apart)
    values = shared | {
        "displacement": offset,
        "distance": round(pair.contact + offset, 6),
        "interaction_energy": round(float(energy), 7),
    }
    return Frame(species=pair.species, positions=positions, values=values)


def _energy(species: np.ndarray, positions: np.ndarray) -> float:
    return tblite_energy_and_gradient(species, bohr_of(positions), 0)[0]
