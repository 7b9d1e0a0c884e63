"""Binding curves of three toys learned with three exponents: the figure and tables of choices.md.

python docs/choices_figure.py     # prints the tables, writes docs/figures/choices-*.png
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from ase import Atoms

import multilode as ml

mpl.use("Agg")
import matplotlib.pyplot as plt

FIGURES = Path(__file__).parent / "figures"
COULOMB = 14.399645  # eV Å
CHARGES = {"Na": 1.0, "Cl": -1.0, "F": -0.4, "H": 0.4}
NEAR, FAR = (4.0, 7.0), (7.0, 16.0)  # Å: of training, of the test
Toy = tuple[str, str, Callable[[Atoms], float]]


def electrostatics(atoms: Atoms) -> float:
    """Between the first atom and the others, of fixed charges; eV."""
    charges = [CHARGES[symbol] for symbol in atoms.symbols]
    r = atoms.get_distances(0, range(1, len(atoms)))
    return float(COULOMB * (charges[0] * np.array(charges[1:]) / r).sum())


def dispersion(atoms: Atoms) -> float:
    """-C / r^6 with C of about two argon atoms; eV."""
    return float(-40.0 * (atoms.get_distances(0, range(1, len(atoms))) ** -6.0).sum())


TOYS: list[Toy] = [
    ("charge and charge", "NaCl", electrostatics),
    ("charge and dipole", "NaFH", electrostatics),
    ("dispersion", "ArAr", dispersion),
]
EXPONENTS = ((1.0,), (3.0,), (6.0,), (1.0, 6.0))


def structure(toy: Toy, distance: float, cosine: float) -> Atoms:
    """One atom, and an atom or a diatomic molecule at a distance along z."""
    _, symbols, energy = toy
    n = len(Atoms(symbols))
    axis = np.array([np.sqrt(1 - cosine**2), 0, cosine])
    places = [np.zeros(3), np.array([0, 0, distance]), np.array([0, 0, distance]) + 0.92 * axis][:n]
    atoms = Atoms(symbols, places)
    atoms.info["binding"] = energy(atoms)
    atoms.arrays["part"] = np.array([0, 1, 1][:n])
    return atoms


def drawn(toy: Toy, span: tuple[float, float], n: int, seed: int) -> list[Atoms]:
    """Structures at random distances and orientations."""
    rng = np.random.default_rng(seed)
    return [
        structure(toy, r, c)
        for r, c in zip(rng.uniform(*span, n), rng.uniform(-1, 1, n), strict=True)
    ]


def recipe(
    exponents: tuple[float, ...],
    smearing: float = 0.5,
    cutoff: float = 3.0,
    degree: int = 2,
    n_radial: int = 2,
) -> ml.FeatureRecipe:
    """Products of a density within a cutoff and potentials."""
    fields = {
        f"V{p:g}": ml.FieldExpansion(
            ml.SmearedPotential(smearing, p), ml.Monomials(n_radial, 2.0), max_angular=degree
        )
        for p in exponents
    }
    fields["rho"] = ml.FieldExpansion(
        ml.GaussianDensity(0.4), ml.GaussianTypeOrbitals(3, cutoff), degree, neighbor_cutoff=cutoff
    )
    products = " + ".join(f"rho*V{p:g}" for p in exponents)
    return ml.features(products, channels=None, **fields)


def percent(model: ml.Predictor, test: list[Atoms]) -> float:
    """RMSE in percent of the standard deviation of a test set."""
    exact = torch.tensor([atoms.info["binding"] for atoms in test], dtype=torch.float64)
    wrong = model.predict(test).values.reshape(-1) - exact
    return 100 * float(wrong.square().mean().sqrt() / exact.std(correction=0))


def trained(toy: Toy, features: ml.FeatureRecipe | ml.Representation) -> ml.Predictor:
    """A linear model of forty structures."""
    target = ml.Target(key="binding", unit="eV", fragments="part")
    return ml.train(features, drawn(toy, NEAR, 40, seed=0), target, estimator=ml.Ridge())


def scan(toy: Toy, name: str, values: Sequence[float]) -> None:
    """One setting, others as above; features on the second atom alone, so that it needs them."""
    test, (p, center) = drawn(toy, FAR, 40, seed=1), {"NaFH": (1.0, 9), "ArAr": (6.0, 18)}[toy[1]]
    for value in values:
        settings: dict[str, Any] = {name: value}
        features = recipe((p,), **settings)
        species = sorted({int(z) for z in Atoms(toy[1]).numbers})
        found = percent(
            trained(toy, replace(features.for_species(species), centers=(center,))), test
        )
        print(f"{toy[0]}, {name} {value}: {found:.2f} %", flush=True)


def draw(models: dict[tuple[str, tuple[float, ...]], ml.Predictor]) -> None:
    """One panel for each toy: the reference, and what each exponent makes of it."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    places = np.linspace(NEAR[0], FAR[1], 60)
    for axis, toy in zip(axes, TOYS, strict=True):
        curve = [structure(toy, r, 1.0) for r in places]
        exact = np.array([atoms.info["binding"] for atoms in curve])
        axis.axvspan(*NEAR, color="0.93")
        axis.plot(places, exact, "k.", label="reference")
        for p, style in zip(EXPONENTS[:3], ("-", "--", ":"), strict=True):
            values = models[toy[0], p].predict(curve).values.reshape(-1)
            axis.plot(places, values, style, label=f"p = {p[0]:g}")
        axis.set(title=toy[0], xlabel="distance (Å)", ylim=(exact.min() * 1.05, None))
    axes[0].set_ylabel("binding energy (eV)")
    axes[0].legend()
    figure.savefig(FIGURES / "choices-exponents.png", dpi=130)


def main() -> None:
    """Tables on the screen, the figure in its file."""
    torch.set_num_threads(1)
    models = {}
    for toy in TOYS:
        test = drawn(toy, FAR, 40, seed=1)
        for p in EXPONENTS:
            models[toy[0], p] = trained(toy, recipe(p))
            print(f"{toy[0]}, p = {p}: {percent(models[toy[0], p], test):.2f} %", flush=True)
    draw(models)
    scan(TOYS[1], "smearing", (0.5, 1.0, 2.0, 3.0))
    scan(TOYS[1], "cutoff", (0.7, 1.5, 3.0, 4.5))
    scan(TOYS[1], "degree", (0, 1, 2))
    scan(TOYS[2], "n_radial", (1, 2, 3))


if __name__ == "__main__":
    main()
