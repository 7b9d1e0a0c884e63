"""Errors of predictions: of all structures, and by group.

`RMSE%` is always the RMSE divided by the standard deviation of the target over the test set (the
population value, ddof = 0), times 100: predicting the mean of the test set gives 100. `RMSE% of
rest` is the RMSE divided by the standard deviation of what the baseline leaves of the target there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models.committee.calibration import fraction_inside


@final
@dataclass(frozen=True, kw_only=True)
class ErrorRow:
    """Errors of one group of structures.

    Args:
        group: name of the group.
        n: number of structures.
        rmse: root mean squared error, in the unit of the target.
        mae: mean absolute error, in the unit of the target.
        rmse_percent: RMSE over the standard deviation of the target in this group, times 100; NaN
            for a group whose target does not vary.
        rmse_percent_of_rest: RMSE over the standard deviation of target less baseline in this
            group, times 100; NaN where that is not known or does not vary.
        within_bars_percent: errors that are not larger than their error bars, of 100; NaN without
            error bars.
    """

    group: str
    n: int
    rmse: float
    mae: float
    rmse_percent: float
    rmse_percent_of_rest: float = float("nan")
    within_bars_percent: float = float("nan")

    def written(self, name: str, unit: str) -> str:
        """One line for people."""
        factor, unit = read_unit(unit)
        rmse, mae = (f"{factor * x:.4g} {unit}".strip() for x in (self.rmse, self.mae))
        rest = self.rmse_percent_of_rest
        more = "" if math.isnan(rest) else f", {rest:.4g} % of the rest"
        return f"{name}: RMSE {rmse} ({self.rmse_percent:.4g} %{more}), MAE {mae}, n {self.n}"


def read_unit(unit: str) -> tuple[float, str]:
    """Factor and unit in which errors are read: meV for what is eV per atom, Å or volume."""
    return (1000.0, f"m{unit}") if unit.startswith("eV/") else (1.0, unit)


def rmse(reference: Float[Tensor, "structure ..."], predicted: Float[Tensor, "..."]) -> float:
    """Root mean squared error over all structures and columns.

    Raises:
        ValueError: if shapes differ or there is nothing to compare.
    """
    return float(_differences(reference, predicted).square().mean().sqrt())


def mae(reference: Float[Tensor, "structure ..."], predicted: Float[Tensor, "..."]) -> float:
    """Mean absolute error over all structures and columns.

    Raises:
        ValueError: if shapes differ or there is nothing to compare.
    """
    return float(_differences(reference, predicted).abs().mean())


def rmse_percent(
    reference: Float[Tensor, "structure ..."], predicted: Float[Tensor, "..."]
) -> float:
    """RMSE over the standard deviation of `reference` (the test set; ddof = 0), times 100.

    For several columns the deviations from the columns' means are pooled. NaN if the reference
    does not vary, as with a single structure.

    Source: theory#rmse-percent.

    Raises:
        ValueError: if shapes differ or there is nothing to compare.
    """
    error = rmse(reference, predicted)
    deviation = standard_deviation(reference)
    return error / deviation * 100 if deviation > 0 else float("nan")


def standard_deviation(reference: Float[Tensor, "structure ..."]) -> float:
    """Population standard deviation over structures, pooled over columns; 0 if all are equal."""
    values = reference.detach().double()
    if bool((values == values[:1]).all()):
        return 0.0  # exactly, where the rounding of the mean would leave a tiny number
    return float((values - values.mean(dim=0)).square().mean().sqrt())


def error_table(
    reference: Float[Tensor, "structure ..."],
    predicted: Float[Tensor, "..."],
    groups: Sequence[str] | None = None,
    *,
    baseline: Float[Tensor, "..."] | None = None,
    bars: Float[Tensor, "..."] | None = None,
) -> list[ErrorRow]:
    """Errors of all structures and, if groups are given, of each group in order of appearance.

    The first row, named "all", holds all structures.

    Args:
        groups: name of the group of each structure.
        baseline: the part of the predictions that the model was not asked for.
        bars: error bars of the predictions.

    Raises:
        ValueError: if shapes differ or there is nothing to compare.
    """
    rows = [_error_row("all", reference, predicted, baseline, bars)]
    if groups is None:
        return rows
    if len(groups) != len(reference):
        raise ValueError(
            f"got {len(groups)} group names for {len(reference)} structures; give one for each"
        )
    for name in dict.fromkeys(groups):
        members = torch.tensor([group == name for group in groups])
        some = (None if part is None else part[members] for part in (baseline, bars))
        rows.append(_error_row(str(name), reference[members], predicted[members], *some))
    return rows


def _differences(
    reference: Float[Tensor, "structure ..."], predicted: Float[Tensor, "..."]
) -> Float[Tensor, "structure ..."]:
    if reference.shape != predicted.shape:
        raise ValueError(
            f"reference has shape {list(reference.shape)}, predictions {list(predicted.shape)}; "
            "compare values of the same structures and columns"
        )
    if reference.numel() == 0:
        raise ValueError("there is nothing to compare; give at least one structure")
    return predicted.detach().double() - reference.detach().double()


def _error_row(
    group: str,
    reference: Float[Tensor, "structure ..."],
    predicted: Float[Tensor, "..."],
    baseline: Float[Tensor, "..."] | None,
    bars: Float[Tensor, "..."] | None,
) -> ErrorRow:
    error, nan = rmse(reference, predicted), float("nan")
    rest = 0.0 if baseline is None else standard_deviation(reference - baseline)
    inside = nan
    if bars is not None:
        inside = 100 * fraction_inside(_differences(reference, predicted), bars.double())
    return ErrorRow(
        group=group,
        n=len(reference),
        rmse=error,
        mae=mae(reference, predicted),
        rmse_percent=rmse_percent(reference, predicted),
        rmse_percent_of_rest=error / rest * 100 if rest > 0 else nan,
        within_bars_percent=inside,
    )
