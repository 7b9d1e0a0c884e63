"""Fields of training structures, stored atom by atom: any strengths and slopes by matrix products.

Positions do not change in a training. What each source adds around each center, and how that
changes, is computed once; epochs then need neither neighbor lists nor radial functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.expansion import FieldExpansion
from multilode.expansion.sources import SourceExpansion, expand_sources
from multilode.representation.field_set import FieldSet
from multilode.structures.batch import Structures

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@final
@dataclass(frozen=True, eq=False)
class StoredField:
    """One field around the atoms of a batch, whose sources stand in slots.

    Args:
        source: atom in each slot; slots without one have values of zero.
        values: what it adds, columns (l, m, n).
        slopes: its change as the source moves away from the center, along each axis; then, if
            strains are stored as well, under a symmetric strain, in the order of `VOIGT`.
        components: number of (l, m).
    """

    source: Int[Tensor, "center slot"]
    values: Float[Tensor, "center slot lmn"]
    slopes: Float[Tensor, "direction center slot lmn"]
    components: int

    def to(self, device: torch.device) -> "StoredField":
        """The same on a device."""
        parts = (part.to(device) for part in (self.source, self.values, self.slopes))
        return StoredField(*parts, components=self.components)


@final
@dataclass(frozen=True, eq=False)
class StoredFields:
    """The fields of a batch of structures at the positions that they were stored for.

    Args:
        kinds: place of the species of each atom.
        structure_index: structure of each atom.
        n_structures: number of structures.
        fields: by name.
        displacements: zeros that may require a gradient, in Å.
        strains: likewise, of the atoms and cells of structures whose strains are stored.
    """

    kinds: Int[Tensor, " atom"]
    structure_index: Int[Tensor, " atom"]
    n_structures: int
    fields: Mapping[str, StoredField]
    displacements: Float[Tensor, "atom 3"] | None = None
    strains: Float[Tensor, "structure 3 3"] | None = None

    def coefficients(
        self, name: str, strengths: Float[Tensor, "atom channel"]
    ) -> Float[Tensor, "atom lm channel n"]:
        """Coefficients of a field whose sources have these strengths."""
        field = self.fields[name]
        values = field.values
        if self.displacements is not None:
            values = _Values.apply(self._moves(field), values, field.slopes)
        found = values.transpose(1, 2) @ strengths[field.source]
        return found.unflatten(1, (field.components, -1)).transpose(2, 3)

    def _moves(self, field: StoredField) -> Float[Tensor, "center slot direction"]:
        """By how much each pair moves in the directions of the slopes of a field."""
        if self.displacements is None:
            raise ValueError("there are no displacements")
        moves = self.displacements[field.source] - self.displacements[:, None]
        if len(field.slopes) == 3:
            return moves
        strained = moves.new_zeros(len(self.kinds), 6)
        if self.strains is not None:
            own = (self.strains + self.strains.mT) / 2
            strained = torch.stack([own[:, a, b] for a, b in VOIGT], dim=1)[self.structure_index]
        return torch.cat([moves, strained[:, None].expand(-1, moves.shape[1], -1)], dim=2)

    def to(self, device: torch.device) -> "StoredFields":
        """The same on a device."""
        return StoredFields(
            kinds=self.kinds.to(device),
            structure_index=self.structure_index.to(device),
            n_structures=self.n_structures,
            fields={name: field.to(device) for name, field in self.fields.items()},
        )


class _Values(torch.autograd.Function):
    """The values at displacements of zero, with their slopes for the backward pass."""

    @staticmethod
    def forward(ctx: Any, moves: Tensor, values: Tensor, slopes: Tensor) -> Tensor:  # noqa: ARG004
        ctx.save_for_backward(slopes)
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _Adjoint.apply(grads[0], ctx.saved_tensors[0]), None, None


class _Adjoint(torch.autograd.Function):
    """Slopes times a gradient, summed over columns; linear, and differentiable in the gradient."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(slopes)
        # as many small matrix products: five times faster than products that are summed
        return torch.einsum("acsx,csx->csa", slopes, grad)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        slopes, moves = ctx.saved_tensors[0], grads[0]
        found = slopes[0] * moves[..., :1]
        for axis in range(1, len(slopes)):
            found.addcmul_(slopes[axis], moves[..., axis : axis + 1])
        return found, None


