"""Structures on which the tests run, all made here, and ways to change them."""

import ase
import ase.build
import numpy as np
import torch
from ase.spacegroup import crystal

from multilode.equivariants.blocks import Equivariants
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import Irrep


def structures_of(*atoms: ase.Atoms) -> Structures:
    """A batch of ASE structures."""
    return Structures.from_arrays(
        [a.get_positions() for a in atoms],
        [a.get_atomic_numbers() for a in atoms],
        [a.cell[:] for a in atoms],
        [a.pbc for a in atoms],
    )


def species_of(*atoms: ase.Atoms) -> tuple[int, ...]:
    """Atomic numbers that occur, ascending."""
    return tuple(sorted({int(z) for a in atoms for z in a.numbers}))


def water_molecule() -> ase.Atoms:
    """An isolated molecule."""
    return ase.build.molecule("H2O")


def water_in_box(edges: tuple[float, float, float] = (7.0, 8.0, 9.0)) -> ase.Atoms:
    """The same molecule, now periodic."""
    atoms = water_molecule()
    atoms.set_cell(edges)
    atoms.pbc = True
    return atoms


def isolated_cluster() -> ase.Atoms:
    """Carbon dioxide, an ion and water, a few Å apart, without a cell."""
    atoms = ase.build.molecule("CO2") + ase.Atoms("O", positions=[[2.7, 1.2, 0.4]])
    other = water_molecule()
    other.rotate(40, (1, 2, 3))
    other.translate((-1.0, 3.3, 1.9))
    return atoms + other


def rock_salt() -> ase.Atoms:
    """Eight atoms, off their sites."""
    atoms = ase.build.bulk("NaCl", "rocksalt", 5.64, cubic=True)
    atoms.rattle(0.2, seed=1)
    return atoms


def triclinic_perovskite() -> ase.Atoms:
    """Three species in a cell without any symmetry."""
    atoms = crystal(
        ("Sr", "Ti", "O"),
        [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)],
        spacegroup=221,
        cellpar=[3.9, 3.9, 3.9, 90, 90, 90],
    )
    strain = np.array([[1.05, 0.20, -0.10], [0.08, 0.93, 0.15], [-0.12, 0.05, 1.10]])
    atoms.set_cell(atoms.cell[:] @ strain, scale_atoms=True)
    atoms.rattle(0.15, seed=2)
    return atoms


def one_atom_crystal() -> ase.Atoms:
    """The primitive cell of copper, smaller than most basis cutoffs."""
    return ase.build.bulk("Cu", "fcc", 3.61)


def tiny_cell() -> ase.Atoms:
    """One atom in a skewed cell with edges near the smearing."""
    return ase.Atoms(
        "He",
        positions=[[0.3, 0.1, 0.2]],
        cell=[[1.6, 0, 0], [0.9, 1.5, 0], [-0.7, 0.4, 1.8]],
        pbc=True,
    )


def slab_with_vacuum() -> ase.Atoms:
    """Two layers of aluminium with an oxygen atom above, in a periodic box."""
    atoms = ase.build.fcc111("Al", (2, 2, 2), a=4.05, vacuum=5.0)
    ase.build.add_adsorbate(atoms, "O", 1.4, "fcc")
    atoms.rattle(0.05, seed=3)
    atoms.pbc = True
    return atoms


def wurtzite() -> ase.Atoms:
    """Hexagonal zinc sulphide."""
    atoms = ase.build.bulk("ZnS", "wurtzite", a=3.82, c=6.26)
    atoms.rattle(0.1, seed=4)
    return atoms


def skewed_chloride() -> ase.Atoms:
    """Two atoms in a cell with an angle of 20 degrees, both outside of that cell."""
    atoms = ase.build.bulk("CsCl", "cesiumchloride", 3.2)
    atoms.rattle(0.1, seed=5)
    shear = np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]])
    cell = atoms.cell[:]
    atoms.set_cell(shear @ cell)
    atoms.positions += np.array([[3, -2, 1], [-4, 0, 2]]) @ cell
    return atoms


def water_box() -> ase.Atoms:
    """96 atoms: molecules in random orientations on a jittered lattice, density near 1 g/cm^3."""
    rng = np.random.default_rng(6)
    edge, spots = 9.86, []
    for corner in np.ndindex(2, 2, 2):
        for offset in ((0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)):
            spots.append((np.array(corner) + offset) * edge / 2)
    box = ase.Atoms(cell=[edge] * 3, pbc=True)
    for spot in spots:
        molecule = water_molecule()
        molecule.euler_rotate(*rng.uniform(0, 360, 3), center="COM")
        molecule.translate(spot - molecule.get_center_of_mass() + rng.uniform(-0.2, 0.2, 3))
        box += molecule
    return box


DIVERSE = {
    "rock salt": rock_salt,
    "triclinic perovskite": triclinic_perovskite,
    "one-atom crystal": one_atom_crystal,
    "cell near the smearing": tiny_cell,
    "slab in a box": slab_with_vacuum,
    "wurtzite": wurtzite,
    "skewed, atoms outside": skewed_chloride,
    "molecule in a box": water_in_box,
    "water, 96 atoms": water_box,
}


def largest(equivariants: Equivariants) -> float:
    """The largest coefficient, the scale of relative errors."""
    return max(float(block.detach().abs().max()) for block in equivariants.blocks.values())


def relative_difference(left: Equivariants, right: Equivariants) -> float:
    """The largest difference in units of the largest coefficient of the second."""
    assert left.blocks.keys() == right.blocks.keys()
    worst = max(
        float((left.blocks[i] - right.blocks[i]).detach().abs().max()) for i in right.blocks
    )
    return worst / largest(right)


def stacked(equivariants: Equivariants) -> torch.Tensor:
    """All coefficients as one matrix [center, l m channel]."""
    irreps = sorted(equivariants.blocks)
    return torch.cat([equivariants.blocks[i].flatten(start_dim=1) for i in irreps], dim=1)


def block(equivariants: Equivariants, l: int) -> torch.Tensor:
    """The block of one angular momentum."""
    return equivariants.blocks[Irrep(l)]


def random_structures(
    species: tuple[int, ...], n: int, *, periodic: int = 0, seed: int = 0
) -> Structures:
    """Atoms at random places, at least 0.9 Å apart; sizes and orders of species differ."""
    generator = np.random.default_rng(seed)
    positions, numbers = [], []
    for k in range(n):
        size = 3 + k % 4
        while True:
            places = generator.uniform(0, 4, (size, 3))
            apart = np.linalg.norm(places[:, None] - places, axis=2) + 9 * np.eye(size)
            if apart.min() > 0.9:
                break
        positions.append(places)
        numbers.append(generator.choice(species, size))
    cell = 6 * np.eye(3) + 0.3 if periodic else np.zeros((3, 3))
    return Structures.from_arrays(positions, numbers, [cell] * n, [np.arange(3) < periodic] * n)
