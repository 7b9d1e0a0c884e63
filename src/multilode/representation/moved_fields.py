"""How the coefficients of a field around the centers of a slot change as atoms move."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.correlations import FieldChannels
from multilode.expansion.sources import SourceExpansion
from multilode.structures.batch import Structures


@final
@dataclass(frozen=True, eq=False, repr=False)
class Centers:
    """Center atoms of a slot, with their places among those of their structure.

    Args:
        atoms: their numbers in the batch.
        structure: of each.
        rank: among those of its structure.
        most: largest number of them in a structure.
        n_structures: number of structures.
    """

    atoms: Int[Tensor, " center"]
    structure: Int[Tensor, " center"]
    rank: Int[Tensor, " center"]
    most: int
    n_structures: int

    @staticmethod
    def of(block: Structures, species: Sequence[int]) -> "Centers":
        """Those of some species."""
        wanted = torch.tensor(list(species), device=block.species.device)
        atoms = torch.isin(block.species, wanted).nonzero()[:, 0]
        index = block.structure_index[atoms]
        counts = torch.bincount(index, minlength=block.n_structures)
        rank = torch.arange(len(atoms), device=atoms.device) - (counts.cumsum(0) - counts)[index]
        return Centers(atoms, index, rank, int(counts.max()), block.n_structures)

    def padded(self, values: Float[Tensor, "atom lm *_"]) -> Float[Tensor, "structure lm most *_"]:
        """Values of the centers; zeros where a structure has fewer than others."""
        shape = (self.n_structures, self.most, *values.shape[1:])
        whole = values.new_zeros(shape)
        whole[self.structure, self.rank] = values[self.atoms]
        return whole.transpose(1, 2).contiguous()


class _Slot(ABC):
    """Coefficients of one field around the centers of a slot, and how they change."""

    values: Float[Tensor, "structure lm most channel"]

    @property
    def degrees(self) -> int:
        """Number of l."""
        return round(self.values.shape[1] ** 0.5)

    def at(self, l: int) -> Float[Tensor, "structure m_most channel"]:
        """Coefficients of one l."""
        return self.values[:, l * l : (l + 1) ** 2].flatten(1, 2)

    def times(self, other: "_Slot", l: int) -> Float[Tensor, "row p q"]:
        """The sum over centers and m of dc_p c_q, with the coefficients c of another field."""
        return self.summed(other.at(l), l)

    def alone(self) -> Float[Tensor, "row p"]:
        """The sum over centers of dc_p, of l = 0."""
        return self.summed(torch.ones_like(self.at(0)[..., :1]), 0)[..., 0]

    @abstractmethod
    def summed(
        self, coefficients: Float[Tensor, "structure m_most q"], l: int
    ) -> Float[Tensor, "row p q"]:
        """The sum over centers and m of dc_p times these coefficients."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class EachAtom(_Slot):
    """Every coordinate of every atom by itself; rows are (atom, axis).

    Args:
        values: of the centers.
        slopes: as a source moves, in the columns (place of the source, axis, n).
        own: minus the same as the center itself moves, the sum over its sources of each species.
        centers: of the slot.
        kinds: place of the species of each atom of the batch, and number of species.
        where: structure and place of each atom of the batch.
        channels: that slopes are mixed to, as the values are.
    """

    values: Float[Tensor, "structure lm most channel"]
    slopes: Float[Tensor, "structure lm most source_axis_n"]
    own: Float[Tensor, "center lm axis_channel"]
    centers: Centers
    kinds: tuple[Int[Tensor, " atom"], int]
    where: tuple[Int[Tensor, " atom"], Int[Tensor, " atom"]]
    channels: FieldChannels | None

    def summed(
        self, coefficients: Float[Tensor, "structure m_most q"], l: int
    ) -> Float[Tensor, "row p q"]:
        """Sources and centers apart: a source is in the columns of its species only."""
        some = slice(l * l, (l + 1) ** 2)
        kinds, n_kinds = self.kinds
        q, atoms = coefficients.shape[-1], torch.arange(len(kinds), device=kinds.device)
        n = self.own.shape[-1] // (3 * n_kinds)
        moved = torch.bmm(self.slopes[:, some].flatten(1, 2).mT, coefficients)
        moved = moved.unflatten(1, (-1, 3, n))[self.where]  # [atom, axis, n, q]
        found = moved.new_zeros(len(kinds), 3, n_kinds, n, q)
        found[atoms, :, kinds] = moved
        at = coefficients.unflatten(1, (2 * l + 1, self.centers.most))
        here = at[self.centers.structure, :, self.centers.rank]  # [center, m, q]
        itself = torch.bmm(self.own[:, some].mT, here)
        found.index_add_(0, self.centers.atoms, itself.view(-1, 3, n_kinds, n, q), alpha=-1)
        found = found.view(-1, n_kinds * n, q)
        return found if self.channels is None else self.channels.matrices[l].to(found).mT @ found


@final
@dataclass(frozen=True, eq=False, repr=False)
class Together(_Slot):
    """All atoms of a structure at once, in some ways; rows are (structure, way).

    Args:
        values: of the centers.
        slopes: in the columns (way, channel).
    """

    values: Float[Tensor, "structure lm most channel"]
    slopes: Float[Tensor, "structure lm most way_channel"]

    def summed(
        self, coefficients: Float[Tensor, "structure m_most q"], l: int
    ) -> Float[Tensor, "row p q"]:
        """One product for each structure."""
        some = self.slopes[:, l * l : (l + 1) ** 2].flatten(1, 2)
        found = torch.bmm(some.mT, coefficients)
        return found.reshape(-1, self.values.shape[-1], coefficients.shape[-1])


