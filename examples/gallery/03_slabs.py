r"""
Layers without a box
====================

A layer is periodic along two axes and infinite vacuum is above it. The length of the third vector
means nothing, it may be zero. Shaken layers of copper with energies and forces of a Morse
potential.
"""

import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from ase.calculators.morse import MorsePotential

import multilode as ml


def layer(seed):
    """Two shaken layers of copper."""
    grid = np.stack(np.meshgrid([0, 2.6], [0, 2.6], [0, 2.4]), axis=-1).reshape(-1, 3)
    shaken = grid + np.random.default_rng(seed).normal(scale=0.1, size=(8, 3))
    atoms = Atoms("Cu8", shaken, pbc=(True, True, False), cell=(5.2, 5.2, 0))
    atoms.calc = MorsePotential(epsilon=0.3, r0=2.7, rho0=3.0, rcut1=5.0, rcut2=6.0)
    atoms.get_forces()
    return atoms


train, test = [layer(seed) for seed in range(20)], [layer(seed) for seed in range(50, 60)]
small = ml.GaussianTypeOrbitals(4, 3.5)
features = ml.features(
    "rho + rho*rho + rho*V",
    rho=ml.FieldExpansion(ml.GaussianDensity(0.4), small, 3, neighbor_cutoff=5.0),
    V=ml.FieldExpansion(ml.SmearedPotential(1.0, 1.0), small, 3),
)
model = ml.train(features, train, "energy", forces="forces")
print(ml.evaluate(model, test, forces="forces"))

# %%
# The same layer in cells of other heights has the same energy.

atoms = test[0].copy()
for height in (0.0, 20.0, 100.0):
    atoms.cell[2] = (0, 0, height)
    print(f"{height:5.0f} Å: {model.predict(atoms).numpy()['values'].item():.10f} eV")

# %%
# And forces of the whole test set:

exact = np.concatenate([atoms.get_forces() for atoms in test])
figure, axis = plt.subplots(figsize=(4.5, 4), layout="constrained")
axis.plot(exact.ravel(), model.predict(test, forces=True).numpy()["forces"].ravel(), ".")
axis.set(xlabel="forces of the reference (eV/Å)", ylabel="predicted")
plt.show()
