"""Point charges: LODE(1) is the Coulomb sum, a local representation is not.

The whole study is `multilode reproduce point-charges`; here with few boxes of the same data.
"""

import math

import ase
import numpy as np
import pytest
import torch

from crystals import structures_of
from multilode.datasets import load
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import Ridge
from multilode.prediction import pooled_features, rmse_percent
from multilode.radial import GaussianTypeOrbitals, Monomials
from multilode.representation.representation import Representation

COULOMB = 14.399645  # eV Å, with which the energies were made
RADIUS = 0.5  # Å
N_TRAIN, N_TEST = 10, 60


def first_order(smearing):
    """The potential of all other charges at a center."""
    return FieldExpansion(
        SmearedPotential(smearing, 1.0), Monomials(1, RADIUS), 0, center_weight=0.0
    )


def recipe(field, n_factors):
    return Representation(
        fields={"field": field},
        products=(("field",) * n_factors,),
        species=(11, 17),
        centers=(11, 17),
    )


def weights_to_coulomb(weights):
    """A constant field v has the coefficient v sqrt(4 pi R^3 / 3); the energy counts it half."""
    return 2 * math.sqrt(4 * math.pi * RADIUS**3 / 3) * weights


@pytest.fixture(scope="module")
def boxes():
    parts = [
        load("point-charges", part).select(range(size))
        for part, size in (("train", N_TRAIN), ("test", N_TEST))
    ]
    return [(p.structures, torch.from_numpy(p.column("ewald_energy"))[:, None]) for p in parts]


def error_and_model(boxes, representation, estimator):
    (train, y), (test, y_test) = boxes
    model = estimator.fit(pooled_features(representation, train, reduce="sum"), y)
    predicted = model.predict_terms(pooled_features(representation, test, reduce="sum").terms)
    return rmse_percent(y_test, predicted), model


@pytest.fixture(scope="module")
def wide(boxes):
    """Error and model with the smearing of the paper."""
    return error_and_model(boxes, recipe(first_order(1.0), 1), Ridge())


@pytest.mark.slow
def test_ten_boxes_teach_first_order_the_coulomb_sum_to_the_error_of_the_smearing(wide):
    error, model = wide
    assert 0.3 < error < 1.2  # the paper's is just below 1 %
    constants = weights_to_coulomb(model.weights[0][:, 0])
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(constants, COULOMB * signs, rtol=0.05, atol=0)


def test_half_the_smearing_lowers_the_error_more_than_thirty_times(boxes, wide):
    narrow, model = error_and_model(boxes, recipe(first_order(0.5), 1), Ridge())
    assert narrow < wide[0] / 30
    constants = weights_to_coulomb(model.weights[0][:, 0]).abs()
    torch.testing.assert_close(constants, torch.full_like(constants, COULOMB), rtol=1e-5, atol=0)


def test_a_local_representation_does_not_learn_it_from_ten_boxes(boxes):
    density = FieldExpansion(
        GaussianDensity(1.0), GaussianTypeOrbitals(4, 6.0), 2, neighbor_cutoff=6.0
    )
    error, _ = error_and_model(boxes, recipe(density, 2), Ridge(intercept=True))
    assert error > 15


def random_salts(count):
    """Cubic boxes of four ions of each kind, none closer than 2.5 Å to another."""
    generator = np.random.default_rng(3)
    boxes = []
    while len(boxes) < count:
        atoms = ase.Atoms("Na4Cl4", cell=[generator.uniform(7.0, 10.0)] * 3, pbc=True)
        atoms.set_scaled_positions(generator.random((8, 3)))
        if (atoms.get_all_distances(mic=True) + 9 * np.eye(8)).min() > 2.5:
            boxes.append(atoms)
    return structures_of(*boxes)


def error_of_products(center_weight):
    """RMSE% of a linear model in products of the field, on the Coulomb sum of smeared charges."""
    n_train, n_test = 60, 20
    structures = random_salts(n_train + n_test)
    linear = pooled_features(recipe(first_order(1.0), 1), structures, reduce="sum").terms[0]
    energy = linear @ torch.tensor([[1.0], [-1.0], [-1.0], [1.0]], dtype=torch.float64)
    products = FieldExpansion(
        SmearedPotential(1.0, 1.0), Monomials(3, 1.0), 0, center_weight=center_weight
    )
    pooled = pooled_features(recipe(products, 2), structures, reduce="sum")
    model = Ridge(intercept=True).fit(pooled.select(range(n_train)), energy[:n_train])
    predicted = model.predict_terms(pooled.select(range(n_train, n_train + n_test)).terms)
    return rmse_percent(energy[n_train:], predicted)


@pytest.mark.slow
def test_products_of_the_field_hold_the_field_itself_only_with_the_own_one():
    """(s + U)(s + U) holds the sum of U if s, the field of the center, is there. Needs no data."""
    assert error_of_products(center_weight=1.0) < 1.0
    assert error_of_products(center_weight=0.0) > 5.0
