"""Coulomb sums over layers against sums over images in space, and finite differences."""

import numpy as np
import pytest

import lattice_sums
from multilode_papers.makers.gaussian_charges import isolated
from multilode_papers.makers.layer_sums import layer_sum

CELL = np.array([[3.1, 0.4], [-0.8, 2.7]])
PERIODS = np.concatenate([CELL, np.zeros((2, 1))], axis=1)
SPREAD = 0.6
SITES = np.array([[0.1, 0.2, 0.0], [0.9, 1.4, 0.5], [1.8, 0.3, -1.1], [2.2, 2.0, 0.5]])
TARGETS = np.array([[0.3, 0.1, 0.2], [1.1, 0.6, 1.9], [-0.4, 2.2, -7.0]])


def test_images():
    """Each charge by itself: both ways take the same finite part of the diverging sum."""
    sums = layer_sum(TARGETS, SITES, CELL, SPREAD)[0]
    for k, site in enumerate(SITES):
        expected = lattice_sums.potential(TARGETS, site[None], PERIODS, SPREAD, 1.0)
        np.testing.assert_allclose(sums[:, k], expected, rtol=1e-7, atol=1e-7)


def test_sheet_far_away():
    """Far away nothing is left of the lattice but a charged sheet."""
    high = np.array([[0.3, 0.2, 40.0]])
    value, slope = layer_sum(high, SITES[:1], CELL, SPREAD, order=1)
    field = 2 * np.pi / abs(np.linalg.det(CELL))
    assert value[0, 0] == pytest.approx(-40 * field, rel=1e-12)
    np.testing.assert_allclose(slope[0, 0], [0, 0, -field], atol=1e-12)


@pytest.mark.parametrize("axis", range(3))
def test_derivatives(axis):
    step = 1e-4 * np.eye(3)[axis]
    ends = [layer_sum(TARGETS + s * step, SITES, CELL, SPREAD, order=1) for s in (1, -1)]
    _, slope, second = layer_sum(TARGETS, SITES, CELL, SPREAD, order=2)
    differences = [(up - down) / 2e-4 for up, down in zip(*ends, strict=True)]
    np.testing.assert_allclose(slope[..., axis], differences[0], atol=1e-6)
    np.testing.assert_allclose(second[..., axis, :], differences[1], atol=1e-6)


def test_wide_cell_is_a_single_charge():
    """What is left are the fields of the neighbours; on a square lattice 1 / R³ sums to 9.0336."""
    points = np.array([[0.0, 0, 0], [0.0002, 0, 0], [0.3, 0.4, -0.2], [0.7, -0.4, 0.5]])
    sums = layer_sum(points, np.zeros((1, 3)), 40.0 * np.eye(2), 1.3, order=2)
    second = sums[2][:, 0] - isolated(points, 1.3)[2]
    expected = np.diag([0.5, 0.5, -1.0]) * 9.0336 / 40**3
    np.testing.assert_allclose(second, np.broadcast_to(expected, second.shape), atol=1e-6)


def test_isolated_derivatives():
    points = np.random.default_rng(2).normal(size=(5, 3))
    points = np.concatenate([points, np.zeros((1, 3))])
    _, slope, second = isolated(points, SPREAD)
    for axis in range(3):
        step = 1e-4 * np.eye(3)[axis]
        up, down = isolated(points + step, SPREAD), isolated(points - step, SPREAD)
        np.testing.assert_allclose(slope[:, axis], (up[0] - down[0]) / 2e-4, atol=1e-7)
        np.testing.assert_allclose(second[:, axis], (up[1] - down[1]) / 2e-4, atol=2e-6)
