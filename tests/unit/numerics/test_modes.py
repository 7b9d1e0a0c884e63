"""What other code has set in PyTorch and NumPy changes no number, least of all to zero."""

import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from ase import Atoms

import multilode as ml
from crystals import random_structures
from multilode.expansion.sources import expand_sources
from multilode.models import Network, polynomial_kernels
from multilode.models.targets import Forces, Stress
from multilode.numerics.modes import own_modes

BASIS = ml.GaussianTypeOrbitals(n_radial=2, radius=3.0)
FIELDS = {
    "rho": ml.FieldExpansion(ml.GaussianDensity(0.5), BASIS, 1, neighbor_cutoff=3.0),
    "V": ml.FieldExpansion(ml.SmearedPotential(smearing=0.8, exponent=1.0), BASIS, 1),
}
RECIPE = ml.Representation(
    fields=FIELDS, products=(("rho", "rho"), ("rho", "V")), species=(1, 8), centers=(1, 8)
)
ENERGY = ml.Target(key="energy", unit="eV")


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def strict_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # ASE does what NumPy 2.5 announces the end of
        warnings.filterwarnings("ignore", message="Setting the (shape|dtype) on a NumPy array")
        yield


MODES = {
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "float64": lambda: default_dtype(torch.float64),
    "meta": lambda: default_device("meta"),
    "deterministic": deterministic,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "underflow": lambda: np.errstate(all="raise"),
    "warnings": strict_warnings,
}


@own_modes(gradients=True)
def references(structures):
    """Energies of a function of distances, their forces, and stresses of no physics."""
    positions = structures.positions.clone().requires_grad_()
    index = structures.structure_index
    far = torch.cdist(positions, positions) + 1e3 * (index[:, None] != index)
    pairs = torch.exp(-far - 1e3 * torch.eye(len(far)))
    y = torch.zeros(len(structures)).double().index_add(0, index, pairs.sum(dim=1))
    (slopes,) = torch.autograd.grad(y.sum(), positions)
    stresses = np.random.default_rng(5).normal(size=(len(structures), 3, 3))
    return y.detach(), -slopes, torch.from_numpy(stresses + stresses.swapaxes(1, 2))


def data():
    """Structures made in whatever mode holds, with energies, forces and stresses."""
    structures = random_structures(RECIPE.species, 12)
    return structures, *references(structures)


@cache
def trained(kind="ridge"):
    structures, y, _, _ = data()
    estimators = {
        "ridge": ml.Ridge(regularization=1e-4),
        "kernel": ml.KernelRidge(kernel=polynomial_kernels(zeta=2), regularization=1e-4),
        "sparse": ml.SparseKernelRidge(
            kernel=polynomial_kernels(zeta=2), n_active=8, regularization=1e-4
        ),
        "committee": ml.Committee(
            estimator=ml.Ridge(regularization=1e-4), n_members=6, fraction=0.5
        ),
    }
    return ml.train(RECIPE, structures, ENERGY, y=y, estimator=estimators[kind])


def numbers(prediction):
    found = [prediction.values, prediction.forces, prediction.stress]
    return found + [x for x in (prediction.std, prediction.forces_std) if x is not None]


def predicted(kind):
    structures = random_structures(RECIPE.species, 3, seed=4)
    return numbers(trained(kind).predict(structures, forces=True, std=kind == "committee"))


def stressed():
    crystal = ml.Structures.from_arrays(
        [np.array([[0.0, 0, 0], [1.1, 1.2, 1.0]])],
        [np.array([1, 8])],
        [np.eye(3) * 3.1],
        [np.ones(3)],
    )
    return numbers(trained().predict(crystal, forces=True, stress=True))


def calculated():
    atoms = Atoms("OH", [[0, 0, 0], [1.0, 0.9, 1.1]], cell=[3.0, 3.1, 3.2], pbc=True)
    atoms.calc = ml.PredictorCalculator(replace(trained(), known=None), tolerance=None)
    return [torch.from_numpy(x) for x in (atoms.get_forces(), atoms.get_stress())]


def fitted(estimator, **more):
    structures, y, forces, stress = data()
    given = {"forces": Forces(values=forces), "stress": None} | more
    if given["stress"] is not None:
        given["stress"] = Stress(values=stress)
    predictor = ml.train(RECIPE, structures, ENERGY, y=y, estimator=estimator, **given)
    return numbers(predictor.predict(random_structures(RECIPE.species, 3, seed=4), forces=True))


def network():
    settings = Network(
        channels=2, rounds=1, hidden=3, epochs=2, steps=6, validation=0.25, seed=1, dtype="float64"
    )
    return fitted(settings)


def loaded(tmp_path):
    ml.save(trained(), tmp_path / "m.safetensors")
    predictor = ml.load(tmp_path / "m.safetensors")
    return numbers(predictor.predict(random_structures(RECIPE.species, 3, seed=4), forces=True))


def expanded():
    structures = random_structures(RECIPE.species, 3, seed=4)
    found = expand_sources(FIELDS["V"], structures, strains=True)
    basis, _ = ml.optimized_basis(FIELDS["rho"], structures, 1)
    few = ml.expand(basis, structures, species=(1, 8))
    coefficients = ml.expand(FIELDS["V"], structures, species=(1, 8))
    return [
        found.values,
        found.slopes,
        found.strains,
        *coefficients.blocks.values(),
        *few.blocks.values(),
    ]


TASKS = {
    "predict-ridge": lambda _: predicted("ridge"),
    "predict-kernel": lambda _: predicted("kernel"),
    "predict-sparse": lambda _: predicted("sparse"),
    "predict-committee": lambda _: predicted("committee"),
    "stress": lambda _: stressed(),
    "calculator": lambda _: calculated(),
    "train-ridge": lambda _: fitted(ml.Ridge(regularization=1e-4)),
    "train-chosen": lambda _: fitted(ml.Ridge(), forces=None),
    "train-sparse": lambda _: fitted(
        ml.SparseKernelRidge(kernel=polynomial_kernels(zeta=2), n_active=8, regularization=1e-4)
    ),
    "train-network": lambda _: network(),
    "load": loaded,
    "expand": lambda _: expanded(),
}


@cache
def ordinary_numbers(task, folder):
    return TASKS[task](folder)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("mode", MODES)
def test_numbers_are_those_of_no_mode(mode, task, tmp_path_factory):
    """Case 40: forces within no_grad and inference_mode; case 45: types, warnings, underflow."""
    folder = tmp_path_factory.mktemp("modes")
    expected = ordinary_numbers(task, folder)
    with ExitStack() as stack:
        stack.enter_context(MODES[mode]())
        found = TASKS[task](folder)
    for one, other in zip(found, expected, strict=True):
        if other is None:
            continue
        assert other.abs().max() > 0
        assert one.dtype == other.dtype
        torch.testing.assert_close(one.detach().clone(), other.detach(), rtol=1e-10, atol=1e-12)
