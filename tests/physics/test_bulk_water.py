"""Liquid water with few boxes: what a long-range field adds to short-ranged features.

The whole study is `multilode reproduce bulk-water`; here the ordering of Fig. 3 (2019) at 3 Å.
"""

import os
from pathlib import Path

import pytest
import torch

from multilode.data.io import read
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import ShiftedCosine
from multilode.models import Ridge
from multilode.prediction.errors import rmse_percent
from multilode.prediction.training import pooled_features
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.representation import Representation
from regressions import pooled

N_TRAIN, N_TEST = 150, 100


@pytest.fixture(scope="module")
def errors() -> dict[str, float]:
    folder = os.environ.get("MULTILODE_DATA")
    if not folder:
        pytest.skip("MULTILODE_DATA is not set: no folder with bulk_water/ to read")
    dataset = read(Path(folder) / "bulk_water" / "bulk_water.xyz.gz", f":{N_TRAIN + N_TEST}")
    y = torch.from_numpy(dataset.column("epsilon")).reshape(-1, 3, 3)
    trace = y.diagonal(dim1=1, dim2=2).sum(dim=1, keepdim=True)
    basis = GaussianTypeOrbitals(4, 3.0)
    recipe = Representation(
        fields={
            "rho": FieldExpansion(
                GaussianDensity(0.3),
                basis,
                3,
                neighbor_cutoff=3.0,
                cutoff_function=ShiftedCosine(0.5),
            ),
            "V": FieldExpansion(SmearedPotential(1.0, 1.0), basis, 3),
        },
        products=(("rho", "rho"), ("V", "V")),
        species=(1, 8),
        centers=(1, 8),
    )
    local, far = pooled_features(recipe, dataset.structures, reduce="mean", per_species=False).terms
    train, test = range(N_TRAIN), range(N_TRAIN, N_TRAIN + N_TEST)
    found = {}
    for name, terms in {"SOAP": (local,), "LODE": (far,), "both": (local, far)}.items():
        x = pooled(*terms, reduce="mean")
        model = Ridge().fit(x.select(train), trace[:N_TRAIN])
        found[name] = rmse_percent(trace[N_TRAIN:], model.predict_terms(x.select(test).terms))
    return found


@pytest.mark.slow
def test_short_ranged_features_do_not_see_the_dielectric_response(errors):
    assert errors["SOAP"] > 40


def test_the_long_range_field_sees_it_at_the_same_radius(errors):
    assert errors["LODE"] < 0.6 * errors["SOAP"]


def test_both_together_are_best(errors):
    assert errors["both"] < 0.8 * errors["LODE"]
