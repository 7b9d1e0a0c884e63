"""The contract of a field around each atom."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, ClassVar, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.fields.measure import (
    Mixture,
    gaussian_mean,
    gaussian_sum,
    gaussian_waves,
    rate_of,
    with_power_law,
)
from multilode.fields.moments import mixture_moments, power_moments
from multilode.numerics.special import Parameter, number

REACH = 9.0  # widths beyond which a Gaussian is below 1e-17
_NEGLIGIBLE = 60.0  # exp(-60) is nothing beside what is left
_FAINTEST = 1e-18  # of v(0): where a field without a tail ends


@final
@dataclass(frozen=True)
class ParameterRange:
    """Allowed range of a parameter of a field, and the steps over which tables interpolate in it.

    Args:
        lowest: smallest value.
        highest: largest value.
        step: width of the windows in which tables are polynomials of the parameter.
        logarithmic: whether the step is one of the logarithm.
        unit: of the values, for messages.
    """

    lowest: float
    highest: float
    step: float
    logarithmic: bool = True
    unit: str = "Å"

    def clip(self, value: float) -> float:
        """The nearest value in range."""
        return min(max(value, self.lowest), self.highest)

    def check(self, name: str, value: object) -> None:
        """Check one value.

        Raises:
            TypeError: if it is no number.
            ValueError: if it is out of range, or a tensor that is not a float64 scalar.
        """
        if isinstance(value, bool) or not isinstance(value, Real | Tensor):
            raise TypeError(f"{name} is {value!r}; give a number, or a torch.float64 tensor")
        if isinstance(value, Tensor) and (value.dim() or value.dtype != torch.float64):
            raise ValueError(
                f"{name} is a tensor of {value.dtype} with shape {tuple(value.shape)}; give a "
                "number, or a torch.float64 tensor without dimensions"
            )
        given = number(value if isinstance(value, Tensor) else float(value))
        if not self.lowest <= given <= self.highest:
            unit = f" {self.unit}" if self.unit else ""
            raise ValueError(
                f"{name} is {given}{unit}; it must lie between {self.lowest:g} and "
                f"{self.highest:g}{unit}"
            )


SMEARING_RANGE = ParameterRange(0.01, 100.0, 0.05)


@final
@dataclass(frozen=True)
class ClosedForms:
    """Formulas of a class that are faster than its measure; `check_field` compares the two.

    Each takes the field, then the arguments of the method of `AbstractField` with its name.

    Args:
        profile: v(r).
        fourier: v^(k).
        fourier_origin: v^(0).
        far_moments: Legendre moments beyond the reach of the smearing.
        wider: a field that is the part of the measure with Gaussians wider than a given one.
    """

    profile: Callable[[Any, Tensor], Tensor] | None = None
    fourier: Callable[[Any, Tensor], Tensor] | None = None
    fourier_origin: Callable[[Any], Parameter] | None = None
    far_moments: Callable[[Any, np.ndarray, np.ndarray, int], np.ndarray] | None = None
    wider: Callable[[Any, float], "AbstractField"] | None = None


class AbstractField(ABC):
    """A measure over Gaussian rates, v(r) = int dt w(t) exp(-t r^2).

    A class writes `measure`, `tail` and `widest`; profile, Fourier transform, far moments, splits,
    layers and wires, and derivatives in the parameters follow. A parameter is a number, or a
    float64 tensor without dimensions in which all of that is then differentiable. Tables and
    caches take `frozen(field)`, which holds numbers only.

    Attributes:
        smearing: width s in Å of the sharpest Gaussian, t = 1 / 2 s^2.
        ranges: those of its parameters; `check_parameters` in `__post_init__` holds them to it.
        closed_forms: formulas that are faster than the measure.
        neighbors_within_cutoff: whether the `cutoff` of a configuration bounds the neighbors that
            make the field, as it does for a density of neighbors, unless the field says otherwise.

    Source: theory#field; theory#mixture.
    """

    smearing: Parameter
    ranges: ClassVar[Mapping[str, ParameterRange]]
    closed_forms: ClassVar[ClosedForms] = ClosedForms()
    neighbors_within_cutoff: ClassVar[bool] = False

    @abstractmethod
    def measure(self, lowest: Parameter, highest: Parameter) -> Mixture:
        """Rates t and weights of sum w exp(-t r^2), the Gaussians with rates between two limits.

        To rounding for all r, and differentiable in the parameters and in the limits. `lowest` is 0
        only if there is no tail, `highest` may be infinite; `log_quadrature` does the rest.
        """

    @property
    @abstractmethod
    def tail(self) -> Parameter | None:
        """p, if v(r) is r^-p beyond the reach of the smearing; None if it has no algebraic tail.

        The measure is then t^(p/2 - 1) dt / Gamma(p/2) below the rate of the smearing.
        """

    @property
    @abstractmethod
    def widest(self) -> float:
        """Width in Å of the widest Gaussian; infinite if they are of any width."""

    @final
    @property
    def decay(self) -> float:
        """Exponent of the algebraic tail of v(r); infinite for a field without one."""
        return math.inf if self.tail is None else number(self.tail)

    @final
    @property
    def core(self) -> float:
        """Width in Å of the Gaussian with which v(r) reaches its tail, or zero."""
        return self.widest if math.isfinite(self.widest) else number(self.smearing)

    @final
    @property
    def reach(self) -> float:
        """Distance in Å beyond which v(r) is nothing; infinite if it has an algebraic tail."""
        if math.isfinite(self.widest):
            return REACH * self.widest
        if self.tail is not None:
            return math.inf
        distances = REACH * number(self.smearing) * 2.0 ** np.arange(0, 40, 0.25)
        with torch.no_grad():
            values = self.profile(torch.from_numpy(distances)).numpy()
            faint = _FAINTEST * float(self.profile(torch.zeros(1, dtype=torch.float64)))
        return float(distances[np.argmax(values < faint)])

    @final
    def mixture(self, lowest: Parameter, periods: int = 0) -> Mixture:
        """All Gaussians, for distances r^2 < 1 / lowest and averages over `periods` axes.

        Where such an average diverges it is Hadamard's finite part; at p = periods what is zero on
        the axis or plane itself.

        Args:
            lowest: rate below which all Gaussians of an algebraic tail are taken together.
            periods: number of axes; a node at t = 0 has the factor pi^(periods / 2) there, which
                is (pi / t)^(periods / 2) for all others.
        """
        if self.tail is None:
            return self.measure(0.0, math.inf)
        top = rate_of(self.smearing)
        start = top if number(top) < number(lowest) else lowest
        return with_power_law(self.tail, periods, start, self.measure(start, math.inf))

    @final
    def profile(self, r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v(r) for distances r >= 0 in Å."""
        form = self.closed_forms.profile
        return profile_by_measure(self, r) if form is None else form(self, r)

    @final
    def fourier(self, k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v^(k), the integral of v(r) exp(-i k.r) over space, for wave numbers k > 0 in 1/Å."""
        form = self.closed_forms.fourier
        return fourier_by_measure(self, k) if form is None else form(self, k)

    @final
    def fourier_origin(self) -> Parameter:
        """The term of the lattice sum at k = 0: the limit of v^ if it is finite, else 0."""
        form = self.closed_forms.fourier_origin
        return origin_by_measure(self) if form is None else form(self)

    @final
    def far_moments(
        self,
        smaller: Float[np.ndarray, "*shape"],
        larger: Float[np.ndarray, "*shape"],
        max_angular: int,
    ) -> Float[np.ndarray, " l *shape"]:
        """Integral of P_l(c) v(|x - r|) over c in [-1, 1], beyond the reach of the smearing.

        Relative to itself as exact as v is, however small it is for large l.

        Args:
            smaller: the smaller of x and r, in Å.
            larger: the larger of them.
            max_angular: largest l.
        """
        form = self.closed_forms.far_moments
        if form is not None:
            return form(self, smaller, larger, max_angular)
        return far_moments_by_measure(self, smaller, larger, max_angular)


def profile_by_measure(field: AbstractField, r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """v(r) as a sum of Gaussians; the power law of a tail beyond the reach of the smearing.

    Source: theory#mixture.
    """
    border = REACH * number(field.smearing)
    if field.tail is None:
        return gaussian_sum(field.mixture(0.0), r)
    inside = gaussian_sum(field.mixture(1 / border**2), r.clamp(max=border))
    return torch.where(r <= border, inside, r.clamp(min=border) ** -field.tail)


def fourier_by_measure(field: AbstractField, k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """v^(k) as a sum of Gaussians; of rates far below k^2 nothing is left.

    Source: theory#mixture.
    """
    if not k.numel():
        return torch.zeros_like(k)
    longest = float(k.detach().min())
    lowest = 0.0 if field.tail is None else longest**2 / (4 * _NEGLIGIBLE)
    return gaussian_waves(field.measure(lowest, math.inf), k)


def origin_by_measure(field: AbstractField) -> Parameter:
    """v^(0) where it is finite; for p <= 3 a neutralising background for each species.

    Source: theory#k-zero.
    """
    if field.decay <= 3:
        return 0.0
    return mean_over_periods(field, 3)


def mean_over_periods(field: AbstractField, periods: int) -> Parameter:
    """Integral of v over 1, 2 or 3 axes, on the line, the plane or at the point itself.

    Source: theory#background.
    """
    total = gaussian_mean(field.mixture(0.5 * number(rate_of(field.smearing)), periods), periods)
    return total if total.requires_grad else float(total)


def far_moments_by_measure(
    field: AbstractField,
    smaller: Float[np.ndarray, "*shape"],
    larger: Float[np.ndarray, "*shape"],
    max_angular: int,
) -> Float[np.ndarray, " l *shape"]:
    """Legendre moments far away: a series for an algebraic tail, else those of each Gaussian."""
    if field.tail is not None:
        return power_moments(field.decay, smaller / larger, max_angular) * larger**-field.decay
    if math.isfinite(field.widest):  # out of reach
        return np.zeros((max_angular + 1, *smaller.shape))
    with torch.no_grad():
        t, weight = (part.cpu().numpy() for part in field.measure(0.0, math.inf))
    return mixture_moments(t, weight, smaller, larger, max_angular)


def check_parameters(field: AbstractField) -> None:
    """Check the parameters of a field against its ranges.

    Raises:
        TypeError: if one is no number.
        ValueError: if one is out of range.
    """
    for name, allowed in field.ranges.items():
        allowed.check(name, getattr(field, name))


def parameters(field: AbstractField) -> dict[str, Parameter]:
    """Numbers and tensors of a field by name, those of the field that it is a part of included."""
    found: dict[str, Parameter] = {}
    for name, value in _values(field).items():
        if isinstance(value, AbstractField):
            found |= parameters(value)
        elif name in field.ranges:
            found[name] = value
    return found


def parameter_ranges(field: AbstractField) -> dict[str, ParameterRange]:
    """Allowed range of each of its `parameters`."""
    found = dict(field.ranges)
    for value in _values(field).values():
        if isinstance(value, AbstractField):
            found |= parameter_ranges(value)
    return found


def with_parameters(field: AbstractField, **values: Parameter) -> AbstractField:
    """The same field with other values of some of its `parameters`."""
    changed: dict[str, Any] = {}
    for name, value in _values(field).items():
        if isinstance(value, AbstractField):
            changed[name] = with_parameters(value, **values)
        elif name in field.ranges and name in values:
            changed[name] = values[name]
    return replace(field, **changed)  # type: ignore[type-var] - a dataclass


def _values(field: AbstractField) -> dict[str, Any]:
    return {f.name: getattr(field, f.name) for f in fields(field)}  # type: ignore[arg-type] - a dataclass


def trainable(field: AbstractField) -> frozenset[str]:
    """Names of the parameters with respect to which derivatives are asked for."""
    values = parameters(field).items()
    return frozenset(k for k, v in values if isinstance(v, Tensor) and v.requires_grad)


def frozen(field: AbstractField) -> AbstractField:
    """The same field with its parameters as numbers: the key of its tables."""
    tensors = {k: number(v) for k, v in parameters(field).items() if isinstance(v, Tensor)}
    return with_parameters(field, **tensors) if tensors else field
