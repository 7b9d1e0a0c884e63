"""What sources add where elements do not tell ions from molecules: python make_data.py first."""

import torch

import multilode as ml

FIELDS = {
    "rho": ml.FieldExpansion(
        ml.GaussianDensity(0.4), ml.GaussianTypeOrbitals(4, 3.0), 2, neighbor_cutoff=3.0
    ),
    "V": ml.FieldExpansion(ml.SmearedPotential(1.0, 1.0), ml.GaussianTypeOrbitals(2, 3.0), 2),
}
TARGET = ml.Target(key="interaction_energy", unit="eV", fragments="molecule")
FREE = ml.Fitted(channels=1, components=2, cutoff=3.0)
KNOWN = ml.Fitted(channels=1, components=2, cutoff=3.0, totals="molecule_charge", parts="molecule")
RESPONDING = ml.Fitted(
    channels=1,
    components=4,
    cutoff=3.0,
    responding=True,
    totals="molecule_charge",
    parts="molecule",
)
MODELS = {
    "local": ("rho*rho", None),
    "elements": ("rho*V", None),
    "given charges of molecules": ("rho*V", ml.Given(keys=("molecule_charge",))),
    "fitted": ("rho*V", FREE),
    "fitted, charges of molecules known": ("rho*V", KNOWN),
    "the same, responding": ("rho*V", RESPONDING),
}


def main() -> None:
    """Errors of boxes that no model has seen, in percent of their standard deviation."""
    torch.set_num_threads(1)
    train_set, test_set = ml.read("train.xyz"), ml.read("test.xyz")
    y = torch.from_numpy(test_set.column("interaction_energy"))
    for name, (products, sources) in MODELS.items():
        fields = {key: FIELDS[key] for key in FIELDS if key in products}
        told = {} if sources is None else {"V": sources}
        recipe = ml.features(products, **fields, channels=None, sources=told)
        model = ml.train(recipe, train_set, TARGET, estimator=ml.Ridge())
        wrong = model.predict(test_set).values - y
        print(f"{name}: {100 * float(wrong.square().mean().sqrt() / y.std()):.1f} %")


if __name__ == "__main__":
    main()
