"""Toys in every table at once: YAML, files, slabs, forces, committees, tensors."""

import itertools

import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from ase.calculators.morse import MorsePotential
from ase.io import write
from test_methods import Images
from toys import CosineBasis, CubicCutoff, LeastSquares, MedianBaseline, Rational, SlaterDensity

from multilode.config.config import config_from_dict, plain_config
from multilode.config.store import load, save
from multilode.data.io import read
from multilode.expansion import METHODS
from multilode.fields import CUTOFF_FUNCTIONS, FIELDS
from multilode.models import ESTIMATORS, KERNELS
from multilode.prediction.baseline import BASELINES
from multilode.radial import RADIAL_BASES
from multilode.testing import check_cutoff_function
from multilode.workflow.experiment import run_training
from multilode.workflow.sets import load_sets
from often import often

TOYS = (
    (FIELDS, "slater", SlaterDensity),
    (RADIAL_BASES, "cosine", CosineBasis),
    (CUTOFF_FUNCTIONS, "cubic", CubicCutoff),
    (METHODS, "images", Images),
    (KERNELS, "rational", Rational),
    (ESTIMATORS, "least squares", LeastSquares),
    (BASELINES, "median", MedianBaseline),
)
FIELDS_TEXT = """
cutoff: 3.0
method: images
tolerance: 1.0e-7
fields:
  S:
    kind: slater
    smearing: 0.5
    length: 0.7
    basis: {kind: cosine, n_radial: 2, max_angular: 1, sharpness: 3.5}
  T:
    kind: slater
    smearing: 0.4
    length: 1.1
    neighbor_cutoff: 3.5
    cutoff_function: {kind: cubic, width: 1.5}
    basis: {kind: cosine, n_radial: 2, max_angular: 1}
features: [[S, S], [S, T]]
"""
ESTIMATORS_TEXT = {
    "a kernel": """
estimator:
  kind: sparse
  kernel: {kind: rational, width: 2.5}
  n_active: 16
  regularization: 1.0e-4
  term_weights: [1.0, 1.0]
  committee: {n_members: 5, fraction: 0.6}
""",
    "an estimator": """
estimator: {kind: least squares, damping: 1.0e-4, committee: {n_members: 5, fraction: 0.6}}
""",
}
TARGETS_TEXT = {
    "forces": "target: {key: energy, baseline: median, forces: {key: forces, directions: 4}}",
    "tensor": "target: {key: arm, tensor: vector, baseline: median}",
}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """A row of every table."""
    for table, name, toy in TOYS:
        monkeypatch.setitem(table, name, toy)


def slabs(n: int) -> list[Atoms]:
    """Four shaken atoms of a layer, with an energy, forces, and a vector that rotates with them."""
    images = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        places = np.array([[0, 0, 0], [1.5, 1.3, 0.2], [1.4, 0.1, 1.5], [0.2, 1.6, 1.4]])
        atoms = Atoms("Cu2Ag2", places + rng.normal(scale=0.15, size=(4, 3)))
        atoms.cell, atoms.pbc = np.diag([3.4, 3.4, 0.0]), (True, True, False)
        atoms.calc = MorsePotential(epsilon=0.2, r0=2.0, rho0=2.0, rcut1=3.0, rcut2=3.5)
        atoms.get_forces()
        atoms.info["arm"] = atoms.get_forces()[:2].sum(axis=0)
        images.append(atoms)
    return images


@pytest.fixture
def settings(tmp_path):
    """Of a configuration beside its data."""
    write(tmp_path / "slabs.xyz", slabs(20))

    def complete(target: str, estimator: str) -> dict:
        text = FIELDS_TEXT + ESTIMATORS_TEXT[estimator] + TARGETS_TEXT[target]
        train = str(tmp_path / "slabs.xyz")
        return {"data": {"train": train, "test_fraction": 0.2}, **yaml.safe_load(text)}

    return complete


def test_the_cutoff_function_passes_its_check():
    check_cutoff_function(CubicCutoff(1.5))


@pytest.mark.parametrize("estimator", ESTIMATORS_TEXT)
@pytest.mark.parametrize("target", TARGETS_TEXT)
def test_toys_are_written_back_as_they_were_read(target, estimator, settings):
    config = config_from_dict(settings(target, estimator))
    assert config.recipe.fields["S"].basis == CosineBasis(2, 3.0, 3.5)
    assert config.recipe.fields["T"].cutoff_function == CubicCutoff(1.5)
    assert config.plain_baseline == MedianBaseline()
    assert config_from_dict(plain_config(config)) == config
    assert config_from_dict(yaml.safe_load(yaml.safe_dump(plain_config(config)))) == config


HOUSES = list(itertools.product(TARGETS_TEXT, ESTIMATORS_TEXT))


@pytest.mark.parametrize(
    ("target", "estimator"), often(HOUSES, [("forces", "a kernel"), ("tensor", "an estimator")])
)
def test_toys_are_trained_on_slabs_and_come_back_from_files(target, estimator, settings, tmp_path):
    config = config_from_dict(settings(target, estimator))
    model = run_training(config, load_sets(config)).predictor
    save(model, tmp_path / "model.safetensors")
    again, new = load(tmp_path / "model.safetensors"), read(tmp_path / "slabs.xyz")
    assert again.representation == model.representation
    wanted = {"std": True, "forces": target == "forces"}
    found, expected = (x.predict(new, **wanted) for x in (again, model))
    for name, values in found.numpy().items():
        np.testing.assert_allclose(values, expected.numpy()[name], rtol=1e-7, atol=1e-9)
    assert bool((found.std > 0).all())
    exact = torch.from_numpy(np.array(new.column(config.target.key)))
    assert float((found.values - exact).std()) < 0.5 * float(exact.std())


@pytest.mark.parametrize("estimator", ESTIMATORS_TEXT)
def test_forces_of_toys_are_slopes_of_energies(estimator, settings):
    config = config_from_dict(settings("forces", estimator))
    model = run_training(config, load_sets(config)).predictor
    along = np.random.default_rng(1).normal(size=(4, 3))
    (atoms,) = slabs(1)
    shifted = [Atoms(atoms, positions=atoms.positions + h * along) for h in (-1e-4, 1e-4)]
    slope = float(model.predict(shifted).values.diff()) / 2e-4
    force = float((model.predict(atoms, forces=True).forces * torch.from_numpy(along)).sum())
    assert abs(force + slope) < 1e-5 * max(1.0, abs(slope))


@pytest.mark.parametrize("estimator", ESTIMATORS_TEXT)
def test_tensors_of_toys_rotate_with_the_slab(estimator, settings):
    config = config_from_dict(settings("tensor", estimator))
    model = run_training(config, load_sets(config)).predictor
    (atoms,) = slabs(1)
    turned = atoms.copy()
    turned.rotate(37, (1, 2, 3), rotate_cell=True)
    rotation = np.linalg.lstsq(atoms.positions, turned.positions, rcond=None)[0]
    before, after = (model.predict(x).values[0].numpy() for x in (atoms, turned))
    np.testing.assert_allclose(after, before @ rotation, rtol=1e-5, atol=1e-6)