def store(
    recipe: FieldSet, structures: Structures, dtype: torch.dtype, *, strains: bool = False
) -> list[StoredFields]:
    """The fields of each structure of a batch by itself.

    Args:
        recipe: fields and species.
        structures: a batch; computed together, stored apart.
        dtype: of what is stored.
        strains: whether to store slopes under strain as well.
    """
    kinds = recipe.compute(structures).kinds
    counts = structures.counts.tolist()
    found = [{} for _ in counts]
    for name, expansion in recipe.fields.items():
        parts = _stored(expansion, structures, recipe, dtype, strains=strains)
        for own, part in zip(found, parts, strict=True):
            own[name] = part
    pairs = zip(kinds.split(counts), found, strict=True)
    return [StoredFields(own, torch.zeros_like(own), 1, fields) for own, fields in pairs]


def _stored(
    expansion: FieldExpansion,
    structures: Structures,
    recipe: FieldSet,
    dtype: torch.dtype,
    *,
    strains: bool,
) -> list[StoredField]:
    """One field of each structure."""
    pairs = expand_sources(
        expansion, structures, strains=strains, method=recipe.method, tolerance=recipe.tolerance
    )
    counts = structures.counts
    per_atom = torch.bincount(pairs.center, minlength=structures.n_atoms)
    first = per_atom.cumsum(0) - per_atom
    slot = torch.arange(len(pairs.center)) - first[pairs.center]
    ends = counts.cumsum(0)
    starts = ends - counts
    owner = structures.structure_index[pairs.center]
    sizes = torch.bincount(owner, minlength=structures.n_structures).tolist()
    values, slopes = pairs.values.to(dtype).flatten(1), _slopes(pairs).to(dtype).flatten(2)
    split = zip(
        (pairs.center - starts[owner]).split(sizes),
        (pairs.source - starts[owner]).split(sizes),
        slot.split(sizes),
        values.split(sizes),
        slopes.split(sizes),
        counts.tolist(),
        strict=True,
    )
    components = (expansion.max_angular + 1) ** 2
    return [_slotted(*part, components=components) for part in split]


def _slopes(pairs: SourceExpansion) -> Float[Tensor, "pair direction lm n"]:
    """Along the axes, and under symmetric strains; beside the diagonal e_ab and e_ba together."""
    if pairs.strains is None:
        return pairs.slopes
    both = pairs.strains + pairs.strains.transpose(1, 2)
    own = [both[:, a, b] / (2 if a == b else 1) for a, b in VOIGT]
    return torch.cat([pairs.slopes, torch.stack(own, dim=1)], dim=1)


def _slotted(
    center: Int[Tensor, " pair"],
    source: Int[Tensor, " pair"],
    slot: Int[Tensor, " pair"],
    values: Float[Tensor, "pair lmn"],
    slopes: Float[Tensor, "pair direction lmn"],
    n_atoms: int,
    components: int,
) -> StoredField:
    width = int(slot.max()) + 1
    sources = torch.zeros((n_atoms, width), dtype=torch.int64)
    sources[center, slot] = source
    placed = values.new_zeros((n_atoms, width, values.shape[1]))
    placed[center, slot] = values
    moved = values.new_zeros((slopes.shape[1], n_atoms, width, values.shape[1]))
    moved[:, center, slot] = slopes.transpose(0, 1)
    return StoredField(sources, placed, moved, components)


def together(parts: Sequence[StoredFields]) -> StoredFields:
    """Several structures as one batch."""
    if len(parts) == 1:
        return parts[0]
    counts = [len(part.kinds) for part in parts]
    starts = [sum(counts[:k]) for k in range(len(counts))]
    return StoredFields(
        kinds=torch.cat([part.kinds for part in parts]),
        structure_index=torch.arange(len(parts)).repeat_interleave(torch.tensor(counts)),
        n_structures=len(parts),
        fields={
            name: _joined([part.fields[name] for part in parts], starts) for name in parts[0].fields
        },
    )


def _joined(parts: Sequence[StoredField], starts: Sequence[int]) -> StoredField:
    width = max(part.source.shape[1] for part in parts)
    n_atoms = sum(len(part.source) for part in parts)
    columns = parts[0].values.shape[2]
    source = torch.zeros((n_atoms, width), dtype=torch.int64)
    values = parts[0].values.new_empty((n_atoms, width, columns))
    slopes = values.new_empty((len(parts[0].slopes), n_atoms, width, columns))
    for part, start in zip(parts, starts, strict=True):
        rows, filled = slice(start, start + len(part.source)), part.source.shape[1]
        source[rows, :filled] = part.source + start
        values[rows, :filled], values[rows, filled:] = part.values, 0
        slopes[:, rows, :filled], slopes[:, rows, filled:] = part.slopes, 0
    return StoredField(source, values, slopes, parts[0].components)
