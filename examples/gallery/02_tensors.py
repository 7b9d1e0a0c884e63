r"""
Vectors and tensors
===================

Dipoles of water with charges that depend on the bonds. A target with ``tensor="vector"`` rotates
with the structure exactly, so that nothing has to be learned about orientations.
"""

import matplotlib.pyplot as plt
import numpy as np
from ase.build import molecule
from scipy.spatial.transform import Rotation

import multilode as ml


def water(seed):
    """Shaken and turned, with its dipole in e Å."""
    rng = np.random.default_rng(seed)
    atoms = molecule("H2O")
    atoms.positions += rng.normal(scale=0.06, size=(3, 3))
    atoms.positions = atoms.positions @ Rotation.random(random_state=seed).as_matrix()
    arms = atoms.positions[1:] - atoms.positions[0]
    charges = 0.33 + 0.4 * (np.linalg.norm(arms, axis=1) - 0.96)
    atoms.info["dipole"] = (charges[:, None] * arms).sum(axis=0)
    return atoms


train, test = [water(seed) for seed in range(60)], [water(seed) for seed in range(100, 140)]
target = ml.Target(key="dipole", unit="e Å", tensor="vector")
model = ml.train(ml.features("rho*rho", cutoff=3.0), train, target)
print(ml.evaluate(model, test))

# %%
# Predictions turn with the atoms.

atoms = test[0].copy()
before = model.predict(atoms).numpy()["values"][0]
turn = Rotation.from_euler("z", 30, degrees=True).as_matrix()
atoms.positions = atoms.positions @ turn.T
after = model.predict(atoms).numpy()["values"][0]
print(
    "rotated prediction less prediction of the rotated molecule:", abs(turn @ before - after).max()
)

# %%
# Every component of forty molecules that the model has not seen:

exact = np.array([atoms.info["dipole"] for atoms in test])
found = model.predict(test).numpy()["values"]
figure, axis = plt.subplots(figsize=(4.5, 4), layout="constrained")
axis.plot(exact.ravel(), found.ravel(), ".")
axis.set(xlabel="dipole of the reference (e Å)", ylabel="predicted")
plt.show()
