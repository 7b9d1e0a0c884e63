import math

import numpy as np
import pytest
import torch

from multilode.expansion import FieldExpansion, expand
from multilode.fields import GaussianDensity
from multilode.fields.cutoffs import RadialScaling, ShiftedCosine, StepCutoff
from multilode.radial import GaussianTypeOrbitals
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import Irrep

R = torch.linspace(0.01, 6, 600, dtype=torch.float64)


def test_step():
    assert torch.equal(StepCutoff()(R, 4.0), (R < 4.0).double())


def test_a_neighbor_on_the_step_does_not_count_in_a_molecule_nor_in_a_crystal():
    """Lists of neighbors differ in what they do at the cutoff; coefficients must not."""
    basis = GaussianTypeOrbitals(2, 2.0)
    expansion = FieldExpansion(GaussianDensity(0.5), basis, 1, 2.0, StepCutoff())
    positions, species = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]), np.array([1, 1])
    cells, pbcs = [np.zeros((3, 3)), 20 * np.eye(3)], [np.zeros(3, bool), np.ones(3, bool)]
    batch = Structures.from_arrays([positions] * 2, [species] * 2, cells, pbcs)
    blocks = expand(expansion, batch, species=(1,)).blocks
    alone = expand(expansion, batch.select([0]), species=(1,), centers=torch.tensor([0])).blocks
    assert (blocks[Irrep(1)] == 0).all()
    torch.testing.assert_close(blocks[Irrep(0)], alone[Irrep(0)].expand(4, -1, -1))


def test_shifted_cosine_by_its_formula():
    weights = ShiftedCosine(1.5)(R, 4.0)
    for r, weight in zip(R.tolist(), weights.tolist(), strict=True):
        if r <= 2.5:
            expected = 1.0
        elif r >= 4.0:
            expected = 0.0
        else:
            expected = 0.5 * (1 + math.cos(math.pi * (r - 2.5) / 1.5))
        assert weight == pytest.approx(expected, abs=1e-14)


def test_shifted_cosine_ends_without_a_slope():
    r = torch.tensor([2.5, 4.0, 5.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(ShiftedCosine(1.5)(r, 4.0).sum(), r)
    assert slope.abs().max() < 1e-14


def test_radial_scaling_is_a_factor_on_the_cosine():
    weights = RadialScaling(scale=1.5, exponent=3.0, rate=0.7, width=1.0)(R, 4.0)
    fade = 0.7 / (0.7 + (R / 1.5) ** 3)
    torch.testing.assert_close(weights, fade * ShiftedCosine(1.0)(R, 4.0))


@pytest.mark.parametrize("function", [ShiftedCosine(1.5), RadialScaling(1.5, 3.0, 0.7, 1.0)])
def test_derivatives(function):
    r = torch.tensor([0.3, 2.0, 3.1, 3.6, 4.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: function(x, 4.0), (r,))
    assert torch.autograd.gradgradcheck(lambda x: function(x, 4.0), (r,))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_bad_values_are_named(value):
    with pytest.raises(ValueError, match=r"width .* must be positive"):
        ShiftedCosine(value)
    for name in ("scale", "exponent", "rate", "width"):
        with pytest.raises(ValueError, match=f"{name} of a radial scaling .* must be positive"):
            RadialScaling(**{name: value})
