"""Derivatives of mesh functions at atoms, and their transpose."""

import itertools
import math

import numpy as np
import pytest
import torch

from multilode.expansion.mesh.interpolation import Stencil, interpolate, monomials, spread
from multilode.expansion.mesh.window import Window
from multilode.numerics.limits import limits

SHAPE = (9, 10, 12)
WIDE = Window(8, 3, 10.5)
NARROW = Window(5, 2, 6.0)


def stencil_for(places, window, shape=SHAPE):
    """As the mesh makes it, for one mesh."""
    first = window.first_node(places).long()
    touched = first[:, :, None] + torch.arange(window.width)
    x, y = (touched[:, axis] % shape[axis] for axis in range(2))
    lines = shape[0] * shape[1]
    z = first[:, 2] % shape[2]
    return Stencil(window, places.detach(), x * shape[1], y, z, lines, shape[2])


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def places_of(count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, generator=generator, dtype=torch.float64) * torch.tensor(SHAPE)


def test_monomials_are_all_exponents_in_the_order_of_their_degree():
    for order in range(6):
        found = monomials(order)
        cube = itertools.product(range(order + 1), repeat=3)
        assert set(found) == {m for m in cube if sum(m) <= order}
        assert len(found) == math.comb(order + 3, 3)
        assert found == monomials(order + 1)[: len(found)]


@pytest.mark.parametrize("wave", [(0, 0, 0), (1, 0, 0), (0, -1, 2), (2, 1, -1)])
def test_derivatives_of_plane_waves(wave):
    """Exact ones, and the error that the window announces."""
    window, order = Window(12, 4, 16.0), 3
    kappa = 2 * np.pi * np.array(wave) / np.array(SHAPE)
    nodes = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), -1).reshape(-1, 3)
    scale = np.prod(window.fourier(kappa))
    mesh = np.stack([np.cos(nodes @ kappa), np.sin(nodes @ kappa)], axis=1) / scale
    places = places_of(20)
    stencil = stencil_for(places, window)
    lines = torch.from_numpy(mesh).view(-1, SHAPE[2], 2)
    found = interpolate(lines, places, stencil, order).numpy()
    phase = np.exp(1j * places.numpy() @ kappa)
    errors = window.interpolation_error(np.abs(kappa), order)
    for place, exponents in enumerate(monomials(order)):
        exact = np.prod((1j * kappa) ** np.array(exponents)) * phase
        seen = found[:, place, 0] + 1j * found[:, place, 1]
        sizes = np.abs(kappa) ** exponents
        wrong = [errors[e, axis] for axis, e in enumerate(exponents)]
        grown = np.prod(sizes + wrong) - np.prod(sizes)
        assert np.abs(seen - exact).max() < 2 * grown + 1e-13


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", [0, 1, 4])
def test_spreading_is_the_transpose(order, channels):
    places = places_of(30)
    stencil = stencil_for(places, WIDE)
    multipoles = random(30, len(monomials(order)), channels)
    mesh = random(math.prod(SHAPE[:2]), SHAPE[2], channels, seed=2)
    left = (spread(multipoles, places, stencil, order) * mesh).sum()
    right = (multipoles * interpolate(mesh, places, stencil, order)).sum()
    torch.testing.assert_close(left, right, rtol=1e-12, atol=0)


def test_unit_charges_keep_their_sum():
    """Of a wave of length zero, up to the transform of the window."""
    places = places_of(7)
    mesh = spread(torch.ones(7, 1, 1, dtype=torch.float64), places, stencil_for(places, WIDE), 0)
    expected = 7 * WIDE.fourier(np.zeros(1))[0] ** 3
    assert float(mesh.sum()) == pytest.approx(expected, rel=1e-7)


def test_an_atom_touches_the_nodes_around_it_across_the_border():
    places = torch.tensor([[0.1, 9.9, 0.0]], dtype=torch.float64)
    stencil = stencil_for(places, NARROW)
    mesh = spread(torch.ones(1, 1, 1, dtype=torch.float64), places, stencil, 0).view(SHAPE)
    apart = [
        (torch.arange(n) - u + n / 2) % n - n / 2 for n, u in zip(SHAPE, places[0], strict=True)
    ]
    near = [a.abs() < 0.5 * NARROW.width for a in apart]
    inside = near[0][:, None, None] & near[1][:, None] & near[2]
    assert (mesh[~inside] == 0).all()
    assert (mesh[inside] > 0).all()


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("which", ["interpolate", "spread"])
def test_derivatives_to_second_order(which, kept):
    shape, order = (5, 6, 5), 1
    places = torch.tensor([[0.3, 2.2, 4.4], [3.3, 5.7, 0.1]], dtype=torch.float64)
    weights = random(4, 2 if which == "interpolate" else math.prod(shape), seed=5)

    def function(values, u):
        stencil = stencil_for(u, NARROW, shape)
        if which == "interpolate":
            return weights @ interpolate(values, u, stencil, order).flatten(start_dim=1).cos()
        return weights @ spread(values, u, stencil, order).flatten(end_dim=1)

    values = (
        random(math.prod(shape[:2]), shape[2], 1)
        if which == "interpolate"
        else random(2, len(monomials(order)), 1)
    )
    arguments = (values.requires_grad_(), places.requires_grad_())
    with limits(kept_bytes=None if kept else 0):
        how = {"eps": 1e-5, "fast_mode": True}  # along random directions
        assert torch.autograd.gradcheck(function, arguments, atol=1e-6, rtol=1e-5, **how)
        assert torch.autograd.gradgradcheck(function, arguments, atol=1e-5, rtol=1e-4, **how)


def test_blocks_of_atoms_change_nothing():
    places = places_of(50)
    stencil = stencil_for(places, WIDE)
    mesh, multipoles = random(90, SHAPE[2], 3), random(50, len(monomials(2)), 3)
    whole = interpolate(mesh, places, stencil, 2), spread(multipoles, places, stencil, 2)
    with limits(block_bytes=20_000):
        parts = interpolate(mesh, places, stencil, 2), spread(multipoles, places, stencil, 2)
    for found, expected in zip(parts, whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_some_of_the_atoms():
    places, mesh = places_of(9), random(90, SHAPE[2], 2)
    stencil, chosen = stencil_for(places, WIDE), torch.tensor([1, 4, 8])
    found = interpolate(mesh, places[chosen], stencil.select(chosen), 1)
    torch.testing.assert_close(found, interpolate(mesh, places, stencil, 1)[chosen])
