"""A water molecule above a lithium slab, after the 2021 paper's Figs. 7 and 8: model data.

The metal is a constant-potential electrode, the water a flexible molecule of charges with a
polarizability, and both are solved together in the cell that is periodic along the surface:
image charges, their tangential response and the back-reaction on the molecule are all there.
Electrons are not: overlap is a Born-Mayer repulsion, correlation a pairwise dispersion.
"""

import math
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from multilode.data import Dataset, read
from multilode.progress import Progress
from multilode_papers.makers.electrode import LATTICE, Electrode, lithium_slab
from multilode_papers.makers.frames import Frame
from multilode_papers.makers.image_response import image_response
from multilode_papers.makers.jobs import run_jobs
from multilode_papers.makers.water_molecule import charges, polarizability, water

CONFIGURATIONS, TESTED = 81, 6
HEIGHTS = tuple((0.5 + 0.25 * np.arange(31)).tolist())  # Å
FAR, FAR_TRAINED = 4.5, 1000  # the polarisation is learned from this height (Å) on
REPEATS, LAYERS = 9, 5
MODEL = "constant-potential electrode"


@final
@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Born-Mayer repulsion and dispersion between lithium and one kind of atom.

    Args:
        strength: prefactor of the repulsion (eV).
        decay: its decay length (Å).
        dispersion: C6 (eV Å⁶), damped as by Tang and Toennies with the same decay length.
    """

    strength: float
    decay: float
    dispersion: float

    def __call__(self, r: Float[np.ndarray, "*pair"]) -> Float[np.ndarray, "*pair"]:
        """Energies (eV) of pairs at distances (Å)."""
        x = r / self.decay
        damping = 1 - np.exp(-x) * sum(x**k / math.factorial(k) for k in range(7))
        return self.strength * np.exp(-x) - self.dispersion * damping / r**6


# C6 is such that a half-space has C3 = 0.18 a.u.: that of a metal whose surface plasmon (5.3 eV)
# meets a molecule of 9.8 a.u. with its excitations at 17 eV. All of it acts on the oxygen.
HYDROGEN = Overlap(strength=45.0, decay=0.33, dispersion=0.0)
OVERLAPS = (Overlap(strength=450.0, decay=0.29, dispersion=28.6), HYDROGEN, HYDROGEN)


def make(
    folder: Path, *, count: int | None = None, workers: int = 1, progress: Progress | None = None
) -> Dataset:
    """Binding curves and induced dipoles of water molecules above the slab.

    Args:
        folder: folder of finished curves.
        count: at most so many molecules; the paper's 81 if None.
        workers: number of processes.
        progress: called with the numbers of finished and of all curves.
    """
    wanted = CONFIGURATIONS if count is None else min(count, CONFIGURATIONS)
    names = [f"water-{k:02d}" for k in range(wanted)]
    return read(run_jobs(binding_curve, names, folder, workers=workers, progress=progress))


def binding_curve(name: str) -> list[Frame]:
    """One molecule, such as `water-07`, at all heights; its name is the seed of its geometry."""
    number = int(name.split("-")[1])
    slab = slab_of(REPEATS, LAYERS)
    molecule = drawn_molecule(name)
    positions = at_heights(molecule)
    response = image_response(slab, positions, charges(molecule), polarizability(molecule))
    overlap = overlap_energy(slab, positions)
    cell = np.zeros((3, 3))
    cell[:2, :2] = slab.cell
    frames = []
    for k, height in enumerate(HEIGHTS):
        values = {
            "configuration": number,
            "height": height,
            "split": "test" if number in tested_configurations() else "train",
            "interaction_energy": round(float(response.energy[k] + overlap[k]), 9),
            "image_energy": round(float(response.energy[k]), 9),
            "polarization": np.round(response.polarization[k], 9),
            "model": MODEL,
        }
        if height >= FAR:
            values["polarization_split"] = polarization_splits()[number, k]
        frames.append(
            Frame(
                species=np.concatenate([np.full(len(slab.positions), 3), [8, 1, 1]]),
                positions=np.concatenate([slab.positions, positions[k]]),
                values=values,
                cell=cell,
                pbc=(True, True, False),
            )
        )
    return frames


@cache
def slab_of(repeats: int, layers: int) -> Electrode:
    """The slab, whose response is computed once."""
    return lithium_slab(repeats, layers)


def drawn_molecule(name: str) -> Float[np.ndarray, "3 3"]:
    """Positions (Å) of a water molecule with its oxygen at the origin, oriented at random.

    Its bonds and its angle vary as they do by the motion of the nuclei in the ground state.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    first, second = rng.normal(0.97, 0.05, size=2)
    shape = water(first, second, rng.normal(105.0, 7.0))
    return np.round(Rotation.random(None, rng).apply(shape), 4)


def at_heights(molecule: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "height 3 3"]:
    """The molecule with its lowest nucleus at each height, its oxygen above a hollow site."""
    middle = (REPEATS // 2 + 0.5) * LATTICE
    lowest = molecule[:, 2].min()
    shifts = np.array([[middle, middle, height - lowest] for height in HEIGHTS])
    return np.round(molecule - molecule[0] + shifts[:, None], 4)


def overlap_energy(
    slab: Electrode, positions: Float[np.ndarray, "height 3 3"]
) -> Float[np.ndarray, " height"]:
    """Repulsion and dispersion (eV) between the molecule and the slab's nearest nine images."""
    steps = np.array([[i, j] for i in (-1, 0, 1) for j in (-1, 0, 1)]) @ slab.cell
    shifts = np.concatenate([steps, np.zeros((len(steps), 1))], axis=1)
    atoms = (slab.positions + shifts[:, None]).reshape(-1, 3)
    distances = np.linalg.norm(positions[:, :, None] - atoms, axis=-1)
    pairs = [overlap(distances[:, k]) for k, overlap in enumerate(OVERLAPS)]
    return np.sum(pairs, axis=(0, 2))


@cache
def tested_configurations() -> frozenset[int]:
    """Numbers of the molecules of the test set."""
    order = np.random.default_rng(2021).permutation(CONFIGURATIONS)
    return frozenset(order[:TESTED].tolist())


@cache
def polarization_splits() -> dict[tuple[int, int], str]:
    """`train` or `test` for each molecule far from the surface, by its number and its height's."""
    far = [k for k, height in enumerate(HEIGHTS) if height >= FAR]
    places = [(number, k) for number in range(CONFIGURATIONS) for k in far]
    order = np.random.default_rng(1215).permutation(len(places))
    return {places[i]: "train" if n < FAR_TRAINED else "test" for n, i in enumerate(order)}
