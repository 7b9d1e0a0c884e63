"""The check that every radial basis must pass."""

from dataclasses import fields, replace

import numpy as np
import torch
from scipy.special import roots_legendre

from multilode.fields import GaussianDensity
from multilode.radial import AbstractRadialBasis, orthonormalize
from multilode.radial.tables import real_table, reciprocal_table
from multilode.testing.equality import require_equal


def check_radial_basis(basis: AbstractRadialBasis, max_angular: int = 4) -> None:
    """The functions are what tables of radial integrals need, and every setting counts.

    They come out orthonormal, also on a finer grid, vanish beyond the support, are finite at the
    center, and their integrals with a Gaussian agree in both spaces. The basis is a value: equal
    to its copy, with the same hash, by which tables are found.

    Raises:
        AssertionError: if one of this does not hold.
    """
    _check_value(basis, max_angular)
    _check_support(basis, max_angular)
    _check_orthonormal(basis, max_angular)
    _check_two_spaces(basis, max_angular)


def _check_value(basis: AbstractRadialBasis, max_angular: int) -> None:
    """Equal to its copy, and changed by each of its numbers."""
    copy = replace(basis)  # type: ignore[type-var] - a dataclass
    require_equal("a copy", copy, basis)
    require_equal("the hash of a copy", hash(copy), hash(basis))
    r = basis.radius * np.linspace(0.05, 0.95, 7)
    for setting in fields(basis):  # type: ignore[arg-type] - a dataclass
        value = getattr(basis, setting.name)
        if isinstance(value, float):
            other = replace(basis, **{setting.name: 1.1 * value})  # type: ignore[type-var] - a dataclass
            same = [
                np.allclose(basis.primitives(r, l), other.primitives(r, l), rtol=1e-9, atol=0)
                for l in range(max_angular + 1)
            ]
            require_equal(f"{setting.name} changes no function", all(same), expected=False)


def _check_orthonormal(basis: AbstractRadialBasis, max_angular: int) -> None:
    for k_max in (0.0, 30.0):
        resolved = orthonormalize(basis, max_angular, k_max)
        measure = resolved.weights * resolved.r**2
        overlap = np.einsum("lnr,lmr,r->lnm", resolved.values, resolved.values, measure)
        unit = np.broadcast_to(np.eye(resolved.n_radial), overlap.shape)
        np.testing.assert_allclose(overlap, unit, rtol=0, atol=1e-9)
        require_equal("max_angular", resolved.max_angular, max_angular)
        require_equal("n_radial", resolved.n_primitives, basis.n_radial)


def _check_support(basis: AbstractRadialBasis, max_angular: int) -> None:
    beyond = basis.support * np.array([1.0 + 1e-9, 1.5, 4.0])
    beyond = beyond[beyond > basis.support]
    for l in range(max_angular + 1):
        inside = basis.primitives(np.linspace(0, basis.support, 200), l)
        require_equal("the shape of the functions", inside.shape, (basis.n_radial, 200))
        require_equal("finite in the support", bool(np.isfinite(inside).all()), expected=True)
        if basis.support > basis.radius:  # functions that decay instead of ending
            outside = np.abs(basis.primitives(beyond, l)).max(axis=1)
            np.testing.assert_array_less(outside, 1e-15 * np.abs(inside).max(axis=1))
    last = float(basis.quadrature(0.0)[0].max())
    if last > basis.support:
        raise AssertionError(f"the quadrature reaches {last} Å, the support {basis.support} Å")


def _check_two_spaces(basis: AbstractRadialBasis, max_angular: int) -> None:
    """F_n0(0) = (2 / pi) int k^2 v^(k) I_n0(k) dk for a Gaussian that resolves the functions."""
    field = GaussianDensity(max(0.2 * basis.radius, 0.01))
    table = reciprocal_table(field, basis, max_angular, 1e-10)
    nodes, weights = roots_legendre(200)
    k, weights = (torch.from_numpy(0.5 * table.k_max * a) for a in (nodes + 1, weights))
    integral = (2 / torch.pi) * (weights * k**2 * field.fourier(k)) @ table(k)[:, 0]
    found = real_table(field, basis, max_angular, None, 1e-10).origin
    scale = float(found.abs().max())
    torch.testing.assert_close(found, integral, rtol=0, atol=1e-8 * scale)
