"""One class for each table, as a stranger would write it; in no table but for a test."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.fields import (
    AbstractCutoff,
    AbstractField,
    Mixture,
    ParameterRange,
    check_parameters,
    higher,
    log_quadrature,
    lower,
    rate_of,
)
from multilode.models import AbstractEstimator, AbstractKernel, PooledMap, PrimalSolution
from multilode.numerics.special import Parameter, number
from multilode.prediction.baseline import AbstractBaseline, FittedBaseline
from multilode.radial import AbstractRadialBasis, check_size


@final
@dataclass(frozen=True)
class SlaterDensity(AbstractField):
    """exp(-r / b), its cusp smeared away: no closed form, only a measure."""

    smearing: Parameter
    length: Parameter = 1.0

    ranges: ClassVar[Mapping[str, ParameterRange]] = {
        "smearing": ParameterRange(0.01, 100.0, 0.05),
        "length": ParameterRange(0.1, 50.0, 0.05),
    }

    def __post_init__(self) -> None:
        check_parameters(self)

    def measure(self, lowest: Parameter, highest: Parameter) -> Mixture:
        """exp(-1 / 4 t b^2) / sqrt(4 pi b^2 t) dln t up to t = 1 / 2 s^2."""
        rate = 0.25 / torch.as_tensor(self.length, dtype=torch.float64) ** 2
        start, stop = higher(lowest, number(rate) / 60), lower(highest, rate_of(self.smearing))
        return log_quadrature(
            lambda t: torch.sqrt(rate / (math.pi * t)) * torch.exp(-rate / t), start, stop
        )

    @property
    def tail(self) -> Parameter | None:
        """None."""
        return None

    @property
    def widest(self) -> float:
        """Infinite."""
        return math.inf


@final
@dataclass(frozen=True)
class CosineBasis(AbstractRadialBasis):
    """Cosines under a power of another one, which falls to zero at the radius."""

    n_radial: int
    radius: float
    sharpness: float = 2.0

    def __post_init__(self) -> None:
        check_size(self.n_radial, self.radius)

    @property
    def support(self) -> float:
        """The radius."""
        return self.radius

    def primitives(
        self,
        r: Float[np.ndarray, " point"],
        l: int,
    ) -> Float[np.ndarray, "n point"]:
        """cos(n pi r / 2 radius) cos(pi r / 2 radius)^sharpness."""
        angle = 0.5 * np.pi * np.minimum(r / self.radius, 1.0)
        envelope = np.cos(angle).clip(0.0) ** self.sharpness
        return np.cos(np.arange(self.n_radial)[:, None] * angle) * envelope


@final
@dataclass(frozen=True)
class CubicCutoff(AbstractCutoff):
    """Falls from one to zero as 1 - 3 t^2 + 2 t^3 over the last width."""

    width: float

    def __call__(self, r: Float[Tensor, "*shape"], cutoff: float) -> Float[Tensor, "*shape"]:
        """Weights at distances r in Å."""
        t = ((r - cutoff) / self.width + 1).clamp(0, 1)
        return 1 - 3 * t**2 + 2 * t**3


@final
@dataclass(frozen=True)
class MedianBaseline(AbstractBaseline):
    """The same constant for every atom, the median over structures: no outlier moves it."""

    def fit(self, structures, y, *, reduce, species=None):
        """Per atom of extensive targets."""
        species = species or tuple(structures.species.unique().tolist())
        sizes = structures.counts[:, None] if reduce == "sum" else 1
        constants = (y.double() / sizes).median(dim=0, keepdim=True).values
        return FittedBaseline(
            species=species, constants=constants.repeat(len(species), 1), reduce=reduce
        )


@final
@dataclass(frozen=True, kw_only=True)
class LeastSquares(AbstractEstimator):
    """A stranger's estimator: least squares with a little damping, on pooled features."""

    damping: float = 1e-3

    @property
    def uses_invariants(self):
        return False

    def map(self, problem, sample):
        return PooledMap(problem=problem, centers=problem.centers)

    def solve(self, rows, *, subsets=None):
        if subsets is None:
            return self._solution(rows)
        return PrimalSolution.joined([self._solution(rows.select(s)) for s in subsets])

    def _solution(self, rows):
        x = torch.cat(rows.terms, dim=1)
        gram = x.T @ x + self.damping * torch.eye(x.shape[1], dtype=x.dtype)
        weights = torch.linalg.solve(gram, x.T @ rows.y)
        return PrimalSolution(
            weights=weights.split([term.shape[1] for term in rows.terms]),
            intercept=torch.zeros(weights.shape[1], dtype=x.dtype),
        )


@final
@dataclass(frozen=True, kw_only=True)
class Rational(AbstractKernel):
    """A stranger's kernel: 1 / (1 + |u - u'|^2 / w^2), times the linear kernel of equivariants."""

    width: float = 1.0

    @property
    def uses_invariants(self):
        return True

    def prepare(self, points):
        return points

    def between(self, left, right):
        u, v = left.of_invariants().values, right.of_invariants().values
        squares = u.square().sum(dim=1)[:, None] + v.square().sum(dim=1) - 2 * u @ v.T
        values = 1 / (1 + squares / self.width**2)
        return values if left.invariants is None else values * (left.values @ right.values.T)

    def power(self, points):
        return None

    def written(self, term):
        return f"rational({term})"
