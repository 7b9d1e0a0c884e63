"""Exported files, computed by the calculator of metatomic, beside ours."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from driven import ESTIMATORS, PERIODS, model, salt
from multilode.config.store import save
from multilode.data.ase_atoms import from_ase
from multilode.engines.calculator import PredictorCalculator

REASON = "metatomic is not installed: pip install 'multilode[metatomic]'"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TorchScript is deprecated
    metatomic = pytest.importorskip("metatomic.torch", reason=REASON)
    MetatomicCalculator = pytest.importorskip("metatomic_ase", reason=REASON).MetatomicCalculator
    from multilode.engines.metatomic import export

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit:DeprecationWarning", "ignore:.*stress:UserWarning"
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Models and files by the name of the estimator, made once."""
    folder, made = tmp_path_factory.mktemp("exported"), {}

    def get(name):
        if name not in made:
            predictor, path = model(name), folder / f"{name}.pt"
            export(predictor, path)
            made[name] = predictor, path
        return made[name]

    return get


@pytest.mark.parametrize("kind", PERIODS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_energies_forces_and_stresses_are_those_of_our_calculator(exported, name, kind):
    predictor, path = exported(name)
    ours, theirs = salt(kind, seed=40), salt(kind, seed=40)
    ours.calc = PredictorCalculator(predictor, tolerance=None)
    theirs.calc = MetatomicCalculator(
        path, device="cpu", check_consistency=True, uncertainty_threshold=None
    )
    energy = ours.get_potential_energy()
    assert abs(theirs.get_potential_energy() - energy) < 1e-10 * abs(energy)
    forces = ours.get_forces()
    assert np.abs(forces).max() > 1e-3
    np.testing.assert_allclose(theirs.get_forces(), forces, rtol=0, atol=1e-10)
    if kind == "crystal":
        np.testing.assert_allclose(theirs.get_stress(), ours.get_stress(), rtol=0, atol=1e-10)
