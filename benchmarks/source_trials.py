"""Errors of models with sources on curves of dimers that were left out, whole fits for every fold.

    python benchmarks/source_trials.py CP 60        # class, training curves
    python benchmarks/source_trials.py CP 77 --random    # all of the random set, with pair terms

Five folds by dimer, of the training curves only: the sources are fitted anew for each. Test curves
are not looked at. Written to the terminal: RMSE in % of the standard deviation, and that of each
fold.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

import multilode as ml
from multilode.datasets import load
from multilode.prediction import NoBaseline
from multilode_papers.systems.dimer_sources import with_charges
from multilode_papers.systems.dimers import SOURCES as RANDOM
from multilode_papers.systems.dimers import first_curves, in_first_monomer, of_classes
from multilode_papers.systems.relaxed_dimers import SOURCES

FOLDS, SEED, CUTOFF, PAIRS = 5, 0, 3.0, 6.0
FREE = ml.Fitted(channels=1, components=2)
KNOWN = replace(FREE, totals="molecule_charge", parts="monomer")
RESPONDING = replace(KNOWN, responding=True)
MODELS = {
    "rho x V": ("rho*V", None),
    "and V x V": ("rho*V + V*V", None),
    "Q alone, by element": ("rho*Q + Q*Q", replace(FREE, components=0)),
    "and rho x Q + Q x Q": ("rho*V + rho*Q + Q*Q", FREE),
    "the same, charges known": ("rho*V + rho*Q + Q*Q", KNOWN),
    "and rho x Q, charges known": ("rho*V + rho*Q", KNOWN),
    "the same, four components": ("rho*V + rho*Q", replace(KNOWN, components=4)),
    "and rho x Q, charges known, responding": ("rho*V + rho*Q", RESPONDING),
    "pairs, rho x V": ("P + rho*V", None),
    "pairs, rho x Q + Q x Q, charges known": ("P + rho*Q + Q*Q", KNOWN),
    "the same, one component": ("P + rho*Q + Q*Q", replace(KNOWN, components=1)),
    "the same, three components": ("P + rho*Q + Q*Q", replace(KNOWN, components=3)),
    "pairs, rho x V + rho x Q + Q x Q, charges known": ("P + rho*V + rho*Q + Q*Q", KNOWN),
    "pairs, rho x Q + Q x Q, responding": ("P + rho*Q + Q*Q", RESPONDING),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("label", help="class of dimers, such as CP")
    parser.add_argument("curves", type=int, help="number of training curves")
    parser.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--random", action="store_true", help="dimers at random orientations")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source = SOURCES[0] if arguments.label.startswith("C") else SOURCES[1]
    if arguments.random:
        source = RANDOM["dimers"]
    dataset = of_classes(load(source.name), arguments.label)
    training = dataset if arguments.random else source.split(dataset, SEED)[0]
    if arguments.random:
        training = with_monomers(training)
    curves = with_charges(first_curves(training, source.key, arguments.curves))
    for name in arguments.models:
        begin = time.process_time()
        errors, folds = left_out(curves, source.key, name)
        spread = curves.column("interaction_energy").std()
        each = ", ".join(f"{100 * size(errors[folds == k]) / spread:.1f}" for k in range(FOLDS))
        print(
            f"{arguments.label}, {arguments.curves} curves, {name}: "
            f"{100 * size(errors) / spread:.2f} % ({each}), {time.process_time() - begin:.0f} s",
            flush=True,
        )


def with_monomers(dimers: ml.Dataset) -> ml.Dataset:
    """The same with the number of its molecule for each atom."""
    counts = dimers.structures.counts.tolist()
    second = (~in_first_monomer(dimers)).long().split(counts)
    return dimers.with_values({}, {"monomer": [part.numpy() for part in second]})


def left_out(curves: ml.Dataset, key: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Errors of all points, and the fold of each."""
    labels = np.array(curves.labels(key))
    names = np.random.default_rng(SEED).permutation(np.unique(labels))
    fold_of = {one: k % FOLDS for k, one in enumerate(names)}
    folds = np.array([fold_of[one] for one in labels])
    errors = np.zeros(len(labels))
    for k in range(FOLDS):
        known, left = (curves.select(np.flatnonzero(which)) for which in (folds != k, folds == k))
        model = trained(known, key, name)
        errors[folds == k] = model.predict(left).values.reshape(-1)
    return errors - curves.column("interaction_energy"), folds


def trained(curves: ml.Dataset, key: str, name: str) -> ml.Predictor:
    products, sources = MODELS[name]
    basis = ml.GaussianTypeOrbitals(4, CUTOFF)
    potential = ml.FieldExpansion(ml.SmearedPotential(0.3, 1.0), basis, 3)
    density = ml.FieldExpansion(ml.GaussianDensity(0.3), basis, 3, neighbor_cutoff=CUTOFF)
    far = ml.FieldExpansion(
        ml.GaussianDensity(0.3), ml.GaussianTypeOrbitals(10, PAIRS), 0, neighbor_cutoff=PAIRS
    )
    fields = {"rho": density, "V": potential, "Q": potential, "P": far}
    recipe = ml.features(
        products,
        **{part: field for part, field in fields.items() if part in products},
        channels=None,
        sources={} if sources is None else {"Q": sources},
    )
    target = ml.Target(key="interaction_energy", unit="eV", fragments="monomer")
    options = {"estimator": ml.Ridge(scaling="auto"), "baseline": NoBaseline(), "groups": key}
    return ml.train(recipe, curves, target, **options)


def size(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))


if __name__ == "__main__":
    main()
