"""Fields: what each atom puts into the space around it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import poch
from torch import Tensor

from multilode.numerics.special import (
    Parameter,
    gamma,
    gauss_legendre,
    generalized_exponential_integral,
    lower_gamma_ratio,
    number,
)

SMALLEST_SMEARING, LARGEST_SMEARING = 0.01, 100.0
SMALLEST_EXPONENT, LARGEST_EXPONENT = 1e-4, 20.0
_WEIGHT_NODES = 20  # for a window of a few per cent in the smearing, many


class AbstractField(ABC):
    """A spherical profile v(r) with its Fourier transform v^(k). Source: theory, section 1.

    A parameter is a number, or a float64 tensor without dimensions in which coefficients are then
    differentiable. Tables and caches take `frozen(field)`, which holds numbers only.
    """

    smearing: Parameter

    @abstractmethod
    def profile(self, r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v(r) for distances r >= 0 in Å."""

    @abstractmethod
    def fourier(self, k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v^(k), the integral of v(r) exp(-i k.r) over space, for wave numbers k > 0 in 1/Å."""

    @abstractmethod
    def fourier_origin(self) -> Parameter:
        """What enters the lattice sum at k = 0: the limit of v^ if it is finite, else 0."""

    @abstractmethod
    def far_moments(
        self, ratio: Float[np.ndarray, "*shape"], max_angular: int
    ) -> Float[np.ndarray, " l *shape"]:
        """Integral of P_l(c) v(|x - r|) over c in [-1, 1], beyond the reach of the smearing.

        A function of ratio = x / r < 1 alone, in units of r^-decay.
        """

    @abstractmethod
    def gaussian_weights(
        self, anchor: "AbstractField", lagrange: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, " node"]:
        """Gaussians exp(-t r^2) whose sum is the difference to a field of another smearing.

        Args:
            anchor: the same field with another smearing, near by.
            lagrange: maps ln t [point] to the Lagrange polynomials of nodes in ln t [point, node].
        """

    @property
    @abstractmethod
    def decay(self) -> float:
        """Exponent of the algebraic tail of v(r); infinite for a field of Gaussian range."""

    @property
    @abstractmethod
    def width(self) -> float:
        """Width in Å of the Gaussian with which v(r) reaches its tail; the smearing or more."""


def trainable(field: AbstractField) -> frozenset[str]:
    """Names of the parameters with respect to which derivatives are asked for."""
    values = {f.name: getattr(field, f.name) for f in fields(field)}  # type: ignore[arg-type]
    return frozenset(k for k, v in values.items() if isinstance(v, Tensor) and v.requires_grad)


def frozen(field: AbstractField) -> AbstractField:
    """The same field with its parameters as numbers: what tables are made for and found by."""
    values = {f.name: getattr(field, f.name) for f in fields(field)}  # type: ignore[arg-type]
    tensors = {k: number(v) for k, v in values.items() if isinstance(v, Tensor)}
    return replace(field, **tensors) if tensors else field  # type: ignore[type-var]


def _number(name: str, value: Parameter) -> float:
    if isinstance(value, Tensor) and (value.dim() or value.dtype != torch.float64):
        raise ValueError(
            f"{name} is a tensor of {value.dtype} with shape {tuple(value.shape)}; give a number, "
            "or a torch.float64 tensor without dimensions"
        )
    return number(value)


def _check_smearing(smearing: Parameter) -> None:
    value = _number("smearing", smearing)
    if not SMALLEST_SMEARING <= value <= LARGEST_SMEARING:
        raise ValueError(
            f"smearing is {value} Å; it must lie between {SMALLEST_SMEARING:g} and "
            f"{LARGEST_SMEARING:g} Å"
        )


def _check_exponent(exponent: Parameter) -> None:
    value = _number("exponent", exponent)
    if not SMALLEST_EXPONENT <= value <= LARGEST_EXPONENT:
        raise ValueError(
            f"exponent is {value}; a potential needs one between {SMALLEST_EXPONENT:g} "
            f"and {LARGEST_EXPONENT:g}, and the density is a field of its own"
        )


def _log_rate(smearing: Parameter) -> Parameter:
    """ln t of the Gaussian exp(-t r^2), t = 1 / 2 s^2."""
    if isinstance(smearing, Tensor):
        return -torch.log(2 * smearing**2)
    return -math.log(2 * smearing**2)


@final
@dataclass(frozen=True)
class GaussianDensity(AbstractField):
    """Gaussian of unit L2 norm, (pi s^2)^(-3/4) exp(-r^2 / 2 s^2). Source: 2019 Eq. 1, 2021 Eq. 1.

    Args:
        smearing: Gaussian width s in Å.

    Raises:
        ValueError: if the smearing is outside of [0.01, 100] Å.
    """

    smearing: Parameter

    def __post_init__(self) -> None:
        _check_smearing(self.smearing)

    def profile(self, r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v(r) for distances r >= 0 in Å."""
        norm = (math.pi * self.smearing**2) ** -0.75
        return norm * torch.exp(-0.5 * (r / self.smearing) ** 2)

    def fourier(self, k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v^(k) = (4 pi s^2)^(3/4) exp(-k^2 s^2 / 2)."""
        return self.fourier_origin() * torch.exp(-0.5 * (k * self.smearing) ** 2)

    def fourier_origin(self) -> Parameter:
        """v^(0), kept."""
        return (4 * math.pi * self.smearing**2) ** 0.75

    def far_moments(
        self, ratio: Float[np.ndarray, "*shape"], max_angular: int
    ) -> Float[np.ndarray, " l *shape"]:
        """Zero: beyond nine widths a Gaussian is below 1e-17."""
        return np.zeros((max_angular + 1, *ratio.shape))

    def gaussian_weights(
        self, anchor: AbstractField, lagrange: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, " node"]:
        """The new Gaussian less the old one."""
        weights = []
        for smearing in (self.smearing, anchor.smearing):
            s = torch.as_tensor(smearing, dtype=torch.float64)
            weights.append((math.pi * s**2) ** -0.75 * lagrange(_log_rate(s)[None])[0])
        return weights[0] - weights[1]

    @property
    def decay(self) -> float:
        """Infinite: no algebraic tail."""
        return math.inf

    @property
    def width(self) -> float:
        """The smearing."""
        return number(self.smearing)


@final
@dataclass(frozen=True)
class SmearedPotential(AbstractField):
    """Smooth potential with the tail 1/r^p, gamma(p/2, r^2 / 2 s^2) / (Gamma(p/2) r^p).

    For p = 1 it is the electrostatic potential of a unit Gaussian charge, erf(r / sqrt2 s) / r.
    Source: 2019 Eq. 2 with its ref. 34; 2021 Eq. 2.

    Args:
        smearing: Gaussian width s in Å.
        exponent: p, any real number from 1e-4 to 20. Where p equals the number of periodic axes
            (1 for wires, 2 for layers, 3 for crystals) the finite part of a lattice sum jumps: it
            has a value there but no slope, and `expand` refuses to differentiate it.

    Raises:
        ValueError: if the smearing or the exponent is out of range.
    """

    smearing: Parameter
    exponent: Parameter = 1.0

    def __post_init__(self) -> None:
        _check_smearing(self.smearing)
        _check_exponent(self.exponent)

    def profile(self, r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v(r) for distances r >= 0 in Å."""
        a = 0.5 * self.exponent
        x = 0.5 * (r / self.smearing) ** 2
        if isinstance(a, Tensor):  # PyTorch has no derivative of gammainc with respect to a
            return lower_gamma_ratio(a, x) * (2 * self.smearing**2) ** -a
        safe = x.clamp(min=1e-12)
        smooth = torch.special.gammainc(torch.tensor(a, dtype=r.dtype, device=r.device), safe)
        inside = 1 / math.gamma(a + 1) - x / ((a + 1) * math.gamma(a))  # two terms of the series
        value = torch.where(x < 1e-12, inside, smooth / safe**a)
        return value * (2 * self.smearing**2) ** -a

    def fourier(self, k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v^(k) = C E_((p-1)/2)(k^2 s^2 / 2), the upper incomplete gamma form without its poles."""
        a = 0.5 * (3 - self.exponent)
        # not (2 s^2)^a: PyTorch's second derivative of a power is wrong where its exponent is 0
        log_power = -a * _log_rate(self.smearing)
        power = torch.exp(log_power) if isinstance(log_power, Tensor) else math.exp(log_power)
        prefactor = math.pi**1.5 * power / gamma(0.5 * self.exponent)
        x = 0.5 * (k * self.smearing) ** 2
        return prefactor * generalized_exponential_integral(0.5 * (self.exponent - 1), x)

    def fourier_origin(self) -> Parameter:
        """v^(0) for p > 3, else 0: a neutralising background for each species."""
        p = self.exponent
        if number(p) <= 3:
            return 0.0
        front = math.pi**1.5 * 2 ** (3 - p) / gamma(0.5 * p)
        return front * 2 / (p - 3) * (0.5 * self.smearing**2) ** (0.5 * (3 - p))

    def far_moments(
        self, ratio: Float[np.ndarray, "*shape"], max_angular: int
    ) -> Float[np.ndarray, " l *shape"]:
        """Legendre moments of |x - r|^-p, a Gegenbauer series (p = 1: Laplace, 2021 Eq. 14)."""
        alpha = 0.5 * self.exponent
        square = ratio**2
        moments = []
        for l in range(max_angular + 1):
            term = 2 * poch(alpha, l) / poch(1.5, l) * ratio**l
            total, k = term.copy(), 0
            while (np.abs(term) > 1e-17 * np.abs(total)).any():
                factor = (alpha + l + k) * (alpha - 0.5 + k) / ((1.5 + l + k) * (1 + k))
                term *= factor * square
                total += term
                k += 1
            moments.append(total)
        return np.stack(moments)

    def gaussian_weights(
        self, anchor: AbstractField, lagrange: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, " node"]:
        """From v = int t^(p/2) exp(-t r^2) dln t / Gamma(p/2) up to t = 1 / 2 s^2."""
        return _mixture_weights(self.smearing, anchor.smearing, self.exponent, lagrange)

    @property
    def decay(self) -> float:
        """The exponent p."""
        return number(self.exponent)

    @property
    def width(self) -> float:
        """The smearing."""
        return number(self.smearing)


def _mixture_weights(
    smearing: Parameter,
    anchor: Parameter,
    exponent: Parameter,
    lagrange: Callable[[Tensor], Tensor],
) -> Float[Tensor, " node"]:
    """Integral of t^(p/2) L(ln t) / Gamma(p/2) over ln t, from the anchor's t to the field's."""
    nodes, weights = (torch.tensor(a, dtype=torch.float64) for a in gauss_legendre(_WEIGHT_NODES))
    start = _log_rate(anchor)
    length = _log_rate(torch.as_tensor(smearing, dtype=torch.float64)) - start
    log_t = start + length * nodes.to(length.device)
    measure = length * weights.to(length.device) * torch.exp(0.5 * exponent * log_t)
    return measure @ lagrange(log_t) / gamma(0.5 * exponent)


@final
@dataclass(frozen=True)
class ScreenedPotential(AbstractField):
    """The short-ranged part v_s - v_s' of an Ewald split, s' = screening.

    A mixture int t^(p/2) exp(-t r^2) dln t / Gamma(p/2) of Gaussians between t = 1 / 2 s'^2 and
    1 / 2 s^2: a quadrature of positive terms, in which nothing cancels. Source: theory, section 2.

    Args:
        smearing: Gaussian width s in Å.
        exponent: p, any real number from 1e-4 to 20.
        screening: Gaussian width s' > s in Å of the part that is taken away; a number, since no
            result depends on it.

    Raises:
        ValueError: if a value is out of range.
    """

    smearing: Parameter
    exponent: Parameter
    screening: float

    def __post_init__(self) -> None:
        _check_smearing(self.smearing)
        _check_exponent(self.exponent)
        if not number(self.smearing) < self.screening <= LARGEST_SMEARING:
            raise ValueError(
                f"screening is {self.screening} Å; it must exceed the smearing of "
                f"{number(self.smearing)} Å and be at most {LARGEST_SMEARING:g} Å"
            )

    def _mixture(self, power: Parameter) -> list[tuple[Parameter, Parameter]]:
        """Nodes t and their weights for the measure t^power dln t / Gamma(p/2)."""
        start = _log_rate(self.screening)
        length = _log_rate(self.smearing) - start
        count = 12 + math.ceil(5 * number(length))  # errors below 1e-14 of v(0)
        front = length / gamma(0.5 * self.exponent)
        terms = []
        for node, weight in zip(*gauss_legendre(count), strict=True):
            log_t = torch.as_tensor(start + node * length, dtype=torch.float64)
            t, factor = torch.exp(log_t), front * weight * torch.exp(power * log_t)
            terms.append((t, factor))
        return terms

    def profile(self, r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v(r) for distances r >= 0 in Å."""
        total, square = torch.zeros_like(r), r**2
        for t, factor in self._mixture(0.5 * self.exponent):
            total = total + factor * torch.exp(-t * square)
        return total

    def fourier(self, k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """v^(k), the same mixture of (pi / t)^(3/2) exp(-k^2 / 4 t); finite at k = 0 too."""
        total, square = torch.zeros_like(k), 0.25 * k**2
        for t, factor in self._mixture(0.5 * (self.exponent - 3)):
            total = total + factor * torch.exp(-square / t)
        return math.pi**1.5 * total

    def fourier_origin(self) -> Parameter:
        """v^(0), finite for every p: the mean that the split of a crystal has to take away."""
        b = 0.5 * (self.exponent - 3)
        start = _log_rate(self.screening)
        length = _log_rate(self.smearing) - start
        front = math.pi**1.5 / gamma(0.5 * self.exponent) * math.exp(start) ** b
        return front * length * _mean_exponential(b * length)

    def far_moments(
        self, ratio: Float[np.ndarray, "*shape"], max_angular: int
    ) -> Float[np.ndarray, " l *shape"]:
        """Zero: beyond nine times the screening a Gaussian is below 1e-17."""
        return np.zeros((max_angular + 1, *ratio.shape))

    def gaussian_weights(
        self, anchor: AbstractField, lagrange: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, " node"]:
        """Those of the potential: the part that is taken away does not change."""
        return _mixture_weights(self.smearing, anchor.smearing, self.exponent, lagrange)

    @property
    def decay(self) -> float:
        """Infinite: no algebraic tail."""
        return math.inf

    @property
    def width(self) -> float:
        """The screening."""
        return self.screening


def _mean_exponential(y: Parameter) -> Parameter:
    """(exp(y) - 1) / y, the mean of exp over [0, y]; 1 at y = 0."""
    if isinstance(y, Tensor):
        series = 1 + y / 2 * (1 + y / 3 * (1 + y / 4 * (1 + y / 5)))
        small = y.abs() < 1e-3
        safe = torch.where(small, torch.ones_like(y), y)
        return torch.where(small, series, torch.expm1(safe) / safe)
    return math.expm1(y) / y if y != 0 else 1.0


FIELDS: dict[str, type[AbstractField]] = {
    "density": GaussianDensity,
    "potential": SmearedPotential,
}
