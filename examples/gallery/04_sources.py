r"""
Sources: charges that elements do not tell
==========================================

Boxes of water with H3O and OH. Oxygen is oxygen for a potential that is made by elements,
whatever molecule it is in. Sources that are fitted with the model find strengths from the
surroundings of each atom, and keep the known charge of each molecule. A short form of
``examples/water_ions``, with fewer boxes.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import multilode as ml

sys.path.insert(0, "../water_ions")
from make_data import boxes

train, test = boxes(40, seed=0), boxes(20, seed=1)
exact = np.array([atoms.info["interaction_energy"] for atoms in test])
rho = ml.FieldExpansion(
    ml.GaussianDensity(0.4), ml.GaussianTypeOrbitals(3, 3.0), 1, neighbor_cutoff=3.0
)
potential = ml.FieldExpansion(ml.SmearedPotential(1.0, 1.0), ml.GaussianTypeOrbitals(2, 3.0), 1)
known = {"totals": "molecule_charge", "parts": "molecule"}
cases = {
    "elements": {},
    "fitted, charges known": {"V": ml.Fitted(channels=1, components=2, cutoff=3.0, **known)},
}

# %%
# The target is the energy of a box less those of its molecules, ``fragments``.

target = ml.Target(key="interaction_energy", unit="eV", fragments="molecule")
figure, axis = plt.subplots(figsize=(4.5, 4), layout="constrained")
for name, sources in cases.items():
    recipe = ml.features("rho*V", rho=rho, V=potential, channels=None, sources=sources)
    model = ml.train(recipe, train, target, estimator=ml.Ridge())
    values = model.predict(test).numpy()["values"].reshape(-1)
    error = 100 * np.sqrt(((values - exact) ** 2).mean()) / exact.std()
    print(f"{name}: {error:.1f} % of the standard deviation")
    axis.plot(exact, values, ".", label=name)
axis.set(xlabel="interaction energy (eV)", ylabel="predicted")
axis.legend()
plt.show()
