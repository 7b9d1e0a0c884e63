import math

import pytest
import torch

from multilode.cutoffs import RadialScaling, ShiftedCosine, StepCutoff

R = torch.linspace(0.01, 6, 600, dtype=torch.float64)


def test_step():
    assert torch.equal(StepCutoff()(R, 4.0), (R <= 4.0).double())


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
