"""The interface of kernels between environments, and their sums and products."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor


@final
@dataclass(frozen=True, kw_only=True)
class Points:
    """Environments, as a kernel compares them.

    Args:
        values: features of each point; equivariant points are components m of centers.
        invariants: of the center of each equivariant point; None for points that are invariants
            themselves.
        components: consecutive points that are the components m of one center.
        parts: the points of the parts of a sum or product, which has no values of its own.
    """

    values: Float[Tensor, "point feature"]
    invariants: Float[Tensor, "point invariant"] | None = None
    components: int = 1
    parts: "tuple[Points, ...]" = ()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, chosen: Int[Tensor, " chosen"] | slice) -> "Points":
        """The chosen points, in the order given."""
        return self.changed(lambda x: x[chosen])

    @property
    def first(self) -> "Points":
        """The first points that have values of their own."""
        return self.parts[0].first if self.parts else self

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors, those of the parts included."""
        own = (self.values,) if self.invariants is None else (self.values, self.invariants)
        return own + tuple(x for part in self.parts for x in part.tensors)

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient with respect to any of the numbers is wanted."""
        return any(x.requires_grad for x in self.tensors)

    def changed(self, change: Callable[[Tensor], Tensor]) -> "Points":
        """The same with every tensor changed."""
        return replace(
            self,
            values=change(self.values),
            invariants=None if self.invariants is None else change(self.invariants),
            parts=tuple(part.changed(change) for part in self.parts),
        )

    def of_invariants(self) -> "Points":
        """Points that are the invariants of the centers; these points if they are that already."""
        return self if self.invariants is None else Points(values=self.invariants)

    @staticmethod
    def concatenate(batches: Sequence["Points"]) -> "Points":
        """The points of all batches, one after the other."""
        beside = [batch.invariants for batch in batches if batch.invariants is not None]
        columns = zip(*(batch.parts for batch in batches), strict=True)
        return replace(
            batches[0],
            values=torch.cat([batch.values for batch in batches]),
            invariants=torch.cat(beside) if beside else None,
            parts=tuple(Points.concatenate(column) for column in columns),
        )


class AbstractKernel(ABC):
    """A positive semidefinite function k(i, j) of two environments.

    Of equivariants it is a matrix in the components m of both, which turns with each of them:
    k(R i, R' j) = D(R) k(i, j) D(R')^T, and the same for all rotations of all neighbors.
    """

    @property
    @abstractmethod
    def uses_invariants(self) -> bool:
        """Whether the kernel of equivariants multiplies them with invariants of the center."""

    @abstractmethod
    def prepare(self, points: Points) -> Points:
        """The part that does not depend on pairs, such as a division by norms; differentiable.

        Args:
            points: in float64.
        """

    @abstractmethod
    def between(self, left: Points, right: Points) -> Float[Tensor, "left right"]:
        """k(i, j) of all pairs of prepared points, differentiable."""

    @abstractmethod
    def power(self, points: Points) -> Literal[1, 2] | None:
        """The power with which k is (x . x')^power of the prepared values, and nothing else.

        Of equivariants the second power is (x . x')(u . u') with the prepared invariants u. Sums
        over centers are then sums of features or of their second moments. None if it is another
        function.
        """

    @abstractmethod
    def written(self, term: str) -> str:
        """Formula of the kernel of features with a name, for reports, such as `(rho x V)^2`."""

    def __add__(self, other: "AbstractKernel") -> "SumKernel":
        return SumKernel(kernels=(self, other), weights=(1.0, 1.0))

    def __mul__(self, other: "AbstractKernel") -> "ProductKernel":
        return ProductKernel(kernels=(self, other))

    def __rmul__(self, weight: float) -> "SumKernel":
        return SumKernel(kernels=(self,), weights=(float(weight),))


@final
@dataclass(frozen=True, kw_only=True)
class SumKernel(AbstractKernel):
    """sum_k w_k k_k(i, j): of environments that are alike in one way or another.

    Args:
        kernels: k_k.
        weights: w_k, not negative.

    Raises:
        ValueError: if there is no kernel, or not one finite weight >= 0 for each.
    """

    kernels: tuple[AbstractKernel, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        allowed = all(0 <= weight < float("inf") for weight in self.weights)
        if not self.kernels or len(self.kernels) != len(self.weights) or not allowed:
            raise ValueError(
                f"a sum of {len(self.kernels)} kernels with the weights {self.weights}; give one "
                "finite number of at least 0 for each kernel"
            )

    @property
    def uses_invariants(self) -> bool:
        """Whether any of the kernels does."""
        return any(kernel.uses_invariants for kernel in self.kernels)

    def prepare(self, points: Points) -> Points:
        """Each part as its kernel wants it."""
        return _joined(tuple(kernel.prepare(points) for kernel in self.kernels), points)

    def between(self, left: Points, right: Points) -> Float[Tensor, "left right"]:
        """The weighted sum."""
        triples = zip(self.kernels, left.parts, right.parts, strict=True)
        first, *others = (
            weight * kernel.between(x, y)
            for weight, (kernel, x, y) in zip(self.weights, triples, strict=True)
        )
        return sum(others, start=first)

    def power(self, points: Points) -> None:
        """None: a sum is compared pair by pair."""

    def written(self, term: str) -> str:
        """As a sum with weights."""
        pairs = zip(self.weights, self.kernels, strict=True)
        return " + ".join(f"{weight:g} {kernel.written(term)}" for weight, kernel in pairs)


@final
@dataclass(frozen=True, kw_only=True)
class ProductKernel(AbstractKernel):
    """k_1(i, j) k_2(i, j) ...: of environments that are alike in every way.

    Of equivariants the first kernel is that of the equivariants, the others are kernels of the
    invariants of the centers, so that the product is a matrix that rotates with them.

    Args:
        kernels: the factors.

    Raises:
        ValueError: if there is no kernel.
    """

    kernels: tuple[AbstractKernel, ...]

    def __post_init__(self) -> None:
        if not self.kernels:
            raise ValueError("a product of no kernels; give at least one")

    @property
    def uses_invariants(self) -> bool:
        """Always, if there is more than one factor."""
        return self.kernels[0].uses_invariants or len(self.kernels) > 1

    def prepare(self, points: Points) -> Points:
        """Each part as its kernel wants it."""
        first, *others = self.kernels
        beside = points.of_invariants()
        parts = (first.prepare(points), *(kernel.prepare(beside) for kernel in others))
        return _joined(parts, points)

    def between(self, left: Points, right: Points) -> Float[Tensor, "left right"]:
        """The product of the values."""
        triples = zip(self.kernels, left.parts, right.parts, strict=True)
        first, *others = (kernel.between(x, y) for kernel, x, y in triples)
        for factor in others:
            first = first * factor
        return first

    def power(self, points: Points) -> None:
        """None: a product is compared pair by pair."""

    def written(self, term: str) -> str:
        """As a product."""
        return " * ".join(f"[{kernel.written(term)}]" for kernel in self.kernels)


def _joined(parts: tuple[Points, ...], points: Points) -> Points:
    empty = points.values.new_zeros(len(points), 0)
    return Points(values=empty, components=points.components, parts=parts)


def normalized(
    values: Float[Tensor, "point feature"], components: int
) -> Float[Tensor, "point feature"]:
    """Values over their norm, of equivariants that of all components of a center together."""
    squared = values.square().sum(dim=1).view(-1, components).sum(dim=1)
    squared = squared.repeat_interleave(components)[:, None]
    # an environment without any neighbor may be a zero vector: it stays one, with zero gradient
    return values * torch.where(squared > 0, squared, 1.0).rsqrt()
