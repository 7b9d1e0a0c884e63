"""Summaries of fitted models, for reports."""

from dataclasses import dataclass, replace
from typing import Protocol, final, runtime_checkable

from multilode.models.committee.calibration import Calibration
from multilode.models.kernels import AbstractKernel
from multilode.models.solve.term_weights import Trial, cv_force_rmse, cv_rmse
from multilode.symmetry.irrep import INVARIANT, Irrep


@final
@dataclass(frozen=True, kw_only=True)
class BarsSummary:
    """Calibration of error bars.

    Args:
        calibration: factor between spread and error bar, and the points it was found from.
        n_members: number of members of a committee; None where weights have a distribution.
        members: name of the class of their model.
    """

    calibration: Calibration
    n_members: int | None = None
    members: str | None = None


@final
@dataclass(frozen=True, kw_only=True)
class PartSummary:
    """One regression: the only one, or that of an irrep of a tensor.

    Args:
        irrep: the rows are its components.
        regularization: relative to the mean eigenvalue; None if the method has none.
        term_weights: of each term; None if the method has none.
        kernels: of each term; None for models that are linear in the features.
        cv_rmse: error of the chosen settings in cross-validation; None if nothing was chosen.
        bars: where predictions have any.
        cv_force_rmse: error of the rows of forces with these settings; None without forces.
    """

    irrep: Irrep = INVARIANT
    regularization: float | None = None
    term_weights: tuple[float, ...] | None = None
    kernels: tuple[AbstractKernel, ...] | None = None
    cv_rmse: float | None = None
    bars: BarsSummary | None = None
    cv_force_rmse: float | None = None

    def with_bars(self, bars: BarsSummary) -> "PartSummary":
        """The same as a committee."""
        return replace(self, bars=bars)


@final
@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """A model in a few numbers.

    Args:
        parts: its regressions.
        tensor: kind of tensor, if it is one.
        cv_rmse: error of the chosen settings in cross-validation; None if nothing was chosen.
    """

    parts: tuple[PartSummary, ...]
    tensor: str | None = None
    cv_rmse: float | None = None


@runtime_checkable
class SingleRegression(Protocol):
    """A model with one set of chosen settings."""

    @property
    def irrep(self) -> Irrep:
        """Irrep whose components its rows are."""
        ...

    @property
    def regularization(self) -> float:
        """Relative to the mean eigenvalue of the kernel."""
        ...

    @property
    def term_weights(self) -> tuple[float, ...]:
        """One per term."""
        ...

    @property
    def cv_table(self) -> tuple[Trial, ...]:
        """Trials of the cross-validation."""
        ...


def single_summary(
    model: SingleRegression, *, kernels: tuple[AbstractKernel, ...] | None = None
) -> ModelSummary:
    """Settings and cross-validated error of a model that is one regression.

    Args:
        kernels: of each term; None for models that are linear in the features.
    """
    part = PartSummary(
        irrep=model.irrep,
        regularization=model.regularization,
        term_weights=model.term_weights,
        kernels=kernels,
        cv_rmse=cv_rmse(model.cv_table),
        cv_force_rmse=cv_force_rmse(model.cv_table),
    )
    return ModelSummary(parts=(part,), cv_rmse=part.cv_rmse)
