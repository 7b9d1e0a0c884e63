"""Liquids, the structures that their models learn from, and these models.

Structures come from Langevin dynamics of the classical models of `classical.py` at one and
2.5 times the temperature, in boxes from 0.95 to 1.05 of the side, and isolated groups at short
distances, so that no repulsion is missing. Everything is seeded.
"""

from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.constraints import FixAtoms
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from classical import Classical

import multilode as ml

KELVIN = {"salt": 1200.0, "layer": 1200.0, "water": 300.0}
SIDE = {"salt": 12.75, "layer": 12.0, "water": 9.32}  # Å
STEP = {"salt": 2.0, "layer": 2.0, "water": 1.0}  # fs
WALL = 9  # ions of the layer that do not move
SCALES = (1.0, 0.95, 1.05)
HEAT = (1.0, 2.5)
BOXES = 12  # of each side and temperature


def salt(side: float = SIDE["salt"]) -> Atoms:
    """64 ions, in turns on a grid."""
    grid = np.array(list(np.ndindex(4, 4, 4)))
    numbers = np.where(grid.sum(axis=1) % 2, 17, 11)
    return Atoms(numbers, grid * side / 4, cell=[side] * 3, pbc=True)


def layer(side: float = SIDE["layer"]) -> Atoms:
    """A wall of nine sodium ions at z = 0, which stay, and 33 ions above that make it neutral."""
    wall = [[side * i / 3, side * j / 3, 0.0] for i, j in np.ndindex(3, 3)]
    sites = [
        [side * (i + 0.5) / 4, side * (j + 0.5) / 4, 2.4 + 2.6 * k]
        for k in range(3)
        for i, j in np.ndindex(4, 4)
    ][:33]
    first = [17] * 16
    rest = [11] * 12 + [17] * 5
    atoms = Atoms([11] * WALL + first + rest, [*wall, *sites], pbc=(True, True, False))
    atoms.set_cell([side, side, 60.0])
    atoms.positions[:, 2] += 20.0
    atoms.set_constraint(FixAtoms(range(WALL)))
    return atoms


def water(side: float = SIDE["water"], times: int = 3) -> Atoms:
    """Molecules on a grid, each turned at random."""
    generator = np.random.default_rng(0)
    atoms = Atoms(cell=[side] * 3, pbc=True)
    for corner in np.ndindex(times, times, times):
        one = molecule("H2O")
        one.rotate(generator.uniform(0, 360), generator.normal(size=3), center="COM")
        one.translate(side / times * np.array(corner) - one.get_center_of_mass())
        atoms += one
    return atoms


MAKERS = {"salt": salt, "layer": layer, "water": water}


def heated(atoms: Atoms, kind: str, kelvin: float, femtoseconds: float, seed: int) -> Langevin:
    """Dynamics of the classical model, some time after a start at random velocities."""
    generator = np.random.default_rng(seed)
    atoms.calc = Classical()
    MaxwellBoltzmannDistribution(atoms, temperature_K=kelvin, rng=generator)
    step = 0.5 if kind == "water" else 1.0  # fs; hot atoms are fast
    moving = Langevin(
        atoms, step * units.fs, temperature_K=kelvin, friction=0.02 / units.fs, rng=generator
    )
    moving.run(round(femtoseconds / step))
    return moving


def labelled(atoms: Atoms) -> Atoms:
    """A copy with the values of the classical model."""
    image = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    image.calc = Classical()
    image.info["total_energy"] = image.get_potential_energy()
    image.arrays["reference"] = image.get_forces()
    image.calc = None
    return image


def boxes(kind: str) -> list[Atoms]:
    """Of all sides and temperatures, 40 fs apart."""
    found = []
    for k, scale in enumerate(SCALES):
        for heat in HEAT:
            atoms = MAKERS[kind](SIDE[kind] * scale)
            moving = heated(atoms, kind, heat * KELVIN[kind], 300.0, seed=k)
            for _ in range(BOXES):
                moving.run(round(40 * units.fs / moving.dt))
                found.append(labelled(atoms))
    return found


def groups(kind: str) -> list[Atoms]:
    """Two ions, or two molecules, alone; also nearer than in the liquid."""
    generator, found = np.random.default_rng(5), []
    for k in range(150):
        if kind == "water":
            atoms = molecule("H2O")
            other = molecule("H2O")
            for one in (atoms, other):
                one.rattle(0.1, rng=generator)
                one.rotate(generator.uniform(0, 360), generator.normal(size=3), center="COM")
            way = generator.normal(size=3)
            other.translate(generator.uniform(2.3, 6.0) * way / np.linalg.norm(way))
            atoms += other
        else:
            pair = ((11, 17), (11, 11), (17, 17))[k % 3]
            shortest = (1.7, 2.0, 2.4)[k % 3]
            atoms = Atoms(pair, [[0, 0, 0], [0, 0, generator.uniform(shortest, 7.0)]])
        one = labelled(atoms)
        if np.abs(one.arrays["reference"]).max() < 20:  # eV/Å
            found.append(one)
    return found


def learned_from(kind: str, folder: Path) -> list[Atoms]:
    """All structures of a model, made once."""
    path = folder / f"{kind}.xyz"
    if not path.exists():
        parts = ("water",) if kind == "water" else ("salt", "layer")
        images = [image for part in parts for image in boxes(part)] + groups(kind)
        ase.io.write(folder / "new.xyz", images, format="extxyz")
        (folder / "new.xyz").replace(path)
    images = ase.io.read(path, index=":")
    assert isinstance(images, list)
    return images


def recipe(kind: str) -> ml.FeatureRecipe:
    """A pair density, the potential of all atoms, and what both make of a small neighborhood."""
    pair = ml.FieldExpansion(
        ml.GaussianDensity(0.3), ml.GaussianTypeOrbitals(10, 5.0), 0, neighbor_cutoff=5.0
    )
    near = ml.FieldExpansion(
        ml.GaussianDensity(0.3), ml.GaussianTypeOrbitals(5, 3.0), 1, neighbor_cutoff=3.0
    )
    far = ml.FieldExpansion(ml.SmearedPotential(1.0, 1.0), ml.GaussianTypeOrbitals(2, 2.5), 1)
    if kind == "water":
        fields = {"pair": pair, "rho": near, "V": far}
        return ml.FeatureRecipe(
            fields=fields, products=(("pair",), ("V",), ("rho", "rho"), ("rho", "V"))
        )
    return ml.FeatureRecipe(fields={"pair": pair, "V": far}, products=(("pair",), ("V",)))


def trained(kind: str, folder: Path) -> ml.Predictor:
    """A linear model of energies and forces."""
    images = learned_from(kind, folder)
    values = np.concatenate([image.arrays["reference"] for image in images])
    return ml.train(
        recipe(kind),
        images,
        ml.Target(key="total_energy", unit="eV"),
        forces=ml.Forces(values=values, directions=40),
        estimator=ml.Ridge(regularization=1e-8),
    )