@final
@dataclass(frozen=True, eq=False, repr=False)
class Moved:
    """A field around all atoms of a batch, and how it changes.

    Args:
        block: the batch.
        kinds: place of the species of each atom, and number of species.
        values: coefficients in the columns (species, n).
        sources: with the slopes of each pair, where every atom moves by itself.
        slopes: where all atoms move at once.
        channels: that values and slopes are in; the slopes of pairs are not.
    """

    block: Structures
    kinds: tuple[Int[Tensor, " atom"], int]
    values: Float[Tensor, "atom lm channel"]
    sources: SourceExpansion | None = None
    slopes: Float[Tensor, "atom lm way channel"] | None = None
    channels: FieldChannels | None = None

    def of_slot(self, species: Sequence[int]) -> EachAtom | Together:
        """Around the centers of some species."""
        centers = Centers.of(self.block, species)
        values = centers.padded(self.values)
        if self.slopes is not None:
            return Together(values, centers.padded(self.slopes.flatten(2)))
        return self._each_atom(centers, values)

    def _each_atom(self, centers: Centers, values: Tensor) -> EachAtom:
        sources, (kinds, n_kinds), block = self.sources, self.kinds, self.block
        if sources is None:
            raise ValueError("there are neither slopes of pairs nor of all atoms")
        n_atoms, most = block.n_atoms, int(block.counts.max())
        number = torch.full((n_atoms,), -1, device=kinds.device)
        number[centers.atoms] = torch.arange(len(centers.atoms), device=kinds.device)
        apart = (number[sources.center] >= 0) & (sources.center != sources.source)
        chosen = apart.nonzero()[:, 0]
        center, source = number[sources.center[chosen]], sources.source[chosen]
        parts = sources.slopes[chosen].transpose(1, 2)  # [pair, lm, axis, n]
        lm, n = parts.shape[1], parts.shape[3]
        own = parts.new_zeros(len(centers.atoms) * n_kinds, lm, 3, n)
        own.index_add_(0, center * n_kinds + kinds[source], parts)
        own = own.view(-1, n_kinds, lm, 3, n).permute(0, 2, 3, 1, 4).flatten(2)
        place = _places(block)
        slopes = parts.new_zeros(block.n_structures, lm, centers.most, most, 3, n)
        here = centers.structure[center], slice(None), centers.rank[center], place[source]
        slopes[here] = parts
        return EachAtom(
            values=values,
            slopes=slopes.flatten(3),
            own=own,
            centers=centers,
            kinds=self.kinds,
            where=(block.structure_index, place),
            channels=self.channels,
        )


def of_each_atom(
    sources: SourceExpansion,
    block: Structures,
    species: tuple[int, ...],
    channels: FieldChannels | None,
) -> Moved:
    """Every coordinate by itself."""
    kinds = _kinds(block, species)
    values = _by_species(sources.values, sources, kinds, channels)
    return Moved(block, kinds, values, sources=sources, channels=channels)


def together(
    sources: SourceExpansion,
    block: Structures,
    species: tuple[int, ...],
    channels: FieldChannels | None,
    along: Float[Tensor, "atom 3 direction"],
) -> Moved:
    """All atoms of a structure at once, along some directions."""
    kinds = _kinds(block, species)
    steps = (along[sources.source] - along[sources.center]).to(sources.slopes)
    parts = torch.einsum("pxmn,pxk->pmkn", sources.slopes, steps)
    values = _by_species(sources.values, sources, kinds, channels)
    slopes = _by_species(parts, sources, kinds, channels)
    return Moved(block, kinds, values, slopes=slopes, channels=channels)


def of_strains(
    sources: SourceExpansion,
    block: Structures,
    species: tuple[int, ...],
    channels: FieldChannels | None,
) -> Moved:
    """All atoms with the cell, along e_ab in the order xx, xy, ..., zz."""
    if sources.strains is None:
        raise ValueError("strains of the expansion were not asked for")
    kinds = _kinds(block, species)
    parts = sources.strains.flatten(1, 2).transpose(1, 2)
    values = _by_species(sources.values, sources, kinds, channels)
    slopes = _by_species(parts, sources, kinds, channels)
    return Moved(block, kinds, values, slopes=slopes, channels=channels)


def _by_species(
    parts: Float[Tensor, "pair *_ n"],
    sources: SourceExpansion,
    kinds: tuple[Int[Tensor, " atom"], int],
    channels: FieldChannels | None,
) -> Float[Tensor, "atom *_ channel"]:
    """Sums over the sources of each species, side by side, or mixed."""
    kind, n_kinds = kinds
    sums = parts.new_zeros(len(kind) * n_kinds, *parts.shape[1:])
    sums.index_add_(0, sources.center * n_kinds + kind[sources.source], parts)
    found = sums.unflatten(0, (-1, n_kinds)).movedim(1, -2).flatten(-2)
    return found if channels is None else channels.mixed(found)


def _kinds(block: Structures, species: tuple[int, ...]) -> tuple[Int[Tensor, " atom"], int]:
    known = torch.tensor(species, device=block.species.device)
    return torch.searchsorted(known, block.species), len(species)


def _places(structures: Structures) -> Int[Tensor, " atom"]:
    """Number of each atom within its structure."""
    starts = structures.counts.cumsum(0) - structures.counts
    everything = torch.arange(structures.n_atoms, device=starts.device)
    return everything - starts[structures.structure_index]
