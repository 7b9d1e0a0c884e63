"""Small models of every kind in the model format of an old commit, with what they predict.

Run with the package of that commit first on the path. The last one that wrote format 1 is the
parent of "Model files have a new format version"; format 2, the parent of "Committees in
configurations, reports, model files and the command line"; format 3, the parent of "Rooms in the
order of the equation"; format 4, the parent of "A network on the fields of structures"; format 5,
the parent of "Fields in a few channels before they are multiplied, fitted to the training set".

    PYTHONPATH=old/src python tests/reference/models/make_models.py tests/reference/models

Further arguments name the models to make; of format 1 there are three.
"""

import inspect
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import multilode as ml
import multilode.models


def clusters(n, seed):
    """Arrays of distorted molecules of four atoms: positions, species, cells, periodicity."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0, 0, 0], [0.9, 0.1, 0], [0, 1.0, 0.2], [2.0, 2, 2]])
    return (
        [corners + rng.normal(scale=0.2, size=(4, 3)) for _ in range(n)],
        [np.array([8, 1, 1, 6])] * n,
        [np.zeros((3, 3))] * n,
        [np.zeros(3, dtype=bool)] * n,
    )


def expansions(*, ranges=False):
    """A density and a potential on two small bases, the potential perhaps in two parts."""
    takes = inspect.signature(ml.FieldExpansion).parameters
    small, other = ml.GaussianTypeOrbitals(2, 2.0), ml.LaplacianEigenstates(1, 2.5)
    found = {
        "rho": ml.FieldExpansion(
            ml.GaussianDensity(0.4), small, 1, **{_word(takes, "neighbor_cutoff", "cutoff"): 2.0}
        ),
        "V": ml.FieldExpansion(
            ml.SmearedPotential(1.0, 1.0), other, 1, cutoff_function=ml.RadialScaling(2.0)
        ),
    }
    if ranges:
        for part in ("near", "far"):
            radius = {_word(takes, "near_radius", "range_cutoff"): 1.5}
            found[part] = ml.FieldExpansion(
                ml.SmearedPotential(0.8, 2.0), small, 1, range=part, **radius
            )
    return found


def _word(takes, new, old):
    return new if new in takes else old


def representation(correlations, **more):
    """Features of two of the three species."""
    used = {name for names in correlations for name in names}
    parts = expansions(ranges="near" in used)
    takes = inspect.signature(ml.Representation).parameters
    words = {
        _word(takes, "fields", "expansions"): {n: parts[n] for n in parts if n in used},
        _word(takes, "products", "correlations"): correlations,
    }
    return ml.Representation(
        **words,
        species=(1, 6, 8),
        centers=(1, 8),
        **more,
    )


def with_kernel(estimator, zeta, normalize=False, **settings):
    """A kernel model; polynomial kernels became values with format 4."""
    if "kernel" not in inspect.signature(estimator).parameters:
        more = {"normalize": normalize} if normalize else {}
        return estimator(zeta=zeta, **more, **settings)
    kernels = [ml.PolynomialKernel(zeta=int(z), normalize=normalize) for z in np.atleast_1d(zeta)]
    return estimator(kernel=kernels[0] if len(kernels) == 1 else tuple(kernels), **settings)


TWO = (("rho", "V"), ("V",))
WEIGHTS = {"regularization": 1e-6, "term_weights": (1.0, 0.5)}
ONE = {"regularization": 1e-6, "term_weights": (1.0,)}


def models():
    """Estimator, target, products and further settings of each model, by name."""
    ridge = ml.Ridge(**WEIGHTS)
    found = {
        "ridge": (ridge, {}, TWO),
        "ridge_searched": (ml.Ridge(folds=3), {"reduce": "mean"}, TWO),
        "kernel_1": (with_kernel(ml.KernelRidge, 1, **WEIGHTS), {}, TWO),
        "kernel_2": (with_kernel(ml.KernelRidge, 2, **WEIGHTS), {}, TWO),
        "kernel_3": (
            with_kernel(ml.KernelRidge, 3, normalize=True, **WEIGHTS),
            {"reduce": "mean"},
            TWO,
        ),
        "atoms": (ridge, {"per": "atom"}, TWO),
        "ranges": (ridge, {}, (("near", "far"), ("rho", "near"))),
        "tensor": (ml.Ridge(**ONE), {"tensor": "vector"}, (("rho", "V"),)),
        "contraction": (ridge, {}, (("rho", "rho", "V"), ("rho", "V"))),
    }
    if hasattr(ml, "SparseKernelRidge"):
        mixture = with_kernel(ml.SparseKernelRidge, (2, 1), n_active=9, **WEIGHTS)
        found |= {
            "sparse": (mixture, {}, TWO),
            "sparse_normalized": (
                with_kernel(ml.SparseKernelRidge, 3, normalize=True, n_active=5, **ONE),
                {},
                (("rho", "V"),),
            ),
            "forces": (ridge, {"forces": True}, TWO),
            "committee": (ml.Committee(estimator=ridge, n_members=3, fraction=0.7), {}, TWO),
            "committee_sparse": (
                ml.Committee(estimator=mixture, n_members=3, fraction=0.7),
                {},
                TWO,
            ),
            "tensor_sparse": (
                with_kernel(ml.SparseKernelRidge, 2, n_active=6, **ONE),
                {"tensor": "vector"},
                (("rho", "V"),),
            ),
            "tensor_committee": (
                ml.Committee(estimator=ml.Ridge(**ONE), n_members=3, fraction=0.7),
                {"tensor": "symmetric"},
                (("rho", "V"),),
            ),
        }
    if hasattr(multilode.models, "Network"):
        small = {"channels": 2, "hidden": 4, "charges": 1, "dipoles": 1}
        network = multilode.models.Network(steps=4, validation=0.0, dtype="float64", **small)
        found["network"] = (network, {"forces": True}, (("rho",), ("V",)))
    missing = {"ranges"} - ({"ranges"} if _knows("FieldExpansion", "range") else set())
    missing |= {"tensor", "atoms"} - ({"tensor", "atoms"} if _knows("Target", "per") else set())
    if not hasattr(ml, "ContractionSettings"):
        missing |= {"contraction"}
    return {name: parts for name, parts in found.items() if name not in missing}


def _knows(name, argument):
    return argument in inspect.signature(getattr(ml, name)).parameters


def answers(positions, target):
    """What is learned: sums of distances from the origin, or the vectors themselves."""
    x = np.array(positions)
    if target.get("tensor") == "vector":
        return x.sum(axis=1)
    if target.get("tensor") == "symmetric":
        return np.einsum("ska,skb->sab", x, x)
    norms = np.linalg.norm(x, axis=2)
    if target.get("per") == "atom":
        return norms.reshape(-1)
    return norms.mean(axis=1) if target.get("reduce") == "mean" else norms.sum(axis=1)


def trained(name):
    """The model of this name."""
    estimator, target, correlations = models()[name]
    arrays, more = clusters(12, seed=1), {}
    structures = ml.Structures.from_arrays(*arrays)
    plain = {key: value for key, value in target.items() if key != "forces"}
    if target.get("forces"):
        x = structures.positions.double()
        more = {"forces": ml.Forces(values=-x / x.norm(dim=1, keepdim=True).clamp(min=1e-9))}
    recipe = representation(correlations)
    if name == "network":
        recipe = replace(recipe, centers=recipe.species)
    if name == "contraction":
        recipe = recipe.contracted([structures], ml.ContractionSettings(max_features=3))
    if name == "ranges":
        recipe = representation(correlations, method="pair_sum", tolerance=1e-9)
    y = answers(arrays[0], target)
    return ml.train(
        recipe, structures, y=y, target=ml.Target(key="y", **plain), estimator=estimator, **more
    )


def _format(path):
    try:
        from multilode.config.store import read_metadata
    except ImportError:
        from multilode.store import read_metadata

    return read_metadata(path)["format_version"]


def main(folder, names):
    """Write the files and `format<n>.json` with predictions of three structures."""
    new, predicted, version = ml.Structures.from_arrays(*clusters(3, seed=2)), {}, None
    for name in names or models():
        predictor = trained(name)
        path = folder / "model.safetensors"
        ml.save(predictor, path, training={"n": 12})
        version = _format(path)
        path.rename(folder / f"format{version}_{name}.safetensors")
        with_std = "committee" in name or name == "kernel_2"
        with_forces = not name.startswith(("tensor", "atoms"))
        found = predictor.predict(new, std=with_std, forces=with_forces)
        parts = {"values": found.values, "forces": found.forces, "std": found.std}
        predicted[name] = {k: v.tolist() for k, v in parts.items() if v is not None}
    (folder / f"format{version}.json").write_text(json.dumps(predicted))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
