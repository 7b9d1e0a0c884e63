"""A field of one's own, exp(-r / b), trained on slabs from a configuration; some seconds."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.calculators.morse import MorsePotential
from ase.io import write

import multilode as ml
from multilode import fields
from multilode.cli.main import run
from multilode.testing import check_field


@dataclass(frozen=True)
class Slater(fields.AbstractField):
    """exp(-r / b) = int dln t exp(-1 / 4 t b^2 - t r^2) / sqrt(4 pi t b^2), smooth at the atom."""

    smearing: float
    length: float
    ranges = {  # what they may be, and steps of tables
        "smearing": fields.ParameterRange(0.01, 100.0, 0.05),
        "length": fields.ParameterRange(0.1, 50.0, 0.05),
    }
    tail = None  # no power law,
    widest = math.inf  # but Gaussians of any width

    def __post_init__(self) -> None:
        fields.check_parameters(self)

    def measure(self, lowest: float, highest: float) -> fields.Mixture:
        rate = 0.25 / torch.as_tensor(self.length, dtype=torch.float64) ** 2
        lowest = fields.higher(lowest, rate / 60)  # below, exp(-60) is left
        highest = fields.lower(highest, fields.rate_of(self.smearing))
        weight = lambda t: torch.sqrt(rate / (math.pi * t)) * torch.exp(-rate / t)
        return fields.log_quadrature(weight, lowest, highest)


def slab(seed: int) -> Atoms:
    """Two shaken layers of copper, with energy and forces of a Morse potential."""
    grid = np.stack(np.meshgrid([0, 2.6], [0, 2.6], [0, 2.4]), axis=-1).reshape(-1, 3)
    shaken = grid + np.random.default_rng(seed).normal(scale=0.12, size=(8, 3))
    atoms = Atoms("Cu8", shaken, pbc=(True, True, False), cell=(5.2, 5.2, 0))
    atoms.calc = MorsePotential(epsilon=0.3, r0=2.7, rho0=3.0, rcut1=5.0, rcut2=6.0)
    atoms.get_forces()
    return atoms


fields.FIELDS["slater"] = Slater
check_field(Slater(0.4, 1.5))
write("slabs.xyz", [slab(seed) for seed in range(24)])
run(["train", "slab.yaml", "-o", "run", "--overwrite"])  # as the command line does
model, atoms, along = ml.load("run/model.safetensors"), slab(99), np.eye(8, 3)
shifted = [Atoms(atoms, positions=atoms.positions + h * along) for h in (-1e-3, 1e-3)]
slope = -float(model.predict(shifted).values.diff()) / 2e-3
force = (model.predict(atoms, forces=True).numpy()["forces"] * along).sum()
print(f"force along a direction: {force:.8f}, from differences of energies: {slope:.8f} eV/Å")
