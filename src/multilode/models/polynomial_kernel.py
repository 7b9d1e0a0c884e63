"""Polynomial kernels between environments, summed to kernels between structures."""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from multilode.equivariants.features import Features
from multilode.models.environments import Environments, EnvironmentTerms
from multilode.models.pooling import pool, species_slots
from multilode.models.targets import Reduce, check_reduce

BLOCK_BYTES = 32 * 2**20  # blocks of this size are fast, because they are not paged in anew
_CALL_FLOPS = 200_000  # what a small matrix product costs beside its arithmetic


@final
@dataclass(frozen=True, kw_only=True)
class PolynomialKernel:
    """k(i, j) = (x_i . x_j)^zeta between environments; K_AB is its sum or mean over pairs.

    Of equivariants, whose rows are components m, it is the matrix (x_i . x_j)_mm' times the power
    zeta - 1 of the same kernel of invariants. Source: theory, section 5.

    Args:
        zeta: power, 1 or larger.
        normalize: whether x_i is divided by its norm, for equivariants that of all components.

    Raises:
        ValueError: if zeta is not a whole number of at least 1.
    """

    zeta: int
    normalize: bool

    def __post_init__(self) -> None:
        if isinstance(self.zeta, bool) or not isinstance(self.zeta, int) or self.zeta < 1:
            raise ValueError(f"zeta is {self.zeta!r}; use a whole number of at least 1")

    def prepare(
        self,
        values: Float[Tensor, "center feature"],
        structure_index: Int[Tensor, " center"],
        n_structures: int,
        *,
        reduce: Reduce,
        slots: Int[Tensor, " center"],
        n_slots: int,
        components: int = 1,
        invariants: Float[Tensor, "center invariant"] | None = None,
    ) -> Environments:
        """Environments in float64, differentiable in `values` and `invariants`.

        With zeta = 1 the environments of each kind of center are added up at once, because the
        kernel of sums is the sum of kernels.
        """
        check_reduce(reduce)
        x = _normalized(values.double(), components) if self.normalize else values.double()
        if self.zeta == 1:
            pooled = pool(
                x, structure_index, n_structures, reduce=reduce, slots=slots, n_slots=n_slots
            )
            return Environments(
                values=pooled.reshape(n_structures * n_slots, values.shape[1]),
                structure_index=torch.arange(n_structures).repeat_interleave(n_slots),
                slots=torch.arange(n_slots).repeat(n_structures),
                n_structures=n_structures,
            )
        if invariants is not None:
            invariants = invariants.double()
            invariants = _normalized(invariants, 1) if self.normalize else invariants
        if reduce == "mean":  # 1 / (n_A n_B) of the kernel, as a factor of each row
            counts = torch.bincount(structure_index, minlength=n_structures).double()
            exponent = -1 / self.zeta if invariants is None else -1
            x = x * counts[structure_index].pow(exponent)[:, None]
        order = torch.argsort(structure_index, stable=True)
        return Environments(
            values=x[order],
            structure_index=structure_index[order],
            slots=slots[order],
            n_structures=n_structures,
            invariants=None if invariants is None else invariants[order],
        )

    def between(
        self, left: Environments, right: Environments, *, block_bytes: int = BLOCK_BYTES
    ) -> Float[Tensor, "left right"]:
        """K_AB for all structures of `left` and `right`.

        Pairs of environments are taken in blocks, or for zeta = 2 replaced by
        K_AB = <C_A, C_B> with the second moments C_A = sum_i x_i x_i^T, whichever is cheaper.

        Args:
            block_bytes: bound on the memory of the temporaries.
        """
        total = left.values.new_zeros(left.n_structures, right.n_structures)
        for slot in left.slots.unique().tolist():
            a = left.of_slot(slot)
            b = a if right is left else right.of_slot(slot)
            simple = self.zeta == 2 and a.invariants is None
            if simple and _moments_are_cheaper(a, b, block_bytes):
                total = total + _moment_kernel(a, b, block_bytes)
            else:
                total = total + self._pair_kernel(a, b, block_bytes)
        return total

    def diagonal(self, environments: Environments) -> Float[Tensor, " structure"]:
        """K_AA of each structure."""
        counts = torch.bincount(
            environments.structure_index, minlength=environments.n_structures
        ).tolist()
        values, slots = environments.values, environments.slots
        invariants = values if environments.invariants is None else environments.invariants
        parts = zip(*(x.split(counts) for x in (values, invariants, slots)), strict=True)
        own = [(_kernel(x, x, u, u, self.zeta) * (s[:, None] == s)).sum() for x, u, s in parts]
        return torch.stack(own)

    def _pair_kernel(
        self, left: Environments, right: Environments, block_bytes: int
    ) -> Float[Tensor, "left right"]:
        size = max(16, math.isqrt(block_bytes // 24))
        total = left.values.new_zeros(left.n_structures, right.n_structures)
        if len(right.values) == 0:
            return total
        rows_of_right = list(torch.arange(len(right.values)).split(size))
        ours = left.values if left.invariants is None else left.invariants
        theirs = right.values if right.invariants is None else right.invariants
        for rows in torch.arange(len(left.values)).split(size):
            x, first = left.values[rows], left.structure_index[rows]
            u = x if left.invariants is None else ours[rows]
            strip = x.new_zeros(left.n_structures, right.n_structures)
            for others in rows_of_right:
                y, v, second = right.values[others], theirs[others], right.structure_index[others]
                block = _checkpointed(_pair_block, x, y, u, v, first, second, self.zeta)
                ends = int(first[0]), int(first[-1]) + 1, int(second[0]), int(second[-1]) + 1
                strip = _add_block(strip, block, ends)
            total = total + strip
        return total


def kernels_of_terms(
    n_terms: int, *, zeta: int | tuple[int, ...], normalize: bool | tuple[bool, ...]
) -> tuple[PolynomialKernel, ...]:
    """The kernel of each term.

    Args:
        n_terms: number of terms.
        zeta: power of the kernel, one for all terms or one per term.
        normalize: whether environments are normalized, likewise.

    Raises:
        ValueError: if a zeta is not allowed or a tuple has the wrong length.
    """
    zetas = zeta if isinstance(zeta, tuple) else (zeta,) * n_terms
    norms = normalize if isinstance(normalize, tuple) else (normalize,) * n_terms
    if len(zetas) != n_terms or len(norms) != n_terms:
        raise ValueError(
            f"zeta {zeta} and normalize {normalize} for {n_terms} terms; give one value for all "
            "terms or one per term"
        )
    return tuple(PolynomialKernel(zeta=z, normalize=n) for z, n in zip(zetas, norms, strict=True))


def prepare_terms(
    features: Features,
    kernels: tuple[PolynomialKernel, ...],
    *,
    reduce: Reduce,
    centers: tuple[int, ...] | None,
) -> EnvironmentTerms:
    """The environments of all terms.

    Args:
        kernels: one per term.
        centers: center species that are compared with their own kind only; None compares all.

    Raises:
        ValueError: if there are not as many kernels as terms, or a center species is unknown.
    """
    if len(kernels) != len(features.terms):
        raise ValueError(
            f"got {len(kernels)} kernels for {len(features.terms)} terms of features; give one "
            "zeta (and normalize) for all terms or one per term"
        )
    slots = torch.zeros_like(features.center_species)
    if centers is not None:
        slots = species_slots(features.center_species, centers)
    terms = tuple(
        kernel.prepare(
            term,
            features.structure_index,
            features.n_structures,
            reduce=reduce,
            slots=slots,
            n_slots=1 if centers is None else len(centers),
            components=features.components,
            invariants=None if features.invariants is None else features.invariants[number],
        )
        for number, (kernel, term) in enumerate(zip(kernels, features.terms, strict=True))
    )
    return EnvironmentTerms(terms=terms, centers=centers)


def power(x: Float[Tensor, "*shape"], exponent: int) -> Float[Tensor, "*shape"]:
    """Whole power by products, which is many times faster than the general one."""
    result = x
    for _ in range(exponent - 1):
        result = result * x
    return result


def _normalized(
    values: Float[Tensor, "center feature"], components: int
) -> Float[Tensor, "center feature"]:
    squared = values.square().sum(dim=1).view(-1, components).sum(dim=1)
    squared = squared.repeat_interleave(components)[:, None]
    # an environment without any neighbor may be a zero vector: it stays one, with zero gradient
    return values * torch.where(squared > 0, squared, 1.0).rsqrt()


def _kernel(
    x: Float[Tensor, "row feature"],
    y: Float[Tensor, "other feature"],
    u: Float[Tensor, "row invariant"],
    v: Float[Tensor, "other invariant"],
    zeta: int,
) -> Float[Tensor, "row other"]:
    """x . y times a power of u . v, which are the same for invariants."""
    if u is x:
        return power(x @ y.T, zeta)
    pairs = x @ y.T
    return pairs * power(u @ v.T, zeta - 1) if zeta > 1 else pairs


def _pair_block(
    x: Float[Tensor, "row feature"],
    y: Float[Tensor, "other feature"],
    u: Float[Tensor, "row invariant"],
    v: Float[Tensor, "other invariant"],
    first: Int[Tensor, " row"],
    second: Int[Tensor, " other"],
    zeta: int,
) -> Float[Tensor, "left right"]:
    """Kernel of the environments x and y, summed over their structures (a range of each)."""
    pairs = _kernel(x, y, u, v, zeta)
    rows = int(first[-1] - first[0]) + 1
    columns = int(second[-1] - second[0]) + 1
    summed = pairs.new_zeros(rows, pairs.shape[1]).index_add(0, first - first[0], pairs)
    return summed.new_zeros(rows, columns).index_add(1, second - second[0], summed)


def _add_block(
    total: Float[Tensor, "left right"],
    block: Float[Tensor, "rows columns"],
    ends: tuple[int, int, int, int],
) -> Float[Tensor, "left right"]:
    top, bottom, start, stop = ends
    height, width = total.shape
    if not block.requires_grad and not total.requires_grad:
        total[top:bottom, start:stop] += block
        return total
    padding = (start, width - stop, top, height - bottom)
    return total + torch.nn.functional.pad(block, padding)


def _checkpointed(function: object, x: Tensor, y: Tensor, *others: object) -> Tensor:
    """Recompute a block in the backward pass rather than keep it, if there will be one."""
    if x.requires_grad or y.requires_grad:
        return checkpoint(function, x, y, *others, use_reentrant=False)
    return function(x, y, *others)


def _moments_are_cheaper(left: Environments, right: Environments, block_bytes: int) -> bool:
    """Compare the floating-point operations of the two ways for zeta = 2."""
    rows, columns = len(left.values), len(right.values)
    features = left.values.shape[1]
    structures = left.n_structures + right.n_structures
    blocks = math.ceil(features / _moment_width(structures, block_bytes))
    direct = rows * columns * (2 * features + 20)  # 20: squares and sums cost memory traffic
    moments = (rows + columns + left.n_structures * right.n_structures) * features**2
    return moments + structures * blocks**2 * _CALL_FLOPS / 2 < direct


def _moment_width(n_structures: int, block_bytes: int) -> int:
    return max(1, math.isqrt(block_bytes // (8 * max(n_structures, 1))))


def _moment_kernel(
    left: Environments, right: Environments, block_bytes: int
) -> Float[Tensor, "left right"]:
    """<C_A, C_B> over blocks of feature pairs; off-diagonal blocks count twice by symmetry."""
    width = _moment_width(left.n_structures + right.n_structures, block_bytes)
    n_features = left.values.shape[1]
    blocks = [slice(start, start + width) for start in range(0, n_features, width)]
    total = left.values.new_zeros(left.n_structures, right.n_structures)
    same = left is right
    for number, a in enumerate(blocks):
        for b in blocks[number:]:
            moments = _moment_block(left, a, b)
            others = moments if same else _moment_block(right, a, b)
            total = total + (1 if a is b else 2) * (moments @ others.T)
    return total


def _moment_block(environments: Environments, a: slice, b: slice) -> Float[Tensor, "structure _"]:
    n_structures, values = environments.n_structures, environments.values
    counts = torch.bincount(environments.structure_index, minlength=n_structures).tolist()
    if min(counts) == max(counts):  # one batched product where sizes are equal
        x = values.reshape(n_structures, counts[0], values.shape[1])
        return (x[:, :, a].mT @ x[:, :, b]).flatten(start_dim=1)
    return torch.stack([x[:, a].T @ x[:, b] for x in values.split(counts)]).flatten(start_dim=1)
