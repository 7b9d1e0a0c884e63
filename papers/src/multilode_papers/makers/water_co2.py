"""Water and carbon dioxide far apart, the toy problem of the 2021 paper's section 3.2."""

from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float

from multilode.data import Dataset, read
from multilode.progress import Progress
from multilode_papers.makers.engines import HARTREE, EngineError, engine
from multilode_papers.makers.frames import Frame
from multilode_papers.makers.jobs import run_jobs

NEAR = tuple(np.arange(6.5, 9.01, 0.25).tolist())  # Å, distances to train on
FAR = (9.5, 10.0, 10.5, 11.0, 12.0, 13.0, 14.0, 16.0, 18.0, 20.0)  # Å
APART = 1e4  # Å, where the energy is zero by definition
SPECIES = np.array([8, 1, 1, 6, 8, 8])
_WATER, _CO2 = (0, 1, 2), (3, 4, 5)
_OH, _HOH, _CO = 0.9572, np.radians(104.52), 1.160  # Å
_CENTER = 0.06556986  # Å, from the oxygen of water to its center of mass
_BASIS = "aug-cc-pvdz"


def orientations() -> list[str]:
    """Names such as `0+-_x`: direction (0, 1, -1) from water to CO2, whose axis is x.

    Water lies in the xz plane with its axis along z; the mirror images of a direction under
    x -> -x and y -> -y are left out.
    """
    directions = ["".join(signs) for signs in product("0+", "0+", "-0+") if "".join(signs) != "000"]
    return [f"{direction}_{axis}" for direction in directions for axis in "xyz"]


def make(folder: Path, *, count: int | None, workers: int, progress: Progress | None) -> Dataset:
    """Interaction energies along the curves of all orientations.

    Args:
        folder: folder of finished curves, one file each.
        count: number of orientations; by default all 33.
        workers: number of processes.
        progress: called with the numbers of finished and of all curves.

    Raises:
        EngineError: if PySCF is not installed.
    """
    names = orientations()[:count]
    return read(run_jobs(curve, names, folder, workers=workers, progress=progress))


def curve(orientation: str) -> list[Frame]:
    """The frames of one orientation, at all distances."""
    parts = [(d, "train") for d in NEAR] + [(d, "extrapolation") for d in FAR]
    frames = [_frame(orientation, d, part, interaction(place(orientation, d))) for d, part in parts]
    return [*frames, _frame(orientation, APART, "dissociated", {"interaction_energy": 0.0})]


def place(orientation: str, distance: float) -> Float[np.ndarray, "atom 3"]:
    """Positions (Å) with the centers of mass at a distance (Å), that of water at the origin."""
    signs, axis = orientation.split("_")
    direction = np.array([{"-": -1.0, "0": 0.0, "+": 1.0}[sign] for sign in signs])
    direction /= np.linalg.norm(direction)
    water = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0]]) * _OH * np.sin(_HOH / 2)
    water[1:, 2] = _OH * np.cos(_HOH / 2)
    water[:, 2] -= _CENTER
    along = _CO * np.eye(3)["xyz".index(axis)]
    carbon = distance * direction
    return np.vstack([water, carbon, carbon + along, carbon - along])


def interaction(positions: Float[np.ndarray, "atom 3"]) -> dict[str, float]:
    """Energies in eV: with and without counterpoise correction, its Hartree-Fock part, the total.

    Args:
        positions: of O H H C O O in Å.

    Raises:
        EngineError: if PySCF is not installed or does not converge.
    """
    pair = _energies(positions, ghosts=())
    water, co2 = (_energies(positions, ghosts=ghosts) for ghosts in (_CO2, _WATER))
    lone = [_energies(positions, only=atoms) for atoms in (_WATER, _CO2)]
    corrected, bare = pair - water - co2, pair - lone[0] - lone[1]
    return {
        "interaction_energy": float(corrected[1]),
        "interaction_energy_hf": float(corrected[0]),
        "interaction_energy_nocp": float(bare[1]),
        "total_energy": float(pair[1]),
    }


def _energies(
    positions: Float[np.ndarray, "atom 3"],
    *,
    ghosts: tuple[int, ...] = (),
    only: tuple[int, ...] = (*_WATER, *_CO2),
) -> np.ndarray:
    """Hartree-Fock and MP2 energy (eV) of some atoms, with the basis of ghosts beside them."""
    gto, scf, mp = (engine(f"pyscf.{part}", "pyscf") for part in ("gto", "scf", "mp"))
    symbols = {8: "O", 1: "H", 6: "C"}
    atoms = [
        (("ghost-" if i in ghosts else "") + symbols[int(SPECIES[i])], tuple(positions[i]))
        for i in only
    ]
    molecule = gto.M(atom=atoms, basis=_BASIS, unit="Angstrom", verbose=0)
    field = scf.RHF(molecule).density_fit()
    # MP2 is first order in the error of the orbitals, unlike Hartree-Fock: 2e-6 meV with these
    field.conv_tol, field.conv_tol_grad = 1e-13, 1e-9
    field.kernel()
    if not field.converged:
        raise EngineError("Hartree-Fock of water and carbon dioxide did not converge")
    heavy = sum(1 for i in only if SPECIES[i] > 1 and i not in ghosts)
    correlation = mp.MP2(field, frozen=heavy)
    correlation.kernel()
    return HARTREE * np.array([field.e_tot, field.e_tot + correlation.e_corr])


def _frame(orientation: str, distance: float, part: str, energies: dict[str, float]) -> Frame:
    values = {
        "orientation": orientation,
        "orientation_id": orientations().index(orientation),
        "distance": distance,
        **energies,
        "split": part,
    }
    return Frame(species=SPECIES, positions=place(orientation, distance), values=values)
