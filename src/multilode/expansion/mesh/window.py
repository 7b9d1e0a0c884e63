"""Windows that carry functions between atoms and the nodes of a mesh, with their derivatives.

A window is a Kaiser-Bessel function smoothed by a B-spline. The first part makes aliases small at
all wave numbers; the spline of order m has zeros of order m at the reciprocal lattice of the mesh,
so that a long wave does not leak into derivatives up to order m, where it would swamp them.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from numpy.polynomial import chebyshev
from scipy.interpolate import BSpline
from scipy.special import ive
from torch import Tensor

from multilode.numerics.chebyshev import ChebyshevSeries

_EXTRA_DEGREE = 14  # of the polynomials on each interval, above the width of the window


@final
@dataclass(frozen=True)
class Window:
    """Compact function of the distance from a node, in units of the node spacing.

    Args:
        width: number of nodes that an atom touches along each axis.
        smoothing: order m of the B-spline.
        shape: parameter of the Kaiser-Bessel function; larger is smoother and wider in k.
    """

    width: int
    smoothing: int
    shape: float

    def first_node(self, place: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The lowest node that an atom at `place` touches."""
        return torch.floor(place.detach() - 0.5 * self.width) + 1

    def weights(self, place: Float[Tensor, "*shape"], order: int) -> Float[Tensor, "*shape o node"]:
        """Derivatives 0 ... order in `place` of the weights of the nodes that an atom touches."""
        t = 2 * (self.first_node(place) - (place - 0.5 * self.width)) - 1
        values = ChebyshevSeries(_polynomials(self, order), -1, 1)(t.reshape(-1))
        return values.view(*place.shape, order + 1, self.width)

    def fourier(self, kappa: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Fourier transform at wave numbers in units of the inverse node spacing."""
        width = self.width - self.smoothing
        root = np.sqrt((self.shape**2 - (0.5 * width * kappa) ** 2).astype(complex))
        kaiser = np.real(np.where(root == 0, 1.0, np.sinh(root) / np.where(root == 0, 1.0, root)))
        spline = np.sinc(kappa / (2 * np.pi)) ** self.smoothing
        return width * math.exp(-self.shape) * kaiser * spline

    def interpolation_error(
        self, kappa: Float[np.ndarray, " k"], order: int
    ) -> Float[np.ndarray, "order k"]:
        """Largest error of the derivatives 0 ... order of a plane wave, interpolated on a mesh."""
        t = np.linspace(-0.98, 0.0, 4)  # the other half mirrors it
        waves = np.exp(-1j * kappa[:, None, None] * self._places(t))
        scale = self.fourier(kappa)[:, None]
        errors = []
        for a in range(order + 1):
            found = (waves * self._sample(t, a)).sum(axis=1) / scale
            errors.append(np.abs(found - (1j * kappa[:, None]) ** a).max(axis=1))
        return np.array(errors)

    def _places(self, t: np.ndarray) -> Float[np.ndarray, "node t"]:
        """Positions of an atom relative to the nodes it touches, for t in [-1, 1]."""
        return 0.5 * (1 - t) + 0.5 * self.width - 1 - np.arange(self.width)[:, None]

    def _sample(self, t: np.ndarray, order: int) -> Float[np.ndarray, "node t"]:
        """Derivative of the given order, exact to rounding. Differences undo the spline's orders.

        The derivative of a B-spline is a difference of a lower B-spline, so a derivative above the
        order of the spline is a difference of derivatives of the Kaiser-Bessel function.
        """
        steps = min(order, self.smoothing)
        places = self._places(t)
        total = np.zeros_like(places)
        for i in range(steps + 1):
            shifted = places + 0.5 * steps - i
            total += (-1) ** i * math.comb(steps, i) * self._smoothed(shifted, order)
        return total

    def _smoothed(self, x: np.ndarray, order: int) -> np.ndarray:
        left = self.smoothing - order
        if left <= 0:
            return self._kaiser_bessel(x, -left)
        half = 0.5 * (self.width - self.smoothing)
        knots = np.arange(left + 1) - 0.5 * left
        spline = BSpline.basis_element(knots, extrapolate=False)
        breaks = [np.broadcast_to(knots, (*x.shape, left + 1)), (x - half)[..., None]]
        breaks = np.concatenate([*breaks, (x + half)[..., None]], axis=-1)
        breaks = np.sort(np.clip(breaks, knots[0], knots[-1]), axis=-1)
        low, high = breaks[..., :-1, None], breaks[..., 1:, None]
        nodes, weights = np.polynomial.legendre.leggauss(self.width + 12)
        y = 0.5 * (low + high) + 0.5 * (high - low) * nodes
        values = np.nan_to_num(spline(y)) * self._kaiser_bessel(x[..., None, None] - y, 0)
        return (0.5 * (high - low) * weights * values).sum(axis=(-1, -2))

    def _kaiser_bessel(self, x: np.ndarray, order: int) -> np.ndarray:
        """Derivative of I_0(b sqrt(1 - y^2)) e^-b in x, y = 2 x / width, by the chain rule."""
        width = self.width - self.smoothing
        y = 2 * x / width
        root = self.shape * np.sqrt(np.clip(1 - y * y, 0, None))
        total = np.zeros_like(y)
        for j in range(order // 2 + 1):
            n = order - j
            count = math.factorial(order) / (math.factorial(j) * math.factorial(order - 2 * j))
            small = root < 1e-3
            safe = np.where(small, 1.0, root)
            bessel = ive(n, safe) * np.exp(safe - self.shape) / safe**n
            series = (1 + root**2 / (4 * (n + 1))) * math.exp(-self.shape)
            bessel = np.where(small, series / (2.0**n * math.factorial(n)), bessel)
            power = (-2 * y) ** (order - 2 * j) * (-1.0) ** j
            total += count * power * (0.5 * self.shape**2) ** n * bessel
        inside = np.abs(y) < 1 + 1e-12
        return np.where(inside, total * (2 / width) ** order, 0.0)


@lru_cache(maxsize=128)
@torch.inference_mode(mode=False)
def _polynomials(window: Window, order: int) -> Float[Tensor, "degree o_node"]:
    """Chebyshev coefficients of all derivatives on the interval between two nodes."""
    degree = window.width + _EXTRA_DEGREE
    t = np.cos(np.pi * (np.arange(degree) + 0.5) / degree)
    values = np.concatenate([window._sample(t, a) for a in range(order + 1)])
    table = chebyshev.chebvander(t, degree - 1).T @ values.T * (2 / degree)
    table[0] /= 2
    return torch.from_numpy(table)
