"""Boxes of water with its ions and energies of a classical polarisable model: fluctuating charges.

    python make_data.py        # writes train.xyz and test.xyz

Charges q of width s minimise sum_i (chi_i q_i + eta_i q_i^2 / 2) + sum_ij q_i J_ij q_j / 2, while
those of each molecule add up to 0 (H2O), 1 (H3O) or -1 (OH); J is summed over waves. Energies are
those of the box less those of its molecules alone in it. The ions have no element of their own.
"""

import numpy as np
from ase import Atoms
from ase.io import write

EDGE, WIDTH, COULOMB = 9.4, 0.6, 14.399645  # Å, Å, eV Å
HYDROGENS = [3, 1] * 2 + [2] * 16  # of each molecule
CHI, ETA = {"H": 0.0, "O": 9.0}, {"H": 14.0, "O": 12.0}  # eV
STRETCH = 8.0  # eV/Å: of the attraction to a hydrogen


def box(rng: np.random.Generator) -> tuple[Atoms, np.ndarray]:
    """Molecules at random, no two of them nearer than 2.5 Å, and the molecule of each atom."""
    places: list[np.ndarray] = []
    while len(places) < len(HYDROGENS):
        new = rng.uniform(0, EDGE, 3)
        apart = [new - other - EDGE * np.round((new - other) / EDGE) for other in places]
        if all(np.linalg.norm(d) > 2.5 for d in apart):
            places.append(new)
    symbols, positions = "", []
    for count, place in zip(HYDROGENS, places, strict=True):
        arms = np.linalg.qr(rng.normal(size=(3, 3)))[0][:count]
        positions += [place, *(place + rng.uniform(0.9, 1.1, (count, 1)) * arms)]
        symbols += "O" + "H" * count
    labels = np.repeat(np.arange(len(HYDROGENS)), 1 + np.array(HYDROGENS))
    return Atoms(symbols, positions, cell=[EDGE] * 3, pbc=True), labels


def energy(atoms: Atoms, labels: np.ndarray) -> float:
    """The smallest energy of these molecules, from one linear system."""
    positions, symbols, n = atoms.positions, np.array(atoms.get_chemical_symbols()), len(atoms)
    steps = np.stack(np.meshgrid(*[np.arange(-10, 11)] * 3), axis=-1).reshape(-1, 3)
    waves = 2 * np.pi / EDGE * steps[(steps**2).sum(axis=1) > 0]
    square = (waves**2).sum(axis=1)
    phases = np.exp(1j * positions @ waves.T)
    factors = 4 * np.pi * COULOMB / EDGE**3 * np.exp(-square * WIDTH**2) / square
    matrix = (phases * factors @ phases.conj().T).real + np.diag([ETA[s] for s in symbols])
    bonds = np.linalg.norm(positions[:, None] - positions, axis=2)
    bonded = (labels[:, None] == labels) & (symbols[:, None] == "H") & (symbols == "O")
    chi = np.array([CHI[s] for s in symbols]) + (STRETCH * (bonds - 1) * bonded).sum(axis=1)
    present = np.unique(labels)
    member = (labels == present[:, None]).astype(float)
    total = member @ (symbols == "H") - 2
    system = np.block([[matrix, member.T], [member, np.zeros((len(present),) * 2)]])
    found = np.linalg.solve(system, np.concatenate([-chi, total]))[:n]
    return float(found @ chi + 0.5 * found @ matrix @ found)


def boxes(count: int, seed: int) -> list[Atoms]:
    """Boxes with their energies less those of their molecules."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(count):
        atoms, labels = box(rng)
        parts = [labels == label for label in range(len(HYDROGENS))]
        alone = sum(energy(atoms[part], labels[part]) for part in parts)
        atoms.info["interaction_energy"] = energy(atoms, labels) - alone
        charges = np.array(HYDROGENS) - 2.0
        atoms.arrays |= {"molecule": labels, "molecule_charge": charges[labels]}
        made.append(atoms)
    return made


if __name__ == "__main__":
    write("train.xyz", boxes(200, seed=0))
    write("test.xyz", boxes(50, seed=1))
