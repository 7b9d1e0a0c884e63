"""Baselines per species."""

import json

import numpy as np
import pytest
import torch

from multilode.config.codec import decode, encode
from multilode.prediction.baseline import (
    BASELINES,
    CompositionBaseline,
    FittedBaseline,
    MeanBaseline,
)
from multilode.structures.batch import Structures

CONSTANTS = {1: -13.5, 6: -1030.0, 8: -2041.0}


def molecules(formulas):
    positions = [np.arange(3.0 * len(f)).reshape(-1, 3) for f in formulas]
    n = len(formulas)
    return Structures.from_arrays(
        positions, [np.array(f) for f in formulas], [np.zeros((3, 3))] * n, [np.zeros(3)] * n
    )


MIXED = [[1, 1, 8], [8, 6, 8], [1, 1], [6, 1, 1, 1, 1], [8, 8, 8]]


def target(formulas, reduce):
    values = [[CONSTANTS[z] for z in formula] for formula in formulas]
    function = np.sum if reduce == "sum" else np.mean
    return torch.tensor([[function(v), 2 * function(v)] for v in values], dtype=torch.float64)


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_composition_finds_the_constants_of_the_species(reduce):
    fitted = CompositionBaseline().fit(molecules(MIXED), target(MIXED, reduce), reduce=reduce)
    assert fitted.species == (1, 6, 8)
    expected = torch.tensor([[c, 2 * c] for c in CONSTANTS.values()], dtype=torch.float64)
    torch.testing.assert_close(fitted.constants, expected)
    new = [[1, 8], [6]]
    torch.testing.assert_close(fitted.predict(molecules(new)), target(new, reduce))


def test_equal_formulas_give_the_solution_of_the_smallest_norm():
    water = [[8, 1, 1], [1, 8, 1], [1, 1, 8, 1, 8, 1]]
    y = torch.tensor([[-470.0], [-470.0], [-940.0]], dtype=torch.float64)
    fitted = CompositionBaseline().fit(molecules(water), y, reduce="sum")
    torch.testing.assert_close(fitted.predict(molecules(water)), y)
    # c = a (2, 1) with 2 c_H + c_O = -470
    torch.testing.assert_close(fitted.constants[:, 0], -94.0 * torch.tensor([2.0, 1.0]).double())


def test_mean_is_the_mean_of_intensive_and_a_constant_per_atom_of_extensive_targets():
    y = torch.tensor([[1.0], [2.0], [6.0], [0.0], [1.0]], dtype=torch.float64)
    mean = MeanBaseline().fit(molecules(MIXED), y, reduce="mean")
    torch.testing.assert_close(mean.predict(molecules(MIXED)), y.mean().expand(5, 1))
    sizes = torch.tensor([[len(f)] for f in MIXED]).double()
    per_atom = MeanBaseline().fit(molecules(MIXED), y, reduce="sum")
    expected = sizes * float((sizes * y).sum() / sizes.square().sum())
    torch.testing.assert_close(per_atom.predict(molecules(MIXED)), expected)


def test_none_is_zero_for_any_species():
    fitted = BASELINES["none"]().fit(molecules(MIXED), target(MIXED, "sum"), reduce="sum")
    predicted = fitted.predict(molecules([[79]]))
    assert predicted.shape == (1, 2)
    assert not bool(predicted.any())


@pytest.mark.parametrize("kind", ["composition", "mean", "none"])
def test_parts_survive_json_and_give_the_same_baseline(kind):
    fitted = BASELINES[kind]().fit(molecules(MIXED), target(MIXED, "mean"), reduce="mean")
    plain, tensors = encode(fitted)
    again = decode(FittedBaseline, json.loads(json.dumps(plain)), tensors)
    assert torch.equal(again.predict(molecules(MIXED)), fitted.predict(molecules(MIXED)))
    assert (again.species, again.reduce) == (fitted.species, fitted.reduce)


def test_an_unknown_species_is_named():
    fitted = CompositionBaseline().fit(molecules(MIXED), target(MIXED, "sum"), reduce="sum")
    with pytest.raises(
        ValueError, match=r"atom 3 \(structure 1\) has atomic number 7.*\[1, 6, 8\]"
    ):
        fitted.predict(molecules([[1, 1, 8], [7, 1]]))
