import numpy as np
import pytest
import torch

from multilode.numerics import chebyshev
from multilode.numerics.chebyshev import ChebyshevSeries, fit_chebyshev


def curves(x):
    return np.stack([np.exp(-x), np.cos(7 * x), 1e-6 / (1 + x**2), 0 * x], axis=1)


POINTS = torch.linspace(-1, 3, 301, dtype=torch.float64)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-8, 1e-12])
def test_values_to_the_tolerance_of_each_channel(tolerance):
    series = fit_chebyshev(curves, -1, 3, tolerance)
    error = np.abs(series(POINTS).numpy() - curves(POINTS.numpy())).max(axis=0)
    scale = np.array([np.e, 1, 1e-6, 1])
    assert (error < 20 * tolerance * scale).all()
    assert error[3] == 0


def test_a_looser_tolerance_keeps_fewer_terms():
    lengths = [len(fit_chebyshev(curves, -1, 3, t).coefficients) for t in (1e-4, 1e-8, 1e-12)]
    assert lengths == sorted(set(lengths))


def test_derivatives_of_every_order():
    series = fit_chebyshev(curves, -1, 3, 1e-13)
    x = POINTS[5:-5].clone().requires_grad_()
    value = series(x)[:, 0].sum()
    for sign in (-1, 1, -1):
        (slope,) = torch.autograd.grad(value, x, create_graph=True)
        expected = sign * torch.exp(-x.detach())
        assert (slope.detach() - expected).abs().max() < 2e-7
        value = slope.sum()
    x = torch.tensor([-0.9, 0.3, 2.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(series, (x,))
    assert torch.autograd.gradgradcheck(series, (x,))


def test_single_precision():
    series = fit_chebyshev(curves, -1, 3, 1e-10)
    single = series(POINTS.float())
    assert single.dtype == torch.float32
    assert (single.double() - series(POINTS)).abs().max() < 1e-5


@pytest.mark.parametrize("tolerance", [1e-5, 1e-8, 1e-11])
def test_pieces_are_the_whole_series(tolerance):
    """Many points are evaluated by pieces, few at once; also on and beside the borders."""
    series = fit_chebyshev(curves, -1, 3, tolerance)
    assert len(series.pieces) > 1
    assert max(len(piece) for piece in series.pieces) < len(series.coefficients)
    borders = torch.linspace(-1, 3, len(series.pieces) + 1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    inside = 4 * torch.rand(400, generator=generator, dtype=torch.float64) - 1
    x = torch.cat([borders, (borders[1:-1] - 1e-9), inside]).requires_grad_()
    weights = torch.linspace(-1, 1, 4 * len(x), dtype=torch.float64).reshape(len(x), 4)
    few = x.detach().clone().requires_grad_()
    many_values = series(x)
    few_values = torch.cat([series(part) for part in few.split(50)])
    scale = torch.tensor([np.e, 1, 1e-6, 1], dtype=torch.float64)
    assert ((many_values - few_values).abs() < 3 * tolerance * scale).all()
    (many_slope,) = torch.autograd.grad(many_values, x, weights)
    (few_slope,) = torch.autograd.grad(few_values, few, weights)
    assert (many_slope - few_slope).abs().max() < 2000 * tolerance


def test_derivatives_of_pieces(monkeypatch):
    monkeypatch.setattr(chebyshev, "_SORTED_POINTS", 0)
    series = fit_chebyshev(curves, -1, 3, 1e-13)
    x = torch.tensor([2.2, -0.9, 0.3, 0.31, -1.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: series(0.99 * x), (x,))
    assert torch.autograd.gradgradcheck(lambda x: series(0.99 * x), (x,))


@pytest.mark.parametrize("count", [0, 1, 7, 280])
def test_any_number_of_points(count):
    assert fit_chebyshev(curves, -1, 3, 1e-8)(POINTS[:count]).shape == (count, 4)


@pytest.mark.parametrize("power", [0, 1, 2, 3])
def test_polynomials_are_exact(power):
    series = fit_chebyshev(lambda x: x[:, None] ** power, 0, 5, 1e-10)
    x = torch.linspace(0, 5, 50, dtype=torch.float64)
    assert (series(x)[:, 0] - x**power).abs().max() < 1e-12 * 5**power


def test_what_is_not_smooth_is_refused():
    with pytest.raises(ValueError, match=r"not resolved to 1e-10 .* larger smearing"):
        fit_chebyshev(lambda x: np.abs(x[:, None] - 0.3), 0, 1, 1e-10)


def test_coefficients_with_a_history():
    """Values and their derivatives in points and coefficients, mixed ones included."""
    plain = fit_chebyshev(curves, -1, 3, 1e-6).coefficients
    x = torch.tensor([2.2, -0.9, 0.3], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([1.3, 0.4], dtype=torch.float64, requires_grad=True)

    def function(x, scale):
        coefficients = plain[:9] * scale[0] + plain[:9].flip(1) * scale[1] ** 2
        return ChebyshevSeries(coefficients, -1, 3)(x)

    unscaled = ChebyshevSeries(plain[:9], -1, 3)(x)
    expected = 1.3 * unscaled + 0.16 * unscaled.flip(1)
    torch.testing.assert_close(function(x, scale), expected)
    assert torch.autograd.gradcheck(function, (x, scale))
    assert torch.autograd.gradgradcheck(function, (x, scale))
    assert torch.autograd.gradgradcheck(function, (x.detach(), scale))
