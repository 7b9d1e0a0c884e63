"""The problem that every expansion method solves: which field, on which basis."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, final, get_args

from multilode.fields import AbstractField
from multilode.fields.cutoffs import AbstractCutoff, ShiftedCosine
from multilode.radial import AbstractRadialBasis

LARGEST_ANGULAR = 20

Range = Literal["all", "near", "far"]


@final
@dataclass(frozen=True)
class FieldExpansion:
    """A field and the local basis on which it is expanded around every center.

    Source: theory#coefficients; theory#center-weight; theory#near-far; Grisafi2021 Eq. 5.

    Args:
        field: one of `FIELDS`, or of your own.
        basis: radial basis; its radius is that of the local environment.
        max_angular: largest l, inclusive.
        neighbor_cutoff: neighbors farther than this many Å do not contribute; None counts all of
            them, as far as the field reaches. The potential is made for None, the density for a
            few Å.
        cutoff_function: weight of a neighbor below the cutoff.
        center_weight: weight in [0, 1] of the center's own contribution; its periodic images are
            neighbors and count fully. A far field has no such contribution, whatever the weight.
        range: for a potential of all atoms, which of them make it: `all`, those `near` the center,
            or the `far` ones, with near + far = all.
        near_radius: radius in Å that divides near from far, smoothly by the cutoff function; the
            center itself is near.

    Raises:
        ValueError: if a value is out of range.
    """

    field: AbstractField
    basis: AbstractRadialBasis
    max_angular: int
    neighbor_cutoff: float | None = None
    cutoff_function: AbstractCutoff = dataclasses.field(default_factory=ShiftedCosine)
    center_weight: float = 1.0
    range: Range = "all"
    near_radius: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.max_angular <= LARGEST_ANGULAR:
            raise ValueError(
                f"max_angular is {self.max_angular}; it must lie between 0 and {LARGEST_ANGULAR}"
            )
        if self.neighbor_cutoff is not None and not (
            math.isfinite(self.neighbor_cutoff) and self.neighbor_cutoff > 0
        ):
            raise ValueError(
                f"neighbor_cutoff is {self.neighbor_cutoff} Å; it must be positive, or None for all"
            )
        if not 0 <= self.center_weight <= 1:
            raise ValueError(f"center_weight is {self.center_weight}; it must lie in [0, 1]")
        self._check_range()

    def _check_range(self) -> None:
        radius = self.near_radius
        if self.range not in get_args(Range):
            raise ValueError(
                f"range is '{self.range}'; allowed are {', '.join(map(repr, get_args(Range)))}"
            )
        if self.range == "all":
            if radius is not None:
                raise ValueError(
                    f"near_radius is {radius} Å, but the range is 'all'; choose 'near' or 'far', "
                    "or leave it out"
                )
            return
        if math.isfinite(self.field.widest):
            raise ValueError(
                f"range is '{self.range}', but the field ends by itself; near and far are for "
                "potentials, a density has its cutoff"
            )
        if self.neighbor_cutoff is not None:
            raise ValueError(
                f"range is '{self.range}' and neighbor_cutoff is {self.neighbor_cutoff} Å; "
                "give one of them, the near field being that of a cutoff at near_radius"
            )
        if radius is None or not (math.isfinite(radius) and radius > 0):
            raise ValueError(
                f"range is '{self.range}' and near_radius is {radius}; give the radius in Å that "
                "divides near from far"
            )
