"""Products of blocks, coupled to one irrep: two matrix products per pair of blocks, and no more."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.correlations.plan import Selection, Term
from multilode.symmetry.irrep import Irrep

_BLOCK_NUMBERS = 2**18  # of products of one term, 2 MB that stay in cache


def coupled_products(
    terms: tuple[Term, ...],
    left: Mapping[Irrep, Float[Tensor, "center _ _"]],
    right: Mapping[Irrep, Float[Tensor, "center _ _"]],
    degree: int,
    projection: Float[Tensor, "product component"] | None = None,
) -> Float[Tensor, "center m feature"]:
    """sum_m1,m2 <l1 m1; l2 m2 | degree m> A_m1 B_m2 of all terms, side by side.

    The coefficients are applied to one factor, which then is multiplied with the other one as a
    matrix; an array over m1, m2 and the channels of both never exists. With a projection the
    products themselves exist for one term and a few centers at a time only.

    Args:
        terms: factors to multiply, all of one irrep.
        left: blocks of the left factor.
        right: blocks of the right factor.
        degree: of the irrep.
        projection: features as combinations of the products; None for the products themselves.
    """
    first = list(dict.fromkeys(term.left for term in terms))
    second = list(dict.fromkeys(term.right for term in terms))
    places = [(first.index(t.left), len(first) + second.index(t.right)) for t in terms]
    blocks = [left[irrep] for irrep in first] + [right[irrep] for irrep in second]
    return _Products.apply(terms, places, degree, projection, *blocks)


class _Products(torch.autograd.Function):
    """Adjoint that keeps the factors only, and no products."""

    @staticmethod
    def forward(
        ctx: Any,
        terms: tuple[Term, ...],
        places: list[tuple[int, int]],
        degree: int,
        projection: Tensor | None,
        *blocks: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(*blocks)
        ctx.terms, ctx.places, ctx.degree, ctx.projection = terms, places, degree, projection
        size = terms[-1].last if projection is None else projection.shape[1]
        make = blocks[0].new_empty if projection is None else blocks[0].new_zeros
        result = make((len(blocks[0]), 2 * degree + 1, size))
        for here, term, place in _pieces(terms, places, degree, blocks):
            a, b = (blocks[k][here] for k in place)
            values = _multiply(term, a[:, :, term.start : term.stop], b, degree)
            if projection is None and term.selection is not None:
                part = result[here, :, term.first : term.last]
                weights = term.selection.weights.to(values)
                torch.mul(_kept(term.selection, values, degree), weights, out=part)
            elif projection is None:
                result[here, :, term.first : term.last].view_as(values).copy_(values)
            else:
                if term.selection is not None:
                    weights = term.selection.weights.to(values)
                    values = _kept(term.selection, values, degree) * weights
                rows = projection[term.first : term.last].to(values)
                result[here] += values.flatten(start_dim=2) @ rows
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """In operations that can be differentiated again."""
        blocks = ctx.saved_tensors
        adjoints = [torch.zeros_like(b) for b in blocks]
        for here, term, place in _pieces(ctx.terms, ctx.places, ctx.degree, blocks):
            left, right = place
            a = blocks[left][here, :, term.start : term.stop]
            b = blocks[right][here]
            if ctx.projection is None:
                g = grad[here, :, term.first : term.last]
            else:
                g = grad[here] @ ctx.projection[term.first : term.last].to(grad).T
            shape = (a.shape[2], 2 * ctx.degree + 1, b.shape[2])
            if term.selection is None:
                g = g.unflatten(2, shape[::2]).transpose(1, 2)
            else:
                g = (g * term.selection.weights.to(g)).flatten(start_dim=1)
                kept = term.selection.products.to(g.device).expand(len(g), -1)
                g = g.new_zeros((len(g), math.prod(shape))).scatter_(1, kept, g)
                g = g.unflatten(1, shape)
            da, db = _adjoint(term, a, b, g, ctx.degree)
            adjoints[left][here, :, term.start : term.stop] += da
            adjoints[right][here] += db
        return (None, None, None, None, *adjoints)


def _pieces(
    terms: tuple[Term, ...], places: list[tuple[int, int]], degree: int, blocks: tuple[Tensor, ...]
) -> Iterator[tuple[slice, Term, tuple[int, int]]]:
    """Terms in blocks of centers, whose products stay in cache."""
    n_centers = len(blocks[0])
    for term, place in zip(terms, places, strict=True):
        size = (term.stop - term.start) * blocks[place[1]].shape[2] * (2 * degree + 1)
        n_parts = max(1, math.ceil(n_centers / max(1, _BLOCK_NUMBERS // size)))
        step = max(1, math.ceil(n_centers / n_parts))  # parts of equal size
        for first in range(0, n_centers, step):
            yield slice(first, first + step), term, place


def _multiply(
    term: Term, a: Float[Tensor, "center m1 p"], b: Float[Tensor, "center m2 q"], degree: int
) -> Float[Tensor, "center m p q"]:
    n, size = 2 * degree + 1, (a.shape[2], b.shape[2])
    coupled = _coupled(term, a, b, n)
    # [center, (p m), q] or [center, p, (m q)]
    products = torch.bmm(coupled, b) if term.contracts_left else torch.bmm(a.mT, coupled)
    return products.view(len(a), size[0], n, size[1]).transpose(1, 2)


def _kept(
    selection: Selection, values: Float[Tensor, "center m p q"], degree: int
) -> Float[Tensor, "center m feature"]:
    """The products that are kept."""
    flat = values.transpose(1, 2).flatten(start_dim=1)  # as they lie in memory
    index = selection.products.to(flat.device).expand(len(flat), -1)
    return flat.gather(1, index).unflatten(1, (2 * degree + 1, -1))


def _coupled(term: Term, a: Tensor, b: Tensor, n: int) -> Float[Tensor, "center _ _"]:
    """One factor with the coefficients applied: [center, (p m), m2] or [center, m1, (m q)]."""
    coupling = term.coupling.to(a)
    if term.contracts_left:
        return (a.mT @ coupling).reshape(len(a), a.shape[2] * n, b.shape[1])
    return (coupling @ b).reshape(len(a), a.shape[1], n * b.shape[2])


def _adjoint(
    term: Term,
    a: Float[Tensor, "center m1 p"],
    b: Float[Tensor, "center m2 q"],
    grad: Float[Tensor, "center p m q"],
    degree: int,
) -> tuple[Float[Tensor, "center m1 p"], Float[Tensor, "center m2 q"]]:
    n, coupling = 2 * degree + 1, term.coupling.to(a)
    coupled = _coupled(term, a, b, n)
    if term.contracts_left:
        grad = grad.flatten(1, 2)  # [center, (p m), q]
        inner = torch.bmm(grad, b.mT).reshape(len(a), a.shape[2], n * b.shape[1])
        return (inner @ coupling.T).mT, torch.bmm(coupled.mT, grad)
    grad = grad.flatten(2, 3)  # [center, p, (m q)]
    inner = torch.bmm(a, grad).reshape(len(a), a.shape[1] * n, b.shape[2])
    return torch.bmm(coupled, grad.mT), coupling.T @ inner
