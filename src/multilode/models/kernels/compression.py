"""Fewer coordinates of environments, in which their scalar products are the same."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.kernels import Points
from multilode.models.kernels.environments import Environments

TOLERANCE = 1e-3  # of the variance; errors in cross-validation change by half a percent
WIDEST = 2048  # features that are compressed; the eigenvectors of more would take too long
POINTS_PER_FEATURE = 20  # of a sample, so that its directions are those of the training set
_POINTS_PER_DIRECTION = 4  # of each kind of center
_WORTHWHILE = 0.8  # of the products of features that are left


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Compression:
    """Orthonormal directions of the features of environments, for each kind of center.

    Scalar products of the coordinates along them are those of the features, but for a small part of
    their variance. All components m of an equivariant have the same directions, so that coordinates
    rotate as the features do.

    Source: theory#kernel-compression.

    Args:
        values: directions of the features; zeros fill up where a kind of center has fewer.
        invariants: of the invariants beside equivariants; None of invariants.
    """

    values: Float[Tensor, "slot feature kept"]
    invariants: Float[Tensor, "slot invariant kept2"] | None = None

    def apply(self, points: Points, slots: Int[Tensor, " point"]) -> Points:
        """Coordinates of prepared points, components of a center one after the other."""
        beside = None
        if self.invariants is not None and points.invariants is not None:
            n = points.components  # of which each has the same invariants
            once = _coordinates(points.invariants[::n], self.invariants, slots[::n])
            beside = once.repeat_interleave(n, dim=0)
        return replace(
            points, values=_coordinates(points.values, self.values, slots), invariants=beside
        )


@final
class CompressionSample:
    """Environments of training structures, batch by batch, from which a compression is found."""

    def __init__(self, n_slots: int) -> None:
        self._values, self._beside = _Moments(n_slots), _Moments(n_slots)

    def add(self, rows: Environments) -> None:
        """More prepared environments, which are not kept."""
        points = rows.points
        self._values.add(points.values, rows.slots)
        if points.invariants is not None:
            self._beside.add(points.invariants, rows.slots)

    def compression(self, tolerance: float) -> Compression | None:
        """None if it would save little, or there are too few environments of one kind of center.

        Args:
            tolerance: share of the variance of the features that may be left out.
        """
        equivariant = self._beside.known
        values = self._values.directions(tolerance, about_mean=not equivariant)
        beside = self._beside.directions(tolerance, about_mean=True) if equivariant else values
        if values is None or beside is None:
            return None
        shares = [found.shape[2] / found.shape[1] for found in (values, beside)]
        if shares[0] * shares[1] > _WORTHWHILE:
            return None
        return Compression(values=values, invariants=beside if equivariant else None)


class _Moments:
    """Sums over environments from which the directions of their features are found."""

    def __init__(self, n_slots: int) -> None:
        self.n_slots, self.known = n_slots, False
        self._counts = [0] * n_slots
        self._sums: list[Tensor | float] = [0.0] * n_slots
        self._squares: list[Tensor | float] = [0.0] * n_slots

    def add(self, values: Float[Tensor, "point feature"], slots: Int[Tensor, " point"]) -> None:
        """More points."""
        self.known = True
        for slot in range(self.n_slots):
            own = values[slots == slot].detach()
            self._counts[slot] += len(own)
            self._sums[slot] = self._sums[slot] + own.sum(dim=0)
            self._squares[slot] = self._squares[slot] + own.T @ own

    def directions(
        self, tolerance: float, *, about_mean: bool
    ) -> Float[Tensor, "slot feature kept"] | None:
        """Principal directions, as few as leave out this share of the variance; None if too many.

        Args:
            about_mean: whether the variance is that about the mean. The mean itself is kept.
        """
        found = []
        if not self.known:
            return None
        for count, total, squares in zip(self._counts, self._sums, self._squares, strict=True):
            if count == 0 or not isinstance(squares, Tensor) or not isinstance(total, Tensor):
                return None
            variance = squares.trace()
            if about_mean:
                variance = variance - (total * total).sum() / count
            values, vectors = torch.linalg.eigh(squares)
            # those below this one, together, are the part that is left out
            n_left = int((values.clamp(min=0).cumsum(0) <= tolerance * variance).sum())
            kept = vectors[:, n_left:].flip(1)
            if count < _POINTS_PER_DIRECTION * kept.shape[1]:
                return None
            found.append(kept)
        most = max(kept.shape[1] for kept in found)
        pads = (torch.nn.functional.pad(kept, (0, most - kept.shape[1])) for kept in found)
        return torch.stack(list(pads))


def _coordinates(
    values: Float[Tensor, "point feature"],
    directions: Float[Tensor, "slot feature kept"],
    slots: Int[Tensor, " point"],
) -> Float[Tensor, "point kept"]:
    if len(directions) == 1:
        return values @ directions[0].to(values)
    result = values.new_zeros(len(values), directions.shape[2])
    for slot, own in enumerate(directions.to(values)):
        chosen = (slots == slot).nonzero()[:, 0]
        result = result.index_copy(0, chosen, values[chosen] @ own)
    return result
