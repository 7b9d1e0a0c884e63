"""Integrals of radial functions with Bessel functions and with fields, by quadrature."""

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import roots_legendre, spherical_jn

from multilode.fields.field import AbstractField
from multilode.radial.bases import RadialFunctions

REACH = 9.0  # widths beyond which a Gaussian is below 1e-17
_FAR_RATIO = 0.6  # the series in x / r converges fast below


def bessel_integrals(functions: RadialFunctions, k: np.ndarray) -> np.ndarray:
    """I_nl at wave numbers k: [k, l n]."""
    measure = functions.weights * functions.r**2
    columns = [
        spherical_jn(l, k[:, None] * functions.r) @ (functions.values[l] * measure).T
        for l in range(functions.max_angular + 1)
    ]
    return np.concatenate(columns, axis=1)


def overlap_integrals(
    field: AbstractField, functions: RadialFunctions, r: np.ndarray
) -> np.ndarray:
    """F_nl(r) = 2 pi int x^2 R_nl(x) int P_l(c) v(|x - r|) dc dx: [r, l n]."""
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
    larger, ratio = np.maximum(x, r), np.minimum(x, r) / np.maximum(x, r)
    far = (larger * (1 - ratio) > REACH * field.width) & (ratio < _FAR_RATIO)
    if math.isinf(field.decay):
        far = larger * (1 - ratio) > REACH * field.width
    moments = np.zeros((max_angular + 1, *x.shape))
    if far.any():
        tail = larger[far] ** -field.decay if math.isfinite(field.decay) else 0.0
        moments[:, far] = field.far_moments(ratio[far], max_angular) * tail
    near = np.flatnonzero(~far)
    arcs = np.sqrt(x.flat[near] * r.flat[near])
    order = np.argsort(arcs)
    flat = moments.reshape(max_angular + 1, -1)
    for block in np.array_split(order, 32 + len(near) // 20_000):
        if len(block):
            a, b = x.flat[near[block]], r.flat[near[block]]
            flat[:, near[block]] = _near_moments(field, a, b, arcs[block[-1]], max_angular)
    return moments


def _near_moments(
    field: AbstractField, x: np.ndarray, r: np.ndarray, arc: float, max_angular: int
) -> Float[np.ndarray, "l point"]:
    """By quadrature: nodes are even in the angle, about three per smearing along the arc."""
    count = 40 + math.ceil(3.5 * arc / field.smearing)
    nodes, weights = roots_legendre(count)
    projector = np.polynomial.legendre.legvander(nodes, max_angular) * weights[:, None]
    square = (x - r)[:, None] ** 2 + 2 * (x * r)[:, None] * (1 - nodes)
    profile = field.profile(torch.from_numpy(np.sqrt(square))).numpy()
    return (profile @ projector).T
