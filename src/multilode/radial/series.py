"""Functions F_nl(r) as Chebyshev series, on an interval or to infinity."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.numerics.chebyshev import ChebyshevSeries
from multilode.numerics.special import Parameter


@final
@dataclass(frozen=True, eq=False)
class SeriesToInfinity:
    """f_l(r) = (1 + r^2 / a^2)^(-(p + l) / 2) times a smooth function of u = (r - a) / (r + a).

    So falls F_nl of a field with the tail r^-p, and the smooth function is so up to and including
    r = infinity: exact tails at any distance. One that falls faster than any power has p = 0.
    """

    series: ChebyshevSeries
    power: Parameter
    scale: float

    def __call__(self, r: Float[Tensor, " pair"], n_l: int) -> Float[Tensor, "pair l n"]:
        """Values at distances r in Å."""
        smooth = self.series((r - self.scale) / (r + self.scale)).unflatten(1, (n_l, -1))
        order = torch.arange(n_l, dtype=r.dtype, device=r.device)
        envelope = (1 + (r / self.scale) ** 2)[:, None] ** (-0.5 * (self.power + order))
        return smooth * envelope[:, :, None]


@final
@dataclass(frozen=True, eq=False)
class SeriesWithin:
    """A function on [0, upper], and zero beyond if it `ends` there: of Gaussian range."""

    series: ChebyshevSeries
    ends: bool

    def __call__(self, r: Float[Tensor, " pair"], n_l: int) -> Float[Tensor, "pair l n"]:
        """Values at distances r in Å."""
        if not self.ends:
            return self.series(r).unflatten(1, (n_l, -1))
        upper = self.series.upper
        values = self.series(r.clamp(max=upper)).unflatten(1, (n_l, -1))
        return torch.where((r <= upper)[:, None, None], values, torch.zeros_like(values))


@final
@dataclass(frozen=True, eq=False)
class RealTable:
    """F_nl(r), the projection of a field at distance r on R_nl.

    Source: theory#pair-integral.

    Args:
        parts: the summands: the field, and the change by a trained smearing.
        max_angular: largest l.
        n_radial: functions per l.
        origin: F_n0(0).
    """

    parts: tuple[SeriesToInfinity | SeriesWithin, ...]
    max_angular: int
    n_radial: int
    origin: Float[Tensor, " n"]

    def __call__(self, r: Float[Tensor, " pair"]) -> Float[Tensor, "pair l n"]:
        """Values at distances r in Å."""
        total = self.parts[0](r, self.max_angular + 1)
        for part in self.parts[1:]:
            total = total + part(r, self.max_angular + 1)
        return total
