r"""
Energies and forces beyond the cutoff
=====================================

Two molecules of NaCl, 3.5 to 8 Å apart, with energies and forces of point charges and a
repulsion. Features within 4 Å do not see what happens beyond; one potential does.
"""

import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import multilode as ml

CHARGES = {"Na": 1.0, "Cl": -1.0}


def labelled(atoms):
    """With sum q q' / r + 4 e ((s / r)^12 - (s / r)^6) over pairs, in eV and eV/Å."""
    i, j = np.triu_indices(len(atoms), 1)
    vectors = atoms.positions[j] - atoms.positions[i]
    r = np.linalg.norm(vectors, axis=1)
    charges = np.array([CHARGES[symbol] for symbol in atoms.symbols])
    coulomb, sixth = 14.399645 * charges[i] * charges[j] / r, (2.0 / r) ** 6
    slope = (-coulomb - 0.2 * (12 * sixth**2 - 6 * sixth)) / r
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, (slope / r)[:, None] * vectors)
    np.add.at(forces, j, -(slope / r)[:, None] * vectors)
    energy = (coulomb + 0.2 * (sixth**2 - sixth)).sum()
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return atoms


def dimers(n, seed):
    """Two NaCl molecules, a little shaken."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0, 0, 0], [2.7, 0, 0], [0, 0, 1], [2.7, 0, 1]])
    places = [corners * (1, 1, apart) for apart in rng.uniform(3.5, 8.0, n)]
    return [labelled(Atoms("NaClClNa", x + rng.normal(scale=0.15, size=(4, 3)))) for x in places]


# %%
# Objects of ASE are data as they are. Keys say what is learned.

train, test = dimers(30, seed=1), dimers(20, seed=2)
exact = np.concatenate([atoms.get_forces() for atoms in test])
figure, axis = plt.subplots(figsize=(4.5, 4), layout="constrained")
for products in ("rho*rho", "rho*rho + rho*V"):
    model = ml.train(ml.features(products, cutoff=4.0), train, "energy", forces="forces")
    print(f"{products}\n{ml.evaluate(model, test, forces='forces')}\n")
    forces = model.predict(test, forces=True).numpy()["forces"]
    axis.plot(exact.ravel(), forces.ravel(), "." if "V" in products else "x", ms=4)
axis.set(xlabel="forces of the reference (eV/Å)", ylabel="predicted (crosses: local)")
plt.show()

# %%
# The model is a calculator of ASE, here for some steps of dynamics.

from ase import units
from ase.md.verlet import VelocityVerlet

atoms = dimers(1, seed=3)[0]
atoms.calc = ml.PredictorCalculator(model)
dynamics = VelocityVerlet(atoms, timestep=0.5 * units.fs)
before = atoms.get_total_energy()
dynamics.run(20)
print(
    f"change of the total energy in 20 steps: {1000 * (atoms.get_total_energy() - before):.3f} meV"
)
