"""Smooth functions of one variable as Chebyshev series: tabulated once, evaluated as a product.

A series needs no search for an interval and no gather, has derivatives of every order that are
exactly those of the interpolant, and its last coefficients measure its error.

On a CPU many points are first sorted by pieces of the interval, on each of which a polynomial of a
third of the degree is as accurate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.polynomial import chebyshev
from torch import Tensor

# doubling would often compute twice of what is kept
_DEGREES = (64, 96, 144, 216, 324, 486, 729, 1094, 1641, 2461, 4096)
_TERMS_PER_PIECE = 6  # measured: fewer make many small products, more waste arithmetic
_MOST_PIECES = 100
_PIECE_NODES = 40  # twice of what a piece needs
_SORTED_POINTS = 256  # below, sorting costs more than it saves


@final
@dataclass(frozen=True, eq=False)
class _Pieces:
    """Chebyshev series on equal parts of [-1, 1], each in its own variable on [-1, 1]."""

    series: tuple[Float[Tensor, "_ channel"], ...]

    @cached_property
    def derivative(self) -> "_Pieces":
        """The same for the derivative, with the history of the coefficients."""
        factor = len(self.series)  # the variable of a piece runs that much faster
        matrices = [_derivative_matrix(len(c)).to(c) for c in self.series]
        return _Pieces(tuple(factor * (m @ c) for m, c in zip(matrices, self.series, strict=True)))

    def to(self, like: Tensor) -> "_Pieces":
        """With the type and on the device of another tensor."""
        first = self.series[0]
        if first.dtype == like.dtype and first.device == like.device:
            return self
        return _Pieces(tuple(c.to(dtype=like.dtype, device=like.device) for c in self.series))


@final
@dataclass(frozen=True)
class ChebyshevSeries:
    """A vector-valued function on [lower, upper].

    Args:
        coefficients: of T_k, one column per channel; they may have a history, in which values are
            then differentiable too.
        lower: left end of the interval.
        upper: right end of the interval.
        pieces: the same function as shorter series on equal parts of the interval; the whole by
            default.
    """

    coefficients: Float[Tensor, "k channel"]
    lower: float
    upper: float
    pieces: tuple[Float[Tensor, "_ channel"], ...] = ()

    def __call__(self, x: Float[Tensor, " point"]) -> Float[Tensor, "point channel"]:
        """Values at x, differentiable to any order; valid inside of the interval only."""
        scale = 2 / (self.upper - self.lower)
        t = (x - self.lower) * scale - 1
        # elsewhere than on a CPU, sizes of pieces would have to be waited for
        split = self.pieces and len(x) >= _SORTED_POINTS and x.device.type == "cpu"
        return _evaluate(t, (self._short if split else self._whole).to(t))

    @cached_property
    def _short(self) -> _Pieces:
        return _Pieces(self.pieces)

    @cached_property
    def _whole(self) -> _Pieces:
        return _Pieces((self.coefficients,))


def fit_chebyshev(
    function: Callable[[np.ndarray], np.ndarray], lower: float, upper: float, tolerance: float
) -> ChebyshevSeries:
    """Interpolate to a relative accuracy, adding terms until the coefficients have died away.

    Args:
        function: maps points [point] to values [point, channel], float64.
        lower: left end of the interval.
        upper: right end of the interval.
        tolerance: largest neglected coefficient relative to the largest value of its channel.

    Raises:
        ValueError: if 4096 terms do not reach the tolerance.
    """
    for degree in _DEGREES:
        nodes = np.cos(np.pi * (np.arange(degree) + 0.5) / degree)
        values = function((nodes + 1) * (upper - lower) / 2 + lower)
        coefficients = chebyshev.chebvander(nodes, degree - 1).T @ values * (2 / degree)
        coefficients[0] /= 2
        scale = np.abs(values).max(axis=0)
        size = (np.abs(coefficients) / np.where(scale > 0, scale, 1)).max(axis=1)
        if size[-degree // 8 :].max() < tolerance:
            kept = int(np.nonzero(size >= tolerance / 3)[0].max(initial=0)) + 1
            coefficients = coefficients[:kept].copy()
            pieces = _split(coefficients, tolerance / 10, scale)
            return ChebyshevSeries(torch.from_numpy(coefficients), lower, upper, pieces)
    raise ValueError(
        f"a radial integral is not resolved to {tolerance:.0e} by {_DEGREES[-1]} Chebyshev terms; "
        "use a larger smearing or a larger tolerance"
    )


def _split(
    coefficients: np.ndarray, tolerance: float, scale: np.ndarray
) -> tuple[Float[Tensor, "_ channel"], ...]:
    """Interpolate a series on parts of its interval, cut off where the tolerance is reached."""
    count = len(coefficients) // _TERMS_PER_PIECE
    if not 2 <= count <= _MOST_PIECES:
        return ()
    # extended precision: rounding noise would be amplified in high derivatives
    nodes = np.cos(np.longdouble(np.pi) * (np.arange(_PIECE_NODES) + 0.5) / _PIECE_NODES)
    transform = chebyshev.chebvander(nodes, _PIECE_NODES - 1).T * (2 / np.longdouble(_PIECE_NODES))
    transform[0] /= 2
    smallest = max(tolerance, 1e-15) * np.where(scale > 0, scale, 1)
    pieces = []
    for i in range(count):
        points = (nodes + 1 + 2 * i) / count - 1
        part = transform @ chebyshev.chebval(points, coefficients.astype(np.longdouble)).T
        needed = (np.abs(part) >= smallest).any(axis=1)
        kept = int(np.nonzero(needed)[0].max(initial=0)) + 1
        pieces.append(torch.from_numpy(part[:kept].astype(np.float64)))
    return tuple(pieces)


def _evaluate(t: Float[Tensor, " point"], pieces: _Pieces) -> Float[Tensor, "point channel"]:
    """Sum_k c_k T_k(t), connected to t and, if they have a history, to the coefficients."""
    trained = pieces.series if any(c.requires_grad for c in pieces.series) else ()
    return _Evaluate.apply(t, pieces, *trained)


class _Evaluate(torch.autograd.Function):
    """Sum_k c_k T_k(t): its derivatives in t and in c are such sums, so every order is there."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, pieces: _Pieces, *trained: Tensor) -> Tensor:
        s, order, stops = _sorted_by_piece(t, len(pieces.series))
        polynomials = _polynomials(s, max(len(c) for c in pieces.series))
        ctx.save_for_backward(t, polynomials, order, *trained)
        ctx.pieces, ctx.stops = pieces, stops
        values = t.new_empty((len(t), pieces.series[0].shape[1]))
        for c, (first, stop) in zip(pieces.series, pairwise([0, *stops]), strict=True):
            torch.mm(polynomials[: len(c), first:stop].T, c.detach(), out=values[first:stop])
        return values if order is None else values.index_select(0, _inverse(order))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        t, polynomials, order, *trained = ctx.saved_tensors
        in_t = in_c = None
        connected = torch.is_grad_enabled()  # a second derivative is wanted
        if ctx.needs_input_grad[0] and connected:
            slopes = (_Pieces(tuple(trained)) if trained else ctx.pieces).derivative
            in_t = (grad * _evaluate(t, slopes)).sum(dim=1)
        elif ctx.needs_input_grad[0]:
            in_t = _slopes(ctx.pieces.derivative, polynomials, grad, order, ctx.stops)
        if trained:  # one series, which no piece replaces
            unit = torch.eye(len(trained[0]), dtype=t.dtype, device=t.device)
            table = _evaluate(t, _Pieces((unit,))).T if connected else polynomials
            in_c = table @ grad
        return in_t, None, *([in_c] if trained else [])


