"""A part of a field: the Gaussians of its mixture between two widths."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from multilode.fields.field import AbstractField, ParameterRange
from multilode.fields.measure import Mixture, higher, lower, rate_of
from multilode.numerics.special import Parameter, number


def between(
    field: AbstractField, narrowest: float = 0.0, widest: float = math.inf
) -> AbstractField:
    """The part of a field that is made of Gaussians between two widths in Å.

    `between(field, 0, s')` and `between(field, s', inf)` add up to the field, whatever s' is: the
    sharp and the smooth part of an Ewald split.

    Source: theory#mixture.

    Args:
        field: the field to divide.
        narrowest: smallest width.
        widest: largest width, a number as the other, since no result depends on them.

    Raises:
        ValueError: if nothing lies between them.
    """
    if narrowest <= number(field.smearing) and widest >= field.widest:
        return field
    form = field.closed_forms.wider
    if form is not None and widest == math.inf and narrowest > number(field.smearing):
        return form(field, narrowest)
    return Band(field, narrowest, widest)


@final
@dataclass(frozen=True)
class Band(AbstractField):
    """A measure restricted to rates from 1 / 2 widest^2 to 1 / 2 narrowest^2: see `between`.

    Source: theory#mixture; theory#ewald-split.

    Args:
        whole: the field whose part it is; its parameters may be trained.
        narrowest: smallest width in Å.
        largest: largest width in Å.

    Raises:
        ValueError: if nothing lies between them.
    """

    whole: AbstractField
    narrowest: float
    largest: float

    ranges: ClassVar[Mapping[str, ParameterRange]] = {}

    def __post_init__(self) -> None:
        smearing = number(self.whole.smearing)
        if not (0 <= self.narrowest < self.whole.widest and smearing < self.largest):
            raise ValueError(
                f"between {self.narrowest} and {self.largest} Å there is no part of a field with "
                f"widths from {smearing} to {self.whole.widest} Å"
            )
        sharpest = higher(self.whole.smearing, self.narrowest)
        object.__setattr__(self, "smearing", sharpest)  # as the others have it, and no argument

    def measure(self, lowest: Parameter, highest: Parameter) -> Mixture:
        """That of the whole between all limits."""
        if self.largest < math.inf:
            lowest = higher(lowest, rate_of(self.largest))
        if self.narrowest > 0:
            highest = lower(highest, rate_of(self.narrowest))
        return self.whole.measure(lowest, highest)

    @property
    def tail(self) -> Parameter | None:
        """That of the whole, if the widest Gaussians are in."""
        return self.whole.tail if self.largest == math.inf else None

    @property
    def widest(self) -> float:
        """Width in Å of the widest Gaussian."""
        return min(self.whole.widest, self.largest)
