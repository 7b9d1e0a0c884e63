r"""
Error bars from a committee
===========================

Members see parts of the training set; their spread, calibrated on what they left out, is the
error bar. Methanol with energies of effective medium theory, shaken more in the test than in the
training.
"""

import matplotlib.pyplot as plt
import numpy as np
from ase.build import molecule
from ase.calculators.emt import EMT

import multilode as ml


def methanol(seed, shake):
    """A shaken molecule with its energy."""
    atoms = molecule("CH3OH", calculator=EMT())
    atoms.rattle(shake, seed=seed)
    atoms.get_forces()
    return atoms


train = [methanol(seed, 0.05) for seed in range(60)]
test = [methanol(100 + seed, shake) for seed, shake in enumerate(np.linspace(0.02, 0.15, 40))]
committee = ml.Committee(estimator=ml.Ridge(), n_members=8)
model = ml.train(ml.features("rho*rho", cutoff=3.0), train, "energy", estimator=committee)
found = model.predict(test, std=True).numpy()
wrong = abs(found["values"].reshape(-1) - [atoms.get_potential_energy() for atoms in test])
bars = found["std"].reshape(-1)
for width in (1, 2):
    print(f"within {width} times the bar: {100 * (wrong < width * bars).mean():.0f} %")

# %%
# Bars grow where the test leaves the training set, but they are calibrated within it: for molecules
# that are shaken three times as much as any that was learned, they are too small.

figure, axis = plt.subplots(figsize=(4.5, 4), layout="constrained")
axis.loglog(bars, wrong, ".")
axis.plot([bars.min(), bars.max()], [bars.min(), bars.max()], "k-", lw=1)
axis.set(xlabel="error bar (eV)", ylabel="error (eV)")
plt.show()
