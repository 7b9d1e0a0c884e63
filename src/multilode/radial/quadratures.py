"""Integrals of radial functions with Bessel functions and with fields, by quadrature."""

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import roots_legendre, spherical_jn

from multilode.fields import AbstractField
from multilode.fields.field import REACH
from multilode.numerics.special import number
from multilode.radial.orthonormal import RadialFunctions

_GONE = 16.0  # widths; exp(-128) is nothing beside the tail of any exponent
_FAR_RATIO = 0.6  # the series in x / r converges fast below
_LATE_REACH = 12.0  # the same for a charge whose screening length is half of its smearing


def bessel_integrals(
    functions: RadialFunctions, k: Float[np.ndarray, " wave"]
) -> Float[np.ndarray, "wave channel"]:
    """I_nl at wave numbers k (1/Å); channels are [l, n]. Source: theory#radial-transform."""
    measure = functions.weights * functions.r**2
    columns = [
        spherical_jn(l, k[:, None] * functions.r) @ (functions.values[l] * measure).T
        for l in range(functions.max_angular + 1)
    ]
    return np.concatenate(columns, axis=1)


def overlap_integrals(
    field: AbstractField, functions: RadialFunctions, r: Float[np.ndarray, " point"]
) -> Float[np.ndarray, "point channel"]:
    """F_nl(r) = 2 pi int x^2 R_nl(x) int P_l(c) v(|x - r|) dc dx, r in Å; channels are [l, n].

    Source: theory#pair-integral.
    """
    angular = _legendre_moments(field, functions.r, r, functions.max_angular)
    measure = 2 * np.pi * functions.weights * functions.r**2
    columns = [
        angular[l] @ (functions.values[l] * measure).T for l in range(functions.max_angular + 1)
    ]
    return np.concatenate(columns, axis=1)


def _legendre_moments(
    field: AbstractField, x: np.ndarray, r: np.ndarray, max_angular: int
) -> Float[np.ndarray, "l r x"]:
    """Integral of P_l(c) v(|x - r|) over c: a series where the smearing is out of reach."""
    x, r = np.broadcast_arrays(x[None, :], r[:, None])
    larger, smaller = np.maximum(x, r), np.minimum(x, r)
    ratio = smaller / larger
    far = larger * (1 - ratio) > _border(field)
    if math.isinf(field.widest):
        far = far & (ratio < _FAR_RATIO)
    moments = np.zeros((max_angular + 1, *x.shape))
    if far.any():
        moments[:, far] = field.far_moments(smaller[far], larger[far], max_angular)
    near = np.flatnonzero(~far)
    # of Gaussians that are narrower than a part of the distance nothing is left there
    apart = np.abs(x.flat[near] - r.flat[near])
    narrowest = np.maximum(number(field.smearing), apart / _GONE)
    arcs = np.sqrt(x.flat[near] * r.flat[near]) / narrowest
    order = np.argsort(arcs)
    flat = moments.reshape(max_angular + 1, -1)
    for block in np.array_split(order, 32 + len(near) // 20_000):
        if len(block):
            a, b = x.flat[near[block]], r.flat[near[block]]
            flat[:, near[block]] = _near_moments(field, a, b, float(arcs[block[-1]]), max_angular)
    return moments


def _border(field: AbstractField) -> float:
    """Distance beyond which no sharp Gaussian counts; farther where a tail sets in later."""
    no_power = field.tail is None and math.isinf(field.widest)
    return (_LATE_REACH if no_power else REACH) * field.core


def _near_moments(
    field: AbstractField, x: np.ndarray, r: np.ndarray, arc: float, max_angular: int
) -> Float[np.ndarray, "l point"]:
    """By quadrature: nodes are even in the angle, about three per width of what is seen there.

    Args:
        arc: length of the longest arc, in these widths.
    """
    count = 20 + max_angular // 2 + math.ceil(3.5 * arc)
    nodes, projector = _legendre_rule(count, max_angular)
    square = (x - r)[:, None] ** 2 + 2 * (x * r)[:, None] * (1 - nodes)
    profile = field.profile(torch.from_numpy(np.sqrt(square))).numpy()
    return (profile @ projector).T


@lru_cache(maxsize=512)
def _legendre_rule(count: int, max_angular: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes on [-1, 1], and weights times P_l at them, [node, l]; many tables share them."""
    nodes, weights = roots_legendre(count)
    return nodes, np.polynomial.legendre.legvander(nodes, max_angular) * weights[:, None]
