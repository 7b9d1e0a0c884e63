"""Energies and forces learned from objects of ASE, far beyond the cutoff; a few seconds.

The reference is exact and long-ranged: point charges with a Lennard-Jones repulsion.
"""

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import multilode as ml

CHARGES = {"Na": 1.0, "Cl": -1.0}


def labelled(atoms: Atoms) -> Atoms:
    """With sum q q' / r + 4 e ((s / r)^12 - (s / r)^6) over pairs, in eV and eV/Å."""
    i, j = np.triu_indices(len(atoms), 1)
    vectors = atoms.positions[j] - atoms.positions[i]
    r = np.linalg.norm(vectors, axis=1)
    charges = np.array([CHARGES[symbol] for symbol in atoms.symbols])
    coulomb, sixth = 14.399645 * charges[i] * charges[j] / r, (2.0 / r) ** 6
    energy = coulomb + 0.2 * (sixth**2 - sixth)
    slope = (-coulomb - 0.2 * (12 * sixth**2 - 6 * sixth)) / r
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, (slope / r)[:, None] * vectors)
    np.add.at(forces, j, -(slope / r)[:, None] * vectors)
    atoms.calc = SinglePointCalculator(atoms, energy=energy.sum(), forces=forces)
    return atoms


def dimers(n: int, seed: int) -> list[Atoms]:
    """Two NaCl molecules, 3.5 to 8 Å apart."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0, 0, 0], [2.7, 0, 0], [0, 0, 1], [2.7, 0, 1]])
    places = [corners * (1, 1, apart) for apart in rng.uniform(3.5, 8.0, n)]
    return [labelled(Atoms("NaClClNa", x + rng.normal(scale=0.15, size=(4, 3)))) for x in places]


train, test = ml.from_ase(dimers(30, seed=1)), dimers(20, seed=2)
print(train)
for products in ("rho*rho", "rho*rho + rho*V"):
    features = ml.features(products, cutoff=4.0)
    model = ml.train(features, train, "energy", forces="forces")
    errors = ml.evaluate(model, test, forces="forces")
    print(f"{products}: RMSE {errors.rows[0].rmse:.2g} eV, {errors.forces.rmse:.2g} eV/Å")
print(model.predict(test[0], forces=True).numpy()["forces"])

sizes = [8, 15, 30]
curve = ml.learning_curve(features, train, test, "energy", sizes=sizes, forces="forces")
print("RMSE of energies in percent:", dict(zip(sizes, curve.mean_percent.tolist(), strict=True)))

ml.save(model, "model.safetensors")
atoms = dimers(1, seed=3)[0]
exact = atoms.get_forces()
atoms.calc = ml.PredictorCalculator("model.safetensors")
print("largest error of a force of ASE's calculator:", abs(atoms.get_forces() - exact).max())
