"""Powers of scalar products of features."""

from dataclasses import dataclass, replace
from typing import Literal, final

from jaxtyping import Float
from torch import Tensor

from multilode.models.kernels.kernel import AbstractKernel, Points, normalized

_LARGEST = 100


@final
@dataclass(frozen=True, kw_only=True)
class PolynomialKernel(AbstractKernel):
    """k(i, j) = (x_i . x_j)^zeta.

    Of equivariants, whose points are components m, it is the matrix (x_i . x_j)_mm' times the power
    zeta - 1 of the same kernel of invariants.

    Source: theory#kernel; theory#equivariant-kernel; Grisafi2018.

    Args:
        zeta: power, from 1 to 100: with a larger one, environments would be like themselves only.
        normalize: whether x_i is divided by its norm, for equivariants that of all components.

    Raises:
        ValueError: if zeta is no whole number of this range.
    """

    zeta: int = 2
    normalize: bool = False

    def __post_init__(self) -> None:
        whole = isinstance(self.zeta, int) and not isinstance(self.zeta, bool)
        if not whole or not 1 <= self.zeta <= _LARGEST:
            said = repr(self.zeta)[:40]
            raise ValueError(f"zeta is {said}; use a whole number from 1 to {_LARGEST}")

    @property
    def uses_invariants(self) -> bool:
        """Unless it is linear."""
        return self.zeta > 1

    def prepare(self, points: Points) -> Points:
        """Divide by norms, if they are to be."""
        kept = points.invariants if self.zeta > 1 else None
        if not self.normalize:
            return replace(points, invariants=kept)
        return replace(
            points,
            values=normalized(points.values, points.components),
            invariants=None if kept is None else normalized(kept, 1),
        )

    def between(self, left: Points, right: Points) -> Float[Tensor, "left right"]:
        """x . x' times a power of u . u', which are the same for invariants."""
        pairs = left.values @ right.values.T
        if left.invariants is None or right.invariants is None:
            return power_of(pairs, self.zeta)
        return pairs * power_of(left.invariants @ right.invariants.T, self.zeta - 1)

    def power(
        self,
        points: Points,  # noqa: ARG002 - the interface of a kernel
    ) -> Literal[1, 2] | None:
        """Zeta, unless it is large."""
        if self.zeta == 1:
            return 1
        return 2 if self.zeta == 2 else None

    def written(self, term: str) -> str:
        """As a power."""
        return term if self.zeta == 1 else f"({term})^{self.zeta}"


SQUARE = PolynomialKernel()


def polynomial_kernels(
    *, zeta: int | tuple[int, ...] = 2, normalize: bool | tuple[bool, ...] = False
) -> PolynomialKernel | tuple[PolynomialKernel, ...]:
    """One kernel for all terms, or one per term where a setting is a tuple.

    Args:
        zeta: power of the kernel, one for all terms or one per term.
        normalize: whether environments are normalized, likewise.

    Raises:
        ValueError: if a zeta is not allowed or the tuples differ in length.
    """
    if not isinstance(zeta, tuple) and not isinstance(normalize, tuple):
        return PolynomialKernel(zeta=zeta, normalize=normalize)
    lengths = {len(value) for value in (zeta, normalize) if isinstance(value, tuple)}
    if len(lengths) > 1:
        raise ValueError(
            f"zeta {zeta} and normalize {normalize} differ in length; give one value for all terms "
            "or one per term"
        )
    n = lengths.pop()
    zetas = zeta if isinstance(zeta, tuple) else (zeta,) * n
    norms = normalize if isinstance(normalize, tuple) else (normalize,) * n
    return tuple(PolynomialKernel(zeta=z, normalize=f) for z, f in zip(zetas, norms, strict=True))


def power_of(x: Float[Tensor, "*shape"], exponent: int) -> Float[Tensor, "*shape"]:
    """Whole power by products, which is many times faster than the general one."""
    result = x
    for _ in range(exponent - 1):
        result = result * x
    return result
