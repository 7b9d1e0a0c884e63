"""Batches of atomic structures, stored flat."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from multilode.numerics.modes import ordinary
from multilode.structures.elements import chemical_symbol

_SMALLEST_VOLUME = 1e-6  # Å^d; below this the d periodic vectors are degenerate, not small
_PERIODIC = ("isolated", "periodic in 1D", "periodic in 2D", "periodic in 3D")

# What an index of a container may be
Which = int | slice | Sequence[int] | Sequence[bool] | np.ndarray | Tensor


@final
@dataclass(frozen=True, kw_only=True)
class Structures:
    """Structures stored flat: atom a belongs to structure `structure_index[a]`. Lengths in Å.

    `structures[3]` and `structures[:10]` are batches again, of one and of ten structures.
    Structures of any periodicity may share a batch. Vectors along axes without periodicity do not
    matter; they may be zero. Left-handed and skewed cells and atoms outside of it are allowed.

    Args:
        positions: Cartesian positions.
        species: atomic numbers.
        cell: rows are lattice vectors, as in ASE.
        pbc: periodicity along each lattice vector.
        structure_index: index of the structure of each atom, in ascending order.
        arrays: other numbers of the atoms by name, such as charges or the fragment of each.

    Raises:
        ValueError: if sizes disagree, numbers are not finite, the index is not ascending, or the
            lattice vectors of the periodic axes are zero, parallel or coplanar.
    """

    positions: Float[Tensor, "atom 3"]
    species: Int[Tensor, " atom"]
    cell: Float[Tensor, "structure 3 3"]
    pbc: Bool[Tensor, "structure 3"]
    structure_index: Int[Tensor, " atom"]
    arrays: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("positions", "species", "cell", "pbc", "structure_index"):
            object.__setattr__(self, name, ordinary(getattr(self, name)))
        for name, values in self.arrays.items():
            if len(values) != len(self.positions):
                raise ValueError(
                    f"'{name}' has {len(values)} rows for {len(self.positions)} atoms; give each "
                    "atom one"
                )
        if self.cell.dtype != self.positions.dtype:
            raise ValueError(
                f"positions are {self.positions.dtype} but the cell is {self.cell.dtype}; "
                "convert both with Structures.to(dtype=...)"
            )
        index = self.structure_index
        if index.numel() and (
            int(index[0]) < 0 or int(index[-1]) >= len(self.cell) or bool((index.diff() < 0).any())
        ):
            raise ValueError("structure_index must ascend and lie between 0 and n_structures - 1")
        finite = torch.isfinite(self.positions.detach()).all(dim=1)
        if not bool(finite.all()):
            atom = int((~finite).nonzero()[0])
            raise ValueError(
                f"atom {atom} (structure {int(index[atom])}) has a position that is not finite; "
                "remove the structure or repair its coordinates"
            )
        degenerate = ~(_spanned(self.cell.detach(), self.pbc) >= _SMALLEST_VOLUME)  # or NaN
        if bool(degenerate.any()):
            k = int(degenerate.nonzero()[0])
            axes = "".join("abc"[axis] for axis in range(3) if self.pbc[k, axis])
            size = {1: "length", 2: "area", 3: "volume"}[len(axes)]
            raise ValueError(
                f"structure {k} is periodic along {axes} but these lattice vectors span {size} 0; "
                "set pbc=False along axes without periods or give independent lattice vectors"
            )

    def __len__(self) -> int:
        return self.n_structures

    def __getitem__(self, which: Which) -> "Structures":
        return self.select(numbers_of(which, len(self)))

    def __iter__(self) -> Iterator["Structures"]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        rows = [f"Structures({self.summary()}", f"  species: {self.composition()}"]
        return "\n".join([*rows, f"  periodicity: {self.periodicity()})"])

    def summary(self) -> str:
        """Numbers of structures and atoms, as text."""
        atoms = _counted(self.n_atoms, "atom")
        if self.n_structures > 1 and self.n_atoms:
            counts = self.counts
            fewest, most = int(counts.min()), int(counts.max())
            atoms += f", {fewest} each" if fewest == most else f", {fewest} to {most} each"
        return f"{_counted(self.n_structures, 'structure')}, {atoms}"

    def composition(self) -> str:
        """Number of atoms of each element, as text."""
        numbers, counts = self.species.unique(return_counts=True)
        found = zip(numbers.tolist(), counts.tolist(), strict=True)
        return ", ".join(f"{chemical_symbol(z)} {count}" for z, count in found) or "none"

    def periodicity(self) -> str:
        """Numbers of structures by their number of periodic axes, as text."""
        found = Counter(self.pbc.sum(dim=1).tolist())
        kinds = [f"{found[n]} {_PERIODIC[n]}" for n in sorted(found, reverse=True)]
        return ", ".join(kinds) or "none"

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return len(self.cell)

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all structures together."""
        return len(self.positions)

    @property
    def counts(self) -> Int[Tensor, " structure"]:
        """Atoms per structure."""
        return torch.bincount(self.structure_index, minlength=self.n_structures)

    @property
    def volumes(self) -> Float[Tensor, " structure"]:
        """Cell volumes in Å^3 (0 where there is no cell)."""
        return triple_product(self.cell).abs()

    def array(self, name: str) -> Num[Tensor, "atom ..."]:
        """Numbers of the atoms by name.

        Raises:
            ValueError: if there are none.
        """
        if name not in self.arrays:
            known = ", ".join(self.arrays) or "none"
            raise ValueError(
                f"the atoms have no '{name}', which this model needs; there are: {known}. Give it "
                "as a column of the file, or as an array of the atoms"
            )
        return self.arrays[name]

    def select(self, indices: Sequence[int] | Int[Tensor, " chosen"]) -> "Structures":
        """The chosen structures as a batch of their own, in the order given."""
        chosen = torch.as_tensor(indices, dtype=torch.int64, device=self.positions.device)
        counts = self.counts
        starts = counts.cumsum(0) - counts
        lengths = counts[chosen]
        new_starts = lengths.cumsum(0) - lengths
        index = torch.repeat_interleave(torch.arange(len(chosen), device=chosen.device), lengths)
        atoms = (starts[chosen] - new_starts)[index] + torch.arange(
            len(index), device=chosen.device
        )
        return Structures(
            positions=self.positions[atoms],
            species=self.species[atoms],
            cell=self.cell[chosen],
            pbc=self.pbc[chosen],
            structure_index=index,
            arrays={name: values[atoms] for name, values in self.arrays.items()},
        )

    def parts(self, labels: Num[Tensor, " atom"]) -> tuple["Structures", Int[Tensor, " atom"]]:
        """The atoms with equal labels in each structure as structures, in the same cell.

        Args:
            labels: part of its structure that each atom belongs to.

        Returns:
            The parts, and the atom here that each of their atoms is.

        Raises:
            ValueError: if a label is no whole number.
        """
        if labels.shape != (self.n_atoms,) or not bool((labels == labels.round()).all()):
            raise ValueError("labels of fragments must be one whole number for each atom")
        order = torch.argsort(labels, stable=True)
        order = order[torch.argsort(self.structure_index[order], stable=True)]
        pairs = torch.stack([self.structure_index, labels.to(self.structure_index)])[:, order]
        begins = torch.ones_like(order, dtype=torch.bool)
        begins[1:] = (pairs.diff(dim=1) != 0).any(dim=0)
        index, owner = begins.cumsum(0) - 1, pairs[0, begins]
        apart = Structures(
            positions=self.positions[order],
            species=self.species[order],
            cell=self.cell[owner],
            pbc=self.pbc[owner],
            structure_index=index,
            arrays={name: values[order] for name, values in self.arrays.items()},
        )
        return apart, order

    def atoms_apart(self, chosen: Int[Tensor, " chosen"]) -> "Structures":
        """The chosen atoms, each an isolated structure of its own."""
        n = len(chosen)
        return Structures(
            positions=self.positions[chosen],
            species=self.species[chosen],
            cell=self.cell.new_zeros((n, 3, 3)),
            pbc=self.pbc.new_zeros((n, 3)),
            structure_index=torch.arange(n, device=self.structure_index.device),
            arrays={name: values[chosen] for name, values in self.arrays.items()},
        )

    def to(
        self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> "Structures":
        """The same structures with another floating-point type or on another device."""
        dtype = dtype or self.positions.dtype
        return Structures(
            positions=self.positions.to(dtype=dtype, device=device),
            species=self.species.to(device=device),
            cell=self.cell.to(dtype=dtype, device=device),
            pbc=self.pbc.to(device=device),
            structure_index=self.structure_index.to(device=device),
            arrays={
                name: values.to(dtype=dtype if values.is_floating_point() else None, device=device)
                for name, values in self.arrays.items()
            },
        )

    @staticmethod
    def from_arrays(
        positions: Sequence[np.ndarray],
        species: Sequence[np.ndarray],
        cells: Sequence[np.ndarray],
        pbcs: Sequence[np.ndarray],
    ) -> "Structures":
        """A float64 batch from one array of each kind per structure.

        Args:
            positions: of the atoms, in Å.
            species: atomic numbers.
            cells: rows are lattice vectors, in Å.
            pbcs: whether the structure is periodic along each of them.

        Raises:
            ValueError: if the numbers of arrays differ.
        """
        counts = [len(p) for p in positions]
        if not len(counts) == len(species) == len(cells) == len(pbcs):
            raise ValueError(
                "give as many arrays of positions as of species, cells and periodicities; got "
                f"{len(counts)}, {len(species)}, {len(cells)} and {len(pbcs)}"
            )
        index = np.repeat(np.arange(len(counts)), counts)
        flat = np.concatenate([np.zeros((0, 3)), *[np.reshape(p, (-1, 3)) for p in positions]])
        numbers = np.concatenate([np.zeros(0, dtype=np.int64), *species])
        return Structures(
            positions=torch.from_numpy(flat.astype(np.float64)),
            species=torch.from_numpy(numbers.astype(np.int64)),
            cell=torch.from_numpy(np.array(cells, dtype=np.float64).reshape(-1, 3, 3)),
            pbc=torch.from_numpy(np.array(pbcs, dtype=bool).reshape(-1, 3)),
            structure_index=torch.from_numpy(index.astype(np.int64)),
        )


def numbers_of(which: Which, n: int) -> list[int]:
    """The numbers of the items that an index chooses among `n`, as Python and NumPy count them.

    Args:
        which: a number, a slice, numbers in any order, or a mask with one truth value per item;
            negative numbers count from the end.
        n: number of items.

    Raises:
        IndexError: if there is no such item, or a mask has another length.
        TypeError: if the numbers are not whole.
    """
    if isinstance(which, slice):
        return list(range(n)[which])
    indices = torch.as_tensor(which)
    if indices.is_floating_point() and indices.numel():
        raise TypeError(f"structures are counted in whole numbers, but {which} is given")
    if indices.dtype == torch.bool:
        if indices.shape != (n,):
            raise IndexError(f"a mask of shape {tuple(indices.shape)} is given for {n} structures")
        indices = indices.nonzero()
    numbers = [int(i) for i in indices.flatten().tolist()]
    wrong = [i for i in numbers if not -n <= i < n]
    if wrong:
        raise IndexError(f"there is no structure {wrong[0]}: there are {n}, counted from 0")
    return [i % n for i in numbers]


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def triple_product(cell: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Determinant of small matrices, for which a factorisation is slow."""
    first, second, third = cell.unbind(-2)
    return (first * torch.linalg.cross(second, third)).sum(dim=-1)


def _spanned(
    cell: Float[Tensor, "structure 3 3"], pbc: Bool[Tensor, "structure 3"]
) -> Float[Tensor, " structure"]:
    """Length, area or volume that the periodic vectors span; 1 where there are none."""
    count = pbc.sum(dim=1)
    lengths = torch.linalg.vector_norm(cell, dim=2)
    free = torch.argmin(pbc.to(torch.int8), dim=1)  # the free axis, if it is the only one
    rows = torch.arange(len(cell), device=cell.device)
    area = torch.linalg.vector_norm(
        torch.linalg.cross(cell[rows, (free + 1) % 3], cell[rows, (free + 2) % 3]), dim=1
    )
    length = torch.where(pbc, lengths, 0.0).sum(dim=1)
    volume = triple_product(cell).abs()  # a left-handed cell is a valid cell
    flat = torch.where(count == 1, length, torch.where(count == 2, area, volume))
    return torch.where(count == 0, torch.ones_like(flat), flat)
