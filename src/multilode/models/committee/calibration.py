"""From the spread of a committee to error bars.

A committee of M models has the mean m and the variance s^2 (with M - 1 degrees of freedom) at a
point. Its spread measures how the models differ, which is proportional to the error at best; the
factor is found at points that several members were not trained on. There, with the n members that
left the point out, an error y - m has the variance (a + 1 / n) sigma^2, where sigma^2 is that of
single members about their common mean and 1 / n is what the mean of n of them still varies. As
s^2 estimates sigma^2 with n - 1 degrees of freedom,

    t = (y - m) / (s (a + 1 / n)^(1/2))

follows Student's distribution. Its mean square is (n - 1) / (n - 3), and infinite for n <= 3, which
is the rule and not the exception where a member is trained on 80 % of the points; the mean of
(y - m)^2 / s^2 would be decided by the few points whose members happen to agree. Student's
distribution gives the equation that replaces it,

    mean over points of  n t^2 / (n - 1 + t^2) = 1,

whose left side falls with a. For many members it is the mean of (y - m)^2 / s^2 = a again.
Sources: theory, section 5; the finite size of a committee as in Imbalzano et al. (2021).
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from scipy.special import stdtr
from torch import Tensor

_LARGEST = 60  # doublings of the factor: no error is 1e9 times larger than the spread
_AGREE = 1e-13  # relative to the predictions: what is left of members that all say the same


@final
@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Factor between the spread of a committee and its error bars, with the errors it comes from.

    Args:
        scale: alpha = (a + 1 / M)^(1/2) of each target, for the spread of all M members.
        errors: reference less the mean of the members that left the point out.
        bars: error bar of that mean.
        expected: part of the errors that should be smaller than their bars; it is less than that of
            a Gaussian, 0.68, because few members know their own spread badly.
    """

    scale: Float[Tensor, " target"]
    errors: Float[Tensor, "point target"]
    bars: Float[Tensor, "point target"]
    expected: float

    @property
    def inside(self) -> float:
        """Part of the errors that are smaller than their bars."""
        return fraction_inside(self.errors, self.bars)


def calibrate(
    predictions: Float[Tensor, "point member target"],
    left_out: Bool[Tensor, "point member"],
    y: Float[Tensor, "point target"],
    *,
    share: float = 0.25,
) -> Calibration:
    """The factor at the points that a share of the members was not trained on.

    Source: theory#committee; Musil2019.

    Args:
        left_out: whether the member was not trained on the point.
        y: references.
        share: of the members that must have left a point out; never fewer than two members.

    Raises:
        ValueError: if there are fewer than two such points, or if the members agree on all of them
            and are wrong.
    """
    n_members = predictions.shape[1]
    needed = max(2, int(-(-share * n_members // 1)))
    valid = left_out.sum(dim=1) >= needed
    if int(valid.sum()) < 2:
        raise ValueError(
            f"error bars of a committee need points that {needed} of its {n_members} members were "
            f"not trained on, and there are {int(valid.sum())}; train more members, on smaller "
            "fractions, or add data"
        )
    mean, spread, counts = _outsiders(predictions[valid], left_out[valid])
    errors = y[valid] - mean
    factors = torch.stack(
        [_factor(e, s, counts[:, 0]) for e, s in zip(errors.T, spread.T, strict=True)]
    )
    return Calibration(
        scale=(factors + 1 / n_members).sqrt(),
        errors=errors,
        bars=spread * (factors + 1 / counts).sqrt(),
        expected=float(coverage(counts[:, 0] - 1).mean()),
    )


def _outsiders(
    predictions: Float[Tensor, "point member target"], left_out: Bool[Tensor, "point member"]
) -> tuple[Float[Tensor, "point target"], Float[Tensor, "point target"], Float[Tensor, "point 1"]]:
    """Mean, spread and number of the members that were not trained on each point."""
    masks = left_out.to(predictions)[:, :, None]
    counts = masks.sum(dim=1)
    mean = (predictions * masks).sum(dim=1) / counts
    spread = (((predictions - mean[:, None]) * masks).square().sum(dim=1) / (counts - 1)).sqrt()
    return mean, torch.where(spread > _AGREE * predictions.abs().amax(), spread, 0.0), counts


def coverage(freedom: Float[Tensor, " point"]) -> Float[Tensor, " point"]:
    """Part of Student's distribution within one: 0.5 for one degree of freedom, 0.68 for many."""
    return 2 * torch.as_tensor(stdtr(freedom.numpy(), 1.0)) - 1


def fraction_inside(errors: Float[Tensor, "*shape"], bars: Float[Tensor, "*shape"]) -> float:
    """Part of the errors that are not larger than their bars; atoms without either are left out."""
    finite = ~(errors.isnan() | bars.isnan())
    return float((errors.abs() <= bars)[finite].double().mean()) if bool(finite.any()) else 0.0


def _factor(
    errors: Float[Tensor, " point"],
    spread: Float[Tensor, " point"],
    counts: Float[Tensor, " point"],
) -> Float[Tensor, ""]:
    """a, by halving the interval in which the equation of Student's distribution changes sign."""
    varied = spread > 0  # points on which all members agree say nothing of the factor
    ratio = (errors / spread)[varied].square()
    n = counts[varied]

    def excess(a: float) -> float:
        squared = ratio / (a + 1 / n)
        return float((n * squared / (n - 1 + squared) - 1).sum())

    low, high = 0.0, 1.0
    if not len(ratio) and bool((errors != 0).any()):
        raise ValueError(
            "the members of the committee that left a point out all say the same there, although "
            "they are wrong: they were trained on the same data; use more structures or groups, or "
            "another fraction"
        )
    if not len(ratio) or excess(0.0) <= 0:
        return errors.new_tensor(0.0)
    for _ in range(_LARGEST):
        if excess(high) <= 0:
            break
        low, high = high, 2 * high
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return errors.new_tensor(0.5 * (low + high))
