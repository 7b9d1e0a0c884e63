"""Electronic dielectric tensor of liquid water, after the 2019 paper's Fig. 3: model data.

Boxes of 32 molecules of SPC/Fw water, their bonds and angles spread as by the quantum motion of
the nuclei. Each molecule has a polarizability that depends on its geometry; all act on each other.
"""

import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float

from multilode.data import Dataset, read
from multilode.progress import Progress
from multilode_papers.makers.box_sums import dielectric_tensor
from multilode_papers.makers.frames import Frame
from multilode_papers.makers.jobs import run_jobs
from multilode_papers.makers.water_boxes import MOLECULES, Boxes, initial_boxes, simulate
from multilode_papers.makers.water_molecule import polarizability

BOXES = 1000
MODEL = "polarisable molecules"
SPREAD = 0.4  # Å, of the induced dipoles
SCALE = 1.185  # free molecule: 1.45 Å³ in experiment, 1.22 Å³ in Hartree-Fock
REPLICAS, SNAPSHOTS = 10, 10
TESTED = 2  # of the replicas: no box of the test set has a trajectory in the training set
WARM_UP, BETWEEN = 2000, 250  # steps of 1.5 fs
# Mean and spread of the nuclei's ground state: bonds (Å), angles (degrees)
_BONDS, _ANGLES = (0.977, 0.069), (104.7, 9.0)
_LENGTHS = (9.93, 0.16, 9.48, 10.44)  # Å: mean, spread and limits of the boxes


def make(
    folder: Path, *, count: int | None = None, workers: int = 1, progress: Progress | None = None
) -> Dataset:
    """Boxes of water with their dielectric tensors.

    Args:
        folder: folder of finished parts.
        count: number of boxes; the paper's 1000 if None.
        workers: number of processes.
        progress: called with the numbers of finished and of all parts.
    """
    wanted = BOXES if count is None else count
    parts = -(-wanted // (REPLICAS * SNAPSHOTS))
    names = [f"boxes-{k:03d}" for k in range(parts)]
    data = read(run_jobs(snapshots, names, folder, workers=workers, progress=progress))
    return data.select(range(wanted))


def snapshots(name: str) -> list[Frame]:
    """Ten boxes of different size at ten times; the name, such as `boxes-003`, is the seed."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    mean, spread, smallest, largest = _LENGTHS
    drawn = np.clip(rng.normal(mean, spread, size=REPLICAS), smallest, largest)
    lengths = np.round(drawn, 4)
    positions, velocities = simulate(initial_boxes(lengths, rng), lengths, WARM_UP, rng)
    frames = []
    for _ in range(SNAPSHOTS):
        positions, velocities = simulate(positions, lengths, BETWEEN, rng, velocities)
        for k, box in enumerate(vibrating(positions, rng)):
            split = "train" if k < REPLICAS - TESTED else "test"
            frames.append(_frame(box, float(lengths[k]), split))
    return frames


def vibrating(boxes: Boxes, rng: np.random.Generator) -> Boxes:
    """The same oxygens and orientations, with bonds and angles of the nuclei's ground state."""
    bonds = boxes[:, :, 1:] - boxes[:, :, :1]
    units = bonds / np.linalg.norm(bonds, axis=-1, keepdims=True)
    bisector, across = units.sum(axis=2), units[:, :, 0] - units[:, :, 1]
    bisector /= np.linalg.norm(bisector, axis=-1, keepdims=True)
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    half = np.radians(rng.normal(*_ANGLES, size=(*boxes.shape[:2], 1))) / 2
    lengths = np.clip(rng.normal(*_BONDS, size=(2, *boxes.shape[:2], 1)), 0.72, 1.28)
    moved = boxes.copy()
    moved[:, :, 1] = boxes[:, :, 0] + lengths[0] * (np.cos(half) * bisector + np.sin(half) * across)
    moved[:, :, 2] = boxes[:, :, 0] + lengths[1] * (np.cos(half) * bisector - np.sin(half) * across)
    return moved


def model_dielectric(
    molecules: Float[np.ndarray, "molecule 3 3"], length: float
) -> Float[np.ndarray, "3 3"]:
    """Dielectric tensor of whole molecules O, H, H (Å) in a cubic box of some length (Å)."""
    tensors = SCALE * np.array([polarizability(molecule) for molecule in molecules])
    return dielectric_tensor(molecules[:, 0], tensors, length, 2**0.5 * SPREAD)


def _frame(molecules: Float[np.ndarray, "molecule 3 3"], length: float, split: str) -> Frame:
    inside = length * np.floor(molecules[:, :1] / length)
    rounded = np.round(molecules - inside, 4)
    tensor = model_dielectric(rounded, length)
    return Frame(
        species=np.tile([8, 1, 1], MOLECULES),
        positions=rounded.reshape(-1, 3),
        values={"split": split, "epsilon": np.round(tensor.ravel(), 7), "model": MODEL},
        cell=length * np.eye(3),
        pbc=(True, True, True),
    )
