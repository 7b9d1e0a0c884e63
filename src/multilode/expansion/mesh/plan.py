"""The choice of a mesh: window, spacing and number of radial functions for a tolerance."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
import torch
from jaxtyping import Float

from multilode.expansion.expansion import FieldExpansion
from multilode.expansion.mesh.compression import RadialCompression, compress
from multilode.expansion.mesh.window import Window
from multilode.fields import AbstractField
from multilode.radial import AbstractRadialBasis
from multilode.radial.tables import sharpest

_WIDTHS = range(5, 19)
_OVERSAMPLINGS = (1.0, 1.12, 1.25, 1.5, 1.8)
# Seconds per channel and touched node, and per channel and mesh node: only their ratio matters
_COST_TOUCHED, _COST_NODE = 1.3, 8.0
_KAPPA = np.geomspace(0.005, math.pi, 48)  # wave numbers, in units of the inverse spacing
_SAFETY = 0.2  # the part of the tolerance that the mesh may use


@final
@dataclass(frozen=True)
class MeshPlan:
    """Mesh, window and radial functions with which an expansion is computed.

    Args:
        compression: radial functions.
        window: between atoms and nodes.
        oversampling: number of nodes over the smallest that holds all waves up to k_max.
        error: estimate of the relative error of the mesh, the largest over l.
    """

    compression: RadialCompression
    window: Window
    oversampling: float
    error: float

    def shape(self, cell: Float[np.ndarray, "3 3"]) -> tuple[int, int, int]:
        """Nodes along each lattice vector."""
        lengths = np.linalg.norm(cell, axis=1)
        waves = np.floor(self.compression.k_max * lengths / (2 * math.pi))
        counts = np.ceil(self.oversampling * (2 * waves + 1)).astype(int)
        x, y, z = (_smooth(max(int(count), 2)) for count in counts)
        return x, y, z


@lru_cache(maxsize=256)
@torch.inference_mode(mode=False)
def mesh_plan(
    field: AbstractField,
    basis: AbstractRadialBasis,
    max_angular: int,
    tolerance: float,
    volume_per_atom: float,
    lowest: float = 0.0,
) -> MeshPlan:
    """The cheapest window and spacing whose estimated error is below the tolerance.

    Args:
        field: field to expand.
        basis: radial functions.
        max_angular: largest l.
        tolerance: relative to the largest coefficient of each l.
        volume_per_atom: in Å^3; a mesh of a dilute system should be coarse, of a dense one fine.
        lowest: smallest wave number of the cells in 1/Å.

    Raises:
        ValueError: if no window reaches the tolerance.
    """
    compression = compress(field, basis, max_angular, tolerance, lowest)
    limit = _SAFETY * tolerance
    best, best_cost, least, width = None, math.inf, math.inf, _WIDTHS[-1]
    for oversampling in _OVERSAMPLINGS:
        spacing = math.pi / (compression.k_max * oversampling)
        found = _narrowest(width, spacing, oversampling, compression, limit)
        least = min(least, found[1])
        if found[1] > limit:
            continue
        width = found[0].width  # more nodes never need a wider window
        cost = _COST_TOUCHED * width**3 + _COST_NODE * volume_per_atom / spacing**3
        if cost < best_cost:
            best, best_cost = MeshPlan(compression, found[0], oversampling, found[1]), cost
    if best is None:
        raise ValueError(
            f"a mesh reaches {least / _SAFETY:.1e} for max_angular {max_angular}, not the "
            f"tolerance of {tolerance:.1e}; ask for a larger tolerance, or use ReciprocalSum"
        )
    return best


def _narrowest(
    widest: int, spacing: float, oversampling: float, compression: RadialCompression, limit: float
) -> tuple[Window, float]:
    """The narrowest window whose error is below the limit, or the widest one, with its error."""
    low, high = _WIDTHS[0] - 1, widest
    best = _best_window(high, spacing, oversampling, compression)
    while best[1] <= limit and high - low > 1:
        middle = (low + high) // 2
        tried = _best_window(middle, spacing, oversampling, compression)
        if tried[1] <= limit:
            high, best = middle, tried
        else:
            low = middle
    return best


def _best_window(
    width: int, spacing: float, oversampling: float, compression: RadialCompression
) -> tuple[Window, float]:
    """The best shape near the one that was found to suit an oversampling."""
    max_angular = len(compression.maps) - 1
    smoothing = min(max(2, max_angular), width - 3)
    shape = 1.25 + 0.125 * round(4 * (oversampling - 1))
    windows = [Window(width, smoothing, (shape + s) * width) for s in (0.0, 0.125)]
    errors = [estimate_error(window, spacing, compression) for window in windows]
    chosen = int(np.argmin(errors))
    return windows[chosen], errors[chosen]


@lru_cache(maxsize=4096)
def estimate_error(window: Window, spacing: float, compression: RadialCompression) -> float:
    """Root mean square error of coefficients over the largest of the same l, for random structures.

    A wave that is spread and interpolated is wrong by the errors of both steps; the three axes and
    all waves add as independent errors.
    """
    kappa = compression.samples * spacing
    max_angular = len(compression.maps) - 1
    tabulated = _window_errors(window, max_angular)
    errors = np.exp([np.interp(np.log(kappa), np.log(_KAPPA), row) for row in np.log(tabulated)])
    worst = 0.0
    for l in range(max_angular + 1):
        relative = math.sqrt(3) * (errors[0] + errors[l] / kappa**l)
        spectrum = compression.spectrum[:, l]
        size = np.linalg.norm(spectrum, axis=0).max()
        wrong = np.linalg.norm(spectrum * relative[:, None], axis=0).max()
        worst = max(worst, float(wrong / size))
    return worst


@lru_cache(maxsize=1024)
def _window_errors(window: Window, order: int) -> Float[np.ndarray, "order k"]:
    """Errors of waves that along an axis are as short as `_KAPPA`, or longer."""
    errors = window.interpolation_error(_KAPPA, order)
    return np.maximum.accumulate(np.maximum(errors, 1e-16), axis=1)


def _smooth(count: int) -> int:
    """The next number without prime factors above 7, for which transforms are fast."""
    while True:
        rest = count
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return count
        count += 1


def plan_for(
    expansion: FieldExpansion,
    tolerance: float,
    cells: Float[np.ndarray, "mesh 3 3"],
    n_atoms: int,
) -> MeshPlan:
    """The plan for some cells; sizes are rounded so that plans are shared.

    Args:
        expansion: field and basis.
        tolerance: relative to the largest coefficient of each l.
        cells: rows are lattice vectors, reduced.
        n_atoms: in all cells together.
    """
    volume = np.abs(np.linalg.det(cells)).sum() / max(1, n_atoms)
    lowest = 2 * math.pi * np.linalg.norm(np.linalg.inv(cells), axis=1).min()
    return mesh_plan(
        sharpest(expansion.field),
        expansion.basis,
        expansion.max_angular,
        tolerance,
        2.0 ** round(math.log2(max(volume, 1e-3))),
        2.0 ** math.floor(math.log2(lowest)),
    )
