"""Water and carbon dioxide by three models of the tour, one of them blind: the first figure.

python docs/tour_figure.py        # writes docs/figures/tour-lesson.png
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np

import multilode as ml
from multilode.datasets import load

mpl.use("Agg")
import matplotlib.pyplot as plt

PAGE = Path(__file__).parent / "figures" / "tour-lesson.png"
KEY, ORIENTATION = "interaction_energy", 3
RHO = ml.FieldExpansion(
    ml.GaussianDensity(0.3), ml.GaussianTypeOrbitals(4, 3.0), 2, neighbor_cutoff=3.0
)
FIELDS = {
    f"V{p}": ml.FieldExpansion(ml.SmearedPotential(0.5, p), ml.Monomials(1, 2.0), 2) for p in (1, 6)
}
MODELS = {
    "within 3 Å": ("rho*rho", "C3:"),
    "and a potential 1 / r": ("rho*V1", "C0--"),
    "and another, 1 / r^6": ("rho*V1 + rho*V6", "C1-"),
}


def main() -> None:
    """Trains three models, and draws one orientation at all distances."""
    train, far = load("water-co2", "train"), load("water-co2", "extrapolation")
    held = ml.concatenate([train, load("water-co2", "dissociated")])
    figure, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
    axis.axvspan(6.5, 9.0, color="0.93", label="training")
    curve = ml.concatenate([train, far])
    chosen = np.flatnonzero(curve.column("orientation_id") == ORIENTATION)
    order = chosen[np.argsort(curve.column("distance")[chosen])]
    curve = curve.select(order)
    r, exact = curve.column("distance"), 1000 * curve.column(KEY)
    axis.plot(r, exact, "k.", label="MP2")
    for name, (products, style) in MODELS.items():
        fields = {key: value for key, value in FIELDS.items() if key in products}
        recipe = ml.features(products, rho=RHO, channels=None, **fields)
        target = ml.Target(key=KEY, unit="eV")
        model = ml.train(recipe, held, target, baseline=ml.NoBaseline())
        axis.plot(r, 1000 * model.predict(curve).values.reshape(-1), style, label=name)
    axis.set(xlabel="distance of water and carbon dioxide (Å)", ylabel="energy (meV)")
    axis.legend()
    figure.savefig(PAGE, dpi=130)


if __name__ == "__main__":
    main()
