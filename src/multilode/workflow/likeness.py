"""Structures that are the same, and those that are near: what data say about themselves."""

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
_ALIKE, _OTHER_UNIT = 0.9, 2.0  # correlation, and factor, of values in two units


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
    """Energies of neighboring structures against the work of forces between them.

    Args:
        correlation: of changes of the energy with the work.
        factors: quartiles of their ratios, ascending. Where the energy rises ever more steeply, as
            of crystals that are strongly rattled, the work of the mean force is too large by more
            than half for some pairs; another unit is one factor for all.
    """

    correlation: float
    factors: tuple[float, float, float]

    @property
    def other_unit(self) -> bool:
        """Whether most pairs agree that energies and forces have different units."""
        lower, _, upper = self.factors
        return self.correlation > _ALIKE and (upper < 1 / _OTHER_UNIT or lower > _OTHER_UNIT)


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
                changes.append((energies[chosen[j]] - energies[chosen[i]], -work))
    if len(changes) < _ENOUGH:
        return None
    energy, work = np.array(changes, dtype=float).T
    norm = float(np.sqrt((energy**2).sum() * (work**2).sum()))
    if norm == 0:
        return None
    lower, middle, upper = np.quantile((energy / work)[work != 0], (0.25, 0.5, 0.75)).tolist()
    return Changes(float((energy * work).sum()) / norm, (lower, middle, upper))
