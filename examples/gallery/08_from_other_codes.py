r"""
From featomic, TENSOAP, LES and MACE
====================================

What you have there, and what it is here: hyper-parameters of featomic give the same numbers,
models of TENSOAP are three words, latent charges of LES are sources, and MACE or any other
potential is a baseline. All words side by side: :doc:`/migration`.
"""

import featomic
import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

import multilode as ml
from multilode.engines.featomic_hypers import from_featomic
from multilode.engines.tensor_maps import to_metatensor

# %%
# **featomic.** The parameters of a calculator are a field here. Blocks have its names and numbers.

basis = featomic.basis.TensorProduct(
    max_angular=2, radial=featomic.basis.Gto(max_radial=3, radius=3.0)
)
theirs = featomic.LodeSphericalExpansion(
    density=featomic.density.SmearedPowerLaw(smearing=1.0, exponent=1), basis=basis, k_cutoff=9.0
)
crystal = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
crystal.rattle(0.1, seed=0)
field = from_featomic(theirs.parameters)
(ours,) = to_metatensor(
    ml.features("V", V=field, tolerance=1e-10).for_structures([crystal]).coefficients([crystal]),
    [crystal],
)
blocks = theirs.compute(crystal)
largest = max(np.abs(block.values).max() for block in blocks.blocks())
differences = []
for key, block in blocks.items():
    same = ours.block({name: int(key[name]) for name in blocks.keys.names})
    rows = same.samples.select(block.samples)
    differences.append(np.abs(same.values[rows] - block.values).max() / largest)
print(f"{len(differences)} blocks; largest relative difference {max(differences):.0e}")

# %%
# **TENSOAP.** ``-ele -n 4 -l 2 -sg 0.4 -rc 3 -lm 1`` with a kernel: products of density and
# potential, and a tensor as the target.


def water(seed):
    """Shaken, with the dipole of fixed charges in e Å."""
    atoms = molecule("H2O")
    atoms.rattle(0.06, seed=seed)
    atoms.info["dipole"] = np.array([-0.66, 0.33, 0.33]) @ atoms.positions
    return atoms


radial = ml.GaussianTypeOrbitals(4, 3.0)
recipe = ml.features(
    "rho*V",
    rho=ml.FieldExpansion(ml.GaussianDensity(0.4), radial, 2, neighbor_cutoff=3.0),
    V=ml.FieldExpansion(ml.SmearedPotential(0.4, 1.0), radial, 2),
)
dipole = ml.Target(key="dipole", unit="e Å", tensor="vector")
waters = [water(seed) for seed in range(60)]
model = ml.train(recipe, waters[:40], dipole, estimator=ml.KernelRidge())
print(ml.evaluate(model, waters[40:]))

# %%
# **LES.** Charges that are learned from energies alone are fitted sources of a potential; with
# ``totals`` molecules keep the charge they have. In networks they are there by default.


def salt(seed):
    """A pair of ions and a neutral atom, with the energy of charges and a short-ranged part."""
    rng = np.random.default_rng(seed)
    places = np.array([[0, 0, 0], [2.6, 0, 0], [0, 0, rng.uniform(4, 9)]])
    atoms = Atoms("NaClNa", places + rng.normal(scale=0.1, size=(3, 3)))
    r = atoms.get_all_distances()[np.triu_indices(3, 1)]
    atoms.info["short"] = 0.2 * ((2.5 / r) ** 12).sum()
    atoms.info["energy"] = atoms.info["short"] + 14.399645 * (np.array([-1, 1, -1]) / r).sum()
    return atoms


ions, energy = [salt(seed) for seed in range(80)], ml.Target(key="energy", unit="eV")
latent = ml.features("rho*rho + rho*V", cutoff=3.5, sources={"V": ml.Fitted()})
print(ml.evaluate(ml.train(latent, ions[:60], energy, estimator=ml.Ridge()), ions[60:]))

# %%
# **MACE**, or whatever else predicts energies and forces: its numbers are the baseline, as columns
# of the data or as ``ml.CalculatorBaseline(calculator)``, and the model learns what is left. Here
# the short-ranged energy stands for it; what is left is electrostatics.

rest = ml.features("rho*V", cutoff=3.5)
corrected = ml.train(
    rest, ions[:60], energy, estimator=ml.Ridge(), baseline=ml.ColumnBaseline(column="short")
)
print(ml.evaluate(corrected, ions[60:]))
