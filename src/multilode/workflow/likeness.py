"""Structures that are the same, and those that are near: what data say about themselves."""

import itertools
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int

from multilode.structures.batch import Structures

_EQUAL = 1e-7  # relative difference of fingerprints
_MOST_ATOMS = 64  # of a structure whose distances to all others are looked at
_NEAR = 0.6  # Å that an atom may move between two structures that are compared
_COMPARED = 400  # structures
_ENOUGH = 5  # pairs
_SURE, _TRUE = 0.98, 0.9  # correlations of a slope that is known to some per cent, and by a half
_CLOSE, _WIDE = (0.75, 1.35), (0.5, 2.0)  # slopes that may be 1, for these correlations
_STRAINED = 0.1  # of a cell that is compared with another
_STILL = 0.02  # Å that an atom may move beside its cell where forces are not known


def fingerprints(structures: Structures) -> Float[np.ndarray, "structure number"]:
    """Numbers that equal geometries have in common, however they are turned or shifted.

    Sums over pairs of functions of their distance and elements, beside the cell. Of more than 64
    atoms some have pairs with all others, so that two orders of the same atoms look different.
    """
    found = []
    positions, species = (t.numpy() for t in (structures.positions, structures.species))
    cells, pbc = structures.cell.numpy(), structures.pbc.numpy()
    stops = structures.counts.cumsum(0).numpy()
    for k, (start, stop) in enumerate(zip([0, *stops[:-1]], stops, strict=True)):
        x, z = positions[start:stop].astype(float), species[start:stop].astype(float)
        cell = cells[k][pbc[k]]
        step = -(-len(x) // _MOST_ATOMS) or 1
        apart = np.linalg.norm(x[:, None] - x[None, ::step], axis=2)
        weights = np.sqrt(z)[:, None] * np.sqrt(z + 1)[None, ::step]
        sums = [float((weights * f).sum()) for f in (apart, apart**2, 1 / (1 + apart))]
        lengths = [float(np.linalg.norm(cell)), float(np.abs(cell @ cell.T).sum())]
        found.append([len(x), z.sum(), (z**2).sum(), *lengths, *sums])
    return np.array(found, dtype=float).reshape(len(found), -1)


def same(numbers: Float[np.ndarray, "structure number"]) -> Int[np.ndarray, "pair 2"]:
    """Pairs of equal structures, each later one with the first of its kind, the earlier first."""
    kinds: dict[tuple[float, ...], int] = {}
    pairs = []
    for k, row in enumerate(numbers):
        scale = np.where(row == 0, 1.0, 10.0 ** np.floor(np.log10(np.abs(row) + 1e-300)))
        # of two neighboring numbers one may round up and one down: both ways are looked up
        keys = [tuple(np.round(row / scale / _EQUAL / 100 + shift)) for shift in (0.0, 0.5)]
        first = next((kinds[key] for key in keys if key in kinds), None)
        if first is not None and np.allclose(numbers[first], row, rtol=100 * _EQUAL, atol=1e-9):
            pairs.append((first, k))
            continue
        for key in keys:
            kinds.setdefault(key, k)
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


@final
@dataclass(frozen=True)
class Changes:
    """Energies of neighboring structures against the work of forces or stresses between them.

    Args:
        correlation: of changes of the energy with the work.
        slope: of the former along the latter; those of small displacements count most.
        factors: quartiles of their ratios, ascending. Where the energy rises ever more steeply, as
            of crystals that are strongly rattled, the work of the mean force is too large by more
            than half for some pairs; another unit is one factor for all.
    """

    correlation: float
    slope: float
    factors: tuple[float, float, float]

    @property
    def is_sure(self) -> bool:
        """Whether the slope is known to some per cent."""
        return self.correlation > _SURE

    @property
    def other_unit(self) -> bool:
        """Whether the slope, and most pairs, say that both have different units."""
        low, high = _CLOSE if self.is_sure else _WIDE
        least, _, most = self.factors
        return self.correlation > _TRUE and (
            (self.slope < low and most < low) or (self.slope > high and least > high)
        )


def contradictions(
    structures: Structures,
    energies: Float[np.ndarray, " structure"],
    forces: Float[np.ndarray, "atom 3"],
) -> Changes | None:
    """Energies against forces, without a model: between structures whose atoms hardly moved.

    The energy changes by minus the mean force times the displacement, up to the third order. None
    if too few structures are near to another.
    """
    stops = structures.counts.cumsum(0).tolist()
    starts = [0, *stops[:-1]]
    x, z = structures.positions.numpy(), structures.species.numpy()
    groups: dict[tuple[bytes, bytes], list[int]] = {}
    for k, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        key = (z[start:stop].tobytes(), structures.cell[k].numpy().tobytes())
        groups.setdefault(key, []).append(k)
    changes = []
    for members in groups.values():
        chosen = members[:_COMPARED]
        places = np.stack([x[starts[k] : stops[k]] for k in chosen])
        slopes = np.stack([forces[starts[k] : stops[k]] for k in chosen])
        for i in range(len(chosen) - 1):
            moves = places[i + 1 :] - places[i]
            moves = moves - moves.mean(axis=1, keepdims=True)
            size = np.linalg.norm(moves, axis=2).max(axis=1, initial=0.0)
            near = int(size.argmin())
            if 0 < size[near] < _NEAR:
                j = i + 1 + near
                work = float((0.5 * (slopes[i] + slopes[j]) * moves[near]).sum())
                # what is left out grows with the third power
                weight = float(size[near]) ** -2
                change = energies[chosen[j]] - energies[chosen[i]]
                changes.append((weight * change, -weight * work))
    return _relation(changes)


def strain_contradictions(
    structures: Structures,
    energies: Float[np.ndarray, " structure"],
    forces: Float[np.ndarray, "atom 3"] | None,
    stress: Float[np.ndarray, "structure 3 3"],
) -> Changes | None:
    """Energies against stresses: between crystals whose cell, and whose atoms, hardly changed.

    The energy changes by volume times mean stress times strain, less the work of the forces. None
    if too few structures are near to another.

    Args:
        forces: in the unit of the energy per Å; without them atoms may only move with the cell.
    """
    stops = structures.counts.cumsum(0).tolist()
    starts = [0, *stops[:-1]]
    x, z = structures.positions.double().numpy(), structures.species.numpy()
    cells, bulk = structures.cell.double().numpy(), structures.pbc.all(dim=1).numpy()
    groups: dict[bytes, list[int]] = {}
    for k in np.flatnonzero(bulk).tolist():
        groups.setdefault(z[starts[k] : stops[k]].tobytes(), []).append(k)
    changes = []
    for members in groups.values():
        chosen = members[:_COMPARED]
        for i, j in itertools.pairwise(chosen):
            strain = np.linalg.solve(cells[i], cells[j]) - np.eye(3)
            if not 1e-5 < np.abs(strain).max() < _STRAINED:
                continue
            moves = x[starts[j] : stops[j]] - x[starts[i] : stops[i]] @ (np.eye(3) + strain)
            moves -= np.round(moves @ np.linalg.inv(cells[j])) @ cells[j]
            moves -= moves.mean(axis=0)
            if np.abs(moves).max() > (_STILL if forces is None else _NEAR):
                continue
            volume = 0.5 * (abs(np.linalg.det(cells[i])) + abs(np.linalg.det(cells[j])))
            work = volume * float((0.5 * (stress[i] + stress[j]) * strain).sum())
            known = 0.0
            if forces is not None:
                mean = 0.5 * (forces[starts[i] : stops[i]] + forces[starts[j] : stops[j]])
                known = float((mean * moves).sum())
            weight = (np.abs(strain).max() + np.abs(moves).max()) ** -2
            changes.append((weight * (energies[j] - energies[i] + known), weight * work))
    return _relation(changes)


def _relation(changes: list[tuple[float, float]]) -> Changes | None:
    """Of two kinds of changes."""
    if len(changes) < _ENOUGH:
        return None
    first, second = np.array(changes, dtype=float).T
    norm = float(np.sqrt((first**2).sum() * (second**2).sum()))
    if norm == 0:
        return None
    both = float((first * second).sum())
    low, middle, high = np.quantile((first / second)[second != 0], (0.25, 0.5, 0.75)).tolist()
    return Changes(both / norm, both / float((second**2).sum()), (low, middle, high))