def _slopes(
    derivative: _Pieces,
    polynomials: Float[Tensor, "k point"],
    grad: Float[Tensor, "point channel"],
    order: Int[Tensor, " point"] | None,
    stops: list[int],
) -> Float[Tensor, " point"]:
    """Derivatives in t, summed over the channels."""
    if order is not None:
        grad = grad.index_select(0, order)
    # contract the channels first: fewer polynomials than channels are left to multiply
    weights = torch.zeros_like(polynomials)
    for c, (first, stop) in zip(derivative.series, pairwise([0, *stops]), strict=True):
        torch.mm(c.detach(), grad[first:stop].T, out=weights[: len(c), first:stop])
    result = weights.mul_(polynomials).sum(dim=0)
    return result if order is None else result.index_select(0, _inverse(order))


def _sorted_by_piece(
    t: Float[Tensor, " point"], count: int
) -> tuple[Float[Tensor, " point"], Int[Tensor, " point"] | None, list[int]]:
    """Variables within the pieces, in the order of the pieces; that order; where each one ends."""
    if count == 1:
        return t, None, [len(t)]
    steps = (t + 1) * (count / 2)
    piece = steps.to(torch.int64).clamp_(0, count - 1)
    piece, order = torch.sort(piece, stable=True)
    stops = torch.bincount(piece, minlength=count).cumsum(0).tolist()
    return 2 * (steps.index_select(0, order) - piece) - 1, order, stops


def _inverse(order: Int[Tensor, " point"]) -> Int[Tensor, " point"]:
    places = torch.arange(len(order), device=order.device)
    return torch.empty_like(order).scatter_(0, order, places)


def _polynomials(t: Tensor, count: int) -> Float[Tensor, "k point"]:
    """T_0 ... T_(count-1), doubling the known ones: T_(m+j) = 2 T_m T_j - T_(m-j)."""
    table = t.new_empty((count, len(t)))
    table[0] = 1
    if count > 1:
        table[1] = t
    m = 1
    while m + 1 < count:
        top = min(2 * m, count - 1)
        rows = table[1 : top - m + 1]
        block = table[m + 1 : top + 1]
        torch.mul(rows, 2 * table[m], out=block)
        block -= table[2 * m - top : m].flip(0)
        m = top
    return table


@cache
@torch.inference_mode(mode=False)
def _derivative_matrix(count: int) -> Float[Tensor, "k k"]:
    """Coefficients of the derivative from those of the function."""
    matrix = np.zeros((count, count))
    for k in range(count):
        unit = np.zeros(count)
        unit[k] = 1
        slope = chebyshev.chebder(unit) if count > 1 else np.zeros(1)
        matrix[: len(slope), k] = slope
    return torch.from_numpy(matrix)
