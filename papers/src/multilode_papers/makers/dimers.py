"""Binding curves of small molecular dimers in the six classes of the 2021 paper's Table 1.

Rigid molecules from `fragments`, HF/def2-SVPD energies with D3(BJ) dispersion, no counterpoise
correction. Its tails are right: charged pairs follow 14.4 q q' / R, dispersion R^-6.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import block_diag
from scipy.spatial.transform import Rotation

from multilode.data import Dataset, read
from multilode.progress import Progress
from multilode_papers.makers.engines import (
    HARTREE,
    EngineError,
    bohr_of,
    dispersion,
    hartree_fock,
    tblite_energy_and_gradient,
)
from multilode_papers.makers.fragments import FRAGMENTS, Fragment, fragment
from multilode_papers.makers.frames import Frame
from multilode_papers.makers.jobs import run_jobs

CLASSES = ("CC", "CP", "CA", "PP", "PA", "AA")
DISPLACEMENTS = tuple(np.arange(-0.5, 2.51, 0.25).tolist())  # Å, as in both papers
FAR = (4.0, 6.5, 10.0)  # Å, for dimers of the test set only
TEST_EVERY = 7
_SHIPPED = {"CC": 75, "CP": 75, "CA": 74, "PP": 23, "PA": 23, "AA": 22}
_TRIALS = 3  # orientations drawn for each dimer; the most attractive is kept
_LIKE_CHARGES = 0.15  # fraction of the charged pairs
_RADII = {1: 1.2, 6: 1.7, 7: 1.55, 8: 1.52}  # Å, van der Waals


@final
@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two molecules that face each other.

    Args:
        a, b: the molecules.
        first, second: their positions (Å), geometric centres at the origin.
        direction: unit vector from centre to centre.
        contact: distance (Å) of the centres at contact.
        depth: GFN2-xTB energy there (Hartree).
    """

    a: Fragment
    b: Fragment
    first: np.ndarray
    second: np.ndarray
    direction: np.ndarray
    contact: float
    depth: float

    @property
    def species(self) -> Int[np.ndarray, " atom"]:
        """Atomic numbers of both."""
        return np.concatenate([self.a.species, self.b.species])

    def labels(self) -> dict[str, object]:
        """Names, charges and the size of the first molecule."""
        return {
            "molecule_a": self.a.name,
            "molecule_b": self.b.name,
            "charge_a": self.a.charge,
            "charge_b": self.b.charge,
            "n_atoms_a": len(self.a.species),
        }

    def at(self, distance: float) -> Float[np.ndarray, "atom 3"]:
        """Positions with the centres at a distance (Å)."""
        return np.concatenate([self.first, self.second + distance * self.direction])


def make(folder: Path, *, count: int | None, workers: int, progress: Progress | None) -> Dataset:
    """The curves of all dimers; the classes take turns.

    Args:
        folder: folder of finished curves, one file each.
        count: number of dimers in each class; by default as many as ship.
        workers: number of processes.
        progress: called with the numbers of finished and of all curves.

    Raises:
        EngineError: if PySCF, dftd3, tblite or RDKit is not installed.
    """
    counts = _SHIPPED if count is None else dict.fromkeys(CLASSES, count)
    names = [
        f"{label}-{k:04d}"
        for k in range(max(counts.values()))
        for label in CLASSES
        if k < counts[label]
    ]
    return read(run_jobs(binding_curve, names, folder, workers=workers, progress=progress))


def binding_curve(name: str) -> list[Frame]:
    """The frames of one dimer, such as `CP-0012`; its name is the seed of all that is drawn."""
    label, number = name.split("-")
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    a, b = (fragment(choice) for choice in molecules(label, rng))
    pair = facing(a, b, rng)
    test = int(number) % TEST_EVERY == TEST_EVERY - 1
    shared = {"dimer": name, "label": label, "split": "test" if test else "train"}
    offsets = DISPLACEMENTS + (FAR if test else ())
    return hartree_fock_curve(pair, offsets, shared | pair.labels())


