"""The problem that every expansion method solves: which field, on which basis."""

import math
from dataclasses import dataclass, field
from typing import final

from multilode.cutoffs import AbstractCutoff, ShiftedCosine
from multilode.fields import AbstractField
from multilode.radial import AbstractRadialBasis

LARGEST_ANGULAR = 20


@final
@dataclass(frozen=True)
class FieldExpansion:
    """A field and the local basis on which it is expanded around every center.

    Args:
        field: density or potential.
        radial: radial basis; its cutoff is the radius of the local environment.
        max_angular: largest l, inclusive.
        cutoff: neighbors farther than this many Å do not contribute; None counts all of them. The
            potential is made for None, the density for a few Å.
        cutoff_function: weight of a neighbor below the cutoff.
        center_weight: weight in [0, 1] of the center's own contribution; its periodic images are
            neighbors and count fully.

    Raises:
        ValueError: if a value is out of range.
    """

    field: AbstractField
    radial: AbstractRadialBasis
    max_angular: int
    cutoff: float | None = None
    cutoff_function: AbstractCutoff = field(default_factory=ShiftedCosine)
    center_weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.max_angular <= LARGEST_ANGULAR:
            raise ValueError(
                f"max_angular is {self.max_angular}; it must lie between 0 and {LARGEST_ANGULAR}"
            )
        if self.cutoff is not None and not (math.isfinite(self.cutoff) and self.cutoff > 0):
            raise ValueError(f"the cutoff is {self.cutoff} Å; it must be positive, or None for all")
        if not 0 <= self.center_weight <= 1:
            raise ValueError(f"center_weight is {self.center_weight}; it must lie in [0, 1]")
        if self.cutoff is None and math.isinf(self.field.decay):
            raise ValueError("a density needs a cutoff in Å; give FieldExpansion(cutoff=...)")
