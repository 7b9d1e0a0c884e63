"""Derivatives of the features of sparse kernels as matrix products, for products of two fields.

A feature of a center i is a product of coefficients c_i, so that the scalar product x_j . x_i with
an active environment j is a form of them, and its slope in c_i a matrix M_j times c_i. With the
slopes s_ij = k'(x_i . x_j) of the kernel and those of the coefficients, source by source,

    d k_Aj / dr_b = sum_i s_ij (M_j c_i) . (dc_i / dr_b)

for all atoms b and many j at once: no backward pass at all.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.correlations import FieldChannels
from multilode.correlations.quadratic_form import spectrum_matrices
from multilode.equivariants.features import Features
from multilode.expansion.sources import expand_sources
from multilode.models.kernel_ridge.sparse_kernel import NystroemMap
from multilode.models.kernels import AbstractKernel, PolynomialKernel
from multilode.models.kernels.polynomial import power_of
from multilode.models.pooling import species_slots
from multilode.models.rows import Terms
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures

_BLOCK_BYTES = 64 * 2**20  # of the slopes in the coefficients of the centers of one kind


def has_product_slopes(own: NystroemMap, representation: Representation) -> bool:
    """Whether these are powers of scalar products of invariants of one or two fields of species."""
    short = all(len(names) < 3 for names in representation.products)
    short &= representation.has_fixed_species
    powers = all(isinstance(kernel, PolynomialKernel) for kernel in own.kernels)
    return short and powers and representation.irreps is None and own.problem.reduce == "sum"


@torch.no_grad()
def product_slopes(
    own: NystroemMap, representation: Representation, structures: Structures
) -> Terms:
    """d phi_A / dr of every term; rows are (atom, axis).

    Source: theory#sparse-force-rows.

    Args:
        own: a map that `has_product_slopes`.
        representation: of the features.
        structures: a batch.
    """
    found: list[list[Tensor]] = [[] for _ in own.kernels]
    for number in range(structures.n_structures):
        one = structures[number]
        fields = {name: _Field.of(representation, name, one) for name in representation.used}
        features = representation.compute(one)
        for k in range(len(own.kernels)):
            found[k].append(_term(own, representation, k, features, fields))
    joined = (torch.cat(parts) for parts in found)
    return tuple(
        columns if active is None else active.features(columns)
        for columns, active in zip(joined, own.active, strict=True)
    )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Field:
    """One field around the atoms of a structure, and how it changes.

    Args:
        values: coefficients, in (species, n) or in the channels.
        slopes: change as a source moves, in the order (center, lm, n, source, axis).
        own: minus the change as the center moves, in (species, n).
        kinds: place of the species of each atom.
        channels: of the field, if it has any.
    """

    values: Float[Tensor, "atom lm channel"]
    slopes: Float[Tensor, "atom lm n atom 3"]
    own: Float[Tensor, "atom 3 lm mixed"]
    kinds: Int[Tensor, " atom"]
    channels: FieldChannels | None

    @staticmethod
    def of(representation: Representation, name: str, one: Structures) -> "_Field":
        field, species = representation.fields[name], representation.species
        pairs = expand_sources(
            field,
            one,
            method=representation.method if field.neighbor_cutoff is None else "auto",
            tolerance=representation.tolerance,
        )
        n_atoms, n_kinds = one.n_atoms, len(species)
        kinds = torch.searchsorted(torch.tensor(species), one.species)
        place = pairs.center * n_kinds + kinds[pairs.source]
        _, lm, n = pairs.values.shape
        values = pairs.values.new_zeros(n_atoms * n_kinds, lm, n)
        values.index_add_(0, place, pairs.values)
        apart = pairs.center != pairs.source  # an atom and its own images move together
        slopes = pairs.slopes * apart[:, None, None, None]
        own = slopes.new_zeros(n_atoms * n_kinds, 3, lm, n).index_add_(0, place, slopes)
        dense = slopes.new_zeros(n_atoms, n_atoms, 3, lm, n)
        dense[pairs.center, pairs.source] = slopes
        channels = representation.channels_of(name)
        whole = values.unflatten(0, (-1, n_kinds)).transpose(1, 2).flatten(2)
        return _Field(
            values=whole if channels is None else channels.mixed(whole),
            slopes=dense.permute(0, 3, 4, 1, 2).contiguous(),
            own=own.unflatten(0, (-1, n_kinds)).movedim(1, 3).flatten(3),
            kinds=kinds,
            channels=channels,
        )

    @property
    def size(self) -> int:
        """Number of slopes in the coefficients of a center."""
        return self.own[0, 0].numel()

    def moved(
        self, centers: Int[Tensor, " center"], slopes: Float[Tensor, "center lm channel column"]
    ) -> Float[Tensor, "atom 3 column"]:
        """Sum over centers of slopes in their coefficients times the change of these."""
        n_atoms, n = len(self.kinds), self.slopes.shape[2]
        if self.channels is not None:
            slopes = self.channels.unmixed(slopes.transpose(2, 3)).transpose(2, 3)
        result = slopes.new_zeros(n_atoms, 3, slopes.shape[3])
        here = self.slopes[centers]  # [center, lm, n, source, axis]
        for kind in self.kinds.unique().tolist():
            sources = (self.kinds == kind).nonzero()[:, 0]
            own = here[:, :, :, sources].flatten(0, 2).flatten(1)
            of_kind = slopes[:, :, kind * n : (kind + 1) * n].flatten(0, 2)
            result[sources] += (own.T @ of_kind).unflatten(0, (-1, 3))
        itself = torch.bmm(self.own[centers].flatten(2), slopes.flatten(1, 2))
        return result.index_add(0, centers, itself, alpha=-1)

    def moved_each(
        self, centers: Int[Tensor, " center"], slopes: Float[Tensor, "center lm channel"]
    ) -> Float[Tensor, "atom 3 center"]:
        """The same with one column for each center, of its own slopes."""
        n, here = self.slopes.shape[2], self.slopes[centers]
        if self.channels is not None:
            slopes = self.channels.unmixed(slopes)
        result = slopes.new_zeros(len(centers), len(self.kinds), 3)
        for kind in self.kinds.unique().tolist():
            sources = (self.kinds == kind).nonzero()[:, 0]
            of_kind = slopes[:, :, kind * n : (kind + 1) * n]
            result[:, sources] = torch.einsum("iknbx,ikn->ibx", here[:, :, :, sources], of_kind)
        itself = torch.einsum("ixkp,ikp->ix", self.own[centers], slopes)
        result[torch.arange(len(centers)), centers] -= itself
        return result.permute(1, 2, 0)


def _term(
    own: NystroemMap,
    representation: Representation,
    number: int,
    features: Features,
    fields: dict[str, _Field],
) -> Float[Tensor, "row column"]:
    """Slopes of the kernels with the active environments, or of the features of a linear term."""
    kernel, active, term = own.kernels[number], own.active[number], own.problem.terms[number]
    values = features.invariants[term].double()
    product = [fields[name] for name in representation.products[term]]
    width, n_slots = values.shape[1], 1 if own.centers is None else len(own.centers)
    slots = torch.zeros_like(features.center_species)
    if own.centers is not None:
        slots = species_slots(features.center_species, own.centers)
    n_columns = n_slots * width if active is None else active.rows.n_rows
    result = values.new_zeros(len(product[0].kinds), 3, n_columns)
    for slot in slots.unique().tolist():
        here = (slots == slot).nonzero()[:, 0]
        compared = _Compared(product=product, centers=features.centers[here], x=values[here])
        if active is None:
            columns = slot * width + torch.arange(width)
            for some in compared.blocks(columns):
                unit = torch.eye(width, dtype=torch.float64)[some - slot * width]
                result[:, :, some] = compared.linear(unit)
        else:
            columns = (active.rows.slots == slot).nonzero()[:, 0]
            for some in compared.blocks(columns):
                result[:, :, some] = compared.kernel(kernel, active.rows.points.values[some])
    return result.flatten(0, 1)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Compared:
    """Centers of one kind in a structure, with their features of one product.

    Args:
        product: its fields.
        centers: atoms at the centers.
        x: features.
    """

    product: list[_Field]
    centers: Int[Tensor, " center"]
    x: Float[Tensor, "center feature"]

    def blocks(self, columns: Int[Tensor, " column"]) -> tuple[Int[Tensor, " _"], ...]:
        """Columns whose slopes in the coefficients fit into a block."""
        largest = max(field.size for field in self.product)
        return columns.split(max(1, _BLOCK_BYTES // (8 * largest * len(self.centers))))

    def linear(self, weights: Float[Tensor, "column feature"]) -> Float[Tensor, "atom 3 column"]:
        """Slopes of sums of features with weights."""
        return self._moved(weights, None)

    def kernel(
        self, kernel: AbstractKernel, others: Float[Tensor, "column feature"]
    ) -> Float[Tensor, "atom 3 column"]:
        """Slopes of powers of scalar products with other environments."""
        if not isinstance(kernel, PolynomialKernel):
            raise TypeError(f"{kernel} is no power of a scalar product")
        cosine = (self.x / self._norms if kernel.normalize else self.x) @ others.T
        slopes = torch.full_like(cosine, float(kernel.zeta))
        if kernel.zeta > 1:
            slopes = kernel.zeta * power_of(cosine, kernel.zeta - 1)
        if not kernel.normalize:
            return self._moved(others, slopes)
        # a normalized environment changes at right angles to itself
        slopes = slopes / self._norms
        return self._moved(others, slopes) - self._norm_slopes @ (slopes * cosine)

    @cached_property
    def _norms(self) -> Float[Tensor, "center 1"]:
        norms = self.x.norm(dim=1, keepdim=True)
        return torch.where(norms > 0, norms, 1.0)

    @cached_property
    def _norm_slopes(self) -> Float[Tensor, "atom 3 center"]:
        """Slopes of the norms of the features."""
        own: list[list[Tensor]] = [[] for _ in self.product]
        unit = self.x / self._norms
        for center, weights in zip(self.centers.split(1), unit.split(1), strict=True):
            found = _in_coefficients(self.product, center, weights)
            for parts, part in zip(own, found, strict=True):
                parts.append(part[..., 0])
        pairs = zip(self.product, own, strict=True)
        slopes = [field.moved_each(self.centers, torch.cat(parts)) for field, parts in pairs]
        return torch.stack(slopes).sum(dim=0)

    def _moved(
        self,
        weights: Float[Tensor, "column feature"],
        factors: Float[Tensor, "center column"] | None,
    ) -> Float[Tensor, "atom 3 column"]:
        moved = []
        parts = _in_coefficients(self.product, self.centers, weights)
        for field, part in zip(self.product, parts, strict=True):
            scaled = part if factors is None else part.mul_(factors[:, None, None])
            moved.append(field.moved(self.centers, scaled))
        return torch.stack(moved).sum(dim=0)


def _in_coefficients(
    product: list[_Field],
    centers: Int[Tensor, " center"],
    weights: Float[Tensor, "column feature"],
) -> list[Float[Tensor, "center lm _ column"]]:
    """Slopes of x . w in the coefficients of each field of a product."""
    values = [field.values[centers] for field in product]
    if len(product) == 1:  # invariants of one field are its coefficients of l = 0
        part = values[0].new_zeros(*values[0].shape, len(weights))
        part[:, 0] = weights.T
        return [part]
    left, right = values
    degrees = round(left.shape[1] ** 0.5)
    same, sizes = product[0] is product[1], (left.shape[2], right.shape[2])
    matrices = spectrum_matrices(weights, sizes, degrees - 1, symmetric=same)  # [column, l, p, q]
    first, second = [], []
    for l in range(degrees):
        some, own = slice(l * l, (l + 1) ** 2), matrices[:, l]
        first.append(_times(right[:, some], own.permute(2, 1, 0)))
        second.append(_times(left[:, some], own.permute(1, 2, 0)))
    return [torch.cat(first, dim=1), torch.cat(second, dim=1)]


def _times(
    coefficients: Float[Tensor, "center m q"], matrices: Float[Tensor, "q p column"]
) -> Float[Tensor, "center m p column"]:
    found = coefficients.flatten(0, 1) @ matrices.flatten(1)
    return found.view(*coefficients.shape[:2], *matrices.shape[1:])