def hartree_fock_curve(
    pair: Pair, offsets: Sequence[float], shared: dict[str, object]
) -> list[Frame]:
    """Points of a curve with their HF/def2-SVPD + D3(BJ) interaction energies.

    Args:
        pair: the molecules.
        offsets: displacements (Å) from contact, ascending.
        shared: values of all points.

    Raises:
        EngineError: if PySCF or dftd3 is not installed, or an energy does not converge.
    """
    lone = [hartree_fock(m.species, xyz, m.charge) for m, xyz in _apart(pair)]
    density = np.asarray(block_diag(*(calculation.make_rdm1() for calculation in lone)))
    apart = sum(calculation.e_tot for calculation in lone)
    damped = sum(dispersion(m.species, xyz) for m, xyz in _apart(pair))
    frames = []
    for offset in sorted(offsets, reverse=True):  # each begins with the density of the last
        positions = pair.at(pair.contact + offset)
        charge = pair.a.charge + pair.b.charge
        calculation = hartree_fock(pair.species, positions, charge, density=density)
        density = calculation.make_rdm1()
        attraction = dispersion(pair.species, positions) - damped
        energy = calculation.e_tot - apart + attraction
        values = {
            "displacement": offset,
            "distance": round(pair.contact + offset, 6),
            "interaction_energy": round(float(HARTREE * energy), 8),
            "dispersion_energy": round(float(HARTREE * attraction), 8),
        }
        positions = np.round(positions, 6)
        frames.append(Frame(species=pair.species, positions=positions, values=shared | values))
    return frames[::-1]


def _apart(pair: Pair) -> list[tuple[Fragment, np.ndarray]]:
    return [(pair.a, pair.first), (pair.b, pair.second)]


def facing(a: Fragment, b: Fragment, rng: np.random.Generator) -> Pair:
    """Two molecules in the most attractive of a few random orientations."""
    return min((_drawn(a, b, rng) for _ in range(_TRIALS)), key=lambda trial: trial.depth)


def molecules(label: str, rng: np.random.Generator) -> list[str]:
    """A molecule of each kind; of two charged ones most have opposite charges."""
    drawn = [str(rng.choice(list(FRAGMENTS[kind]))) for kind in label]
    if label != "CC":
        return drawn
    like = rng.random() < _LIKE_CHARGES
    charges = {name: fragment(name).charge for name in FRAGMENTS["C"]}
    first = charges[drawn[0]]
    fitting = [name for name, charge in charges.items() if (charge == first) == like]
    return [drawn[0], str(rng.choice(fitting))]


def _drawn(a: Fragment, b: Fragment, rng: np.random.Generator) -> Pair:
    """Two orientations and the distance of contact along the line of centres."""
    first, second = (Rotation.random(None, rng).apply(m.positions) for m in (a, b))
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    pair = Pair(a=a, b=b, first=first, second=second, direction=direction, contact=0.0, depth=0.0)
    start = touching(pair)
    trials = start + np.arange(-1.4, 0.41, 0.15)
    energies = [_xtb(pair, distance) for distance in trials]
    best = int(np.argmin(energies))
    if best in (0, len(trials) - 1):  # no minimum on this line
        contact, depth = start - 0.2, _xtb(pair, start - 0.2)
    else:
        contact, depth = float(trials[best]), energies[best]
    return Pair(
        a=a, b=b, first=first, second=second, direction=direction, contact=contact, depth=depth
    )


def touching(pair: Pair) -> float:
    """Distance of the centres at which the first two van der Waals spheres touch."""
    radii = [np.array([_RADII[z] for z in m.species]) for m in (pair.a, pair.b)]
    sums = radii[0][:, None] + radii[1]
    between = pair.second - pair.first[:, None]
    along = between @ pair.direction
    across = (between**2).sum(axis=2) - along**2
    reach = np.where(across < sums**2, np.sqrt(np.maximum(sums**2 - across, 0.0)) - along, -np.inf)
    return float(reach.max())


def _xtb(pair: Pair, distance: float) -> float:
    """GFN2-xTB energy; infinite where atoms are so close that it does not converge."""
    charge = pair.a.charge + pair.b.charge
    positions = bohr_of(pair.at(distance))
    try:
        return tblite_energy_and_gradient(pair.species, positions, charge)[0]
    except EngineError:
        return float("inf")
