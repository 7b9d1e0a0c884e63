"""The window of a mesh: its derivatives, its transform, and the error it says it makes."""

import numpy as np
import pytest
import torch
from scipy.special import roots_legendre

from multilode.expansion.mesh.window import Window

WINDOWS = [Window(5, 2, 6.0), Window(8, 4, 10.5), Window(12, 4, 16.0), Window(15, 8, 19.0)]
every_window = pytest.mark.parametrize("window", WINDOWS, ids=lambda w: f"{w.width}-{w.smoothing}")


def sampled(window, count=60, order=0):
    """Points x = place - node, Gauss weights and values of the window, over all of its support."""
    nodes, weights = roots_legendre(count)
    # between two nodes, where the same nodes are touched and the window has no break
    start = 0.0 if window.width % 2 == 0 else 0.5
    place = torch.from_numpy(start + 0.5 * (nodes + 1))
    touched = window.first_node(place)[:, None] + torch.arange(window.width)
    values = window.weights(place, order)[:, order]
    x = place[:, None] - touched
    return x.numpy(), np.repeat(0.5 * weights[:, None], window.width, axis=1), values.numpy()


@every_window
def test_nodes_within_half_a_width_are_touched(window):
    place = torch.tensor([0.0, 0.3, 0.5, 7.99, -3.2], dtype=torch.float64)
    first = window.first_node(place)
    distance = (place[:, None] - first[:, None] - torch.arange(window.width)).abs()
    assert (distance <= 0.5 * window.width).all()
    assert (first - 1 <= place - 0.5 * window.width).all()  # the one before lies outside


@every_window
def test_transform_by_quadrature(window):
    x, measure, values = sampled(window)
    for kappa in (0.0, 0.3, 1.7, 3.1, 6.0, 7.5):
        expected = (measure * values * np.cos(kappa * x)).sum()
        found = window.fourier(np.array([kappa]))[0]
        assert found == pytest.approx(expected, abs=1e-12 * (measure * values).sum())


@every_window
def test_the_window_is_even_and_positive(window):
    x, _, values = sampled(window)
    order = np.argsort(x, axis=None)
    flat = values.ravel()[order]
    np.testing.assert_allclose(flat, flat[::-1], rtol=0, atol=1e-13 * flat.max())
    assert flat.min() > -1e-13 * flat.max()
    assert flat[0] < 0.2 * flat.max()


@every_window
def test_derivatives_by_finite_differences(window):
    place = torch.tensor([0.13, 0.31, 0.77, 2.6], dtype=torch.float64)
    step, order = 1e-3, 3
    derivatives = window.weights(place, order)
    shifted = {n: window.weights(place + n * step, order) for n in (-2, -1, 1, 2)}
    slope = (shifted[-2] - 8 * shifted[-1] + 8 * shifted[1] - shifted[2]) / (12 * step)
    for a in range(order):
        scale = derivatives[:, a + 1].abs().max()
        error = (slope[:, a] - derivatives[:, a + 1]).abs().max()
        assert error < 1e-6 * scale


@every_window
def test_derivatives_sum_to_zero(window):
    """A constant has no slope: sums over nodes are those of the spline, to its order."""
    derivatives = window.weights(torch.linspace(0, 1, 11, dtype=torch.float64), window.smoothing)
    sums, size = derivatives.sum(dim=2), derivatives.abs().sum(dim=2)
    for a in range(1, window.smoothing):
        assert (sums[:, a] / size[:, a]).abs().max() < 1e-12


@every_window
def test_zeros_of_the_spline(window):
    for lattice in (1, 2, 3):
        near = window.fourier(2 * np.pi * lattice + np.array([1e-2, 1e-3, 0.0]))
        assert abs(near[2]) < 1e-15
        assert abs(near[1]) < 3 * abs(near[0]) * 0.1**window.smoothing + 1e-18


@every_window
def test_the_error_of_a_plane_wave_is_the_one_that_is_seen(window):
    """Interpolate exp(i kappa x) from the nodes, at places that the estimate does not look at."""
    place = torch.linspace(0.02, 0.98, 23, dtype=torch.float64)
    touched = window.first_node(place)[:, None] + torch.arange(window.width)
    order = min(4, window.smoothing)
    weights = window.weights(place, order).numpy()
    kappas = np.array([0.05, 0.4, 1.0, 2.0])
    estimates = window.interpolation_error(kappas, order)
    for j, kappa in enumerate(kappas):
        wave = np.exp(1j * kappa * touched.numpy()) / window.fourier(kappas[j : j + 1])
        for a in range(order + 1):
            exact = (1j * kappa) ** a * np.exp(1j * kappa * place.numpy())
            seen = np.abs((weights[:, a] * wave).sum(axis=1) - exact).max()
            assert seen < 2 * estimates[a, j] + 1e-10
            assert estimates[a, j] < 2 * seen + 1e-10


def test_wider_windows_are_more_accurate():
    kappa = np.array([1.5])
    errors = [
        Window(w, 2, 1.25 * w).interpolation_error(kappa, 2)[:, 0].max() for w in (5, 8, 11, 14)
    ]
    assert (np.diff(np.log(errors)) < -1.5).all()
