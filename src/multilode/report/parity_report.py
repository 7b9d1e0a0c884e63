"""Predictions against references: of the target, of what its baseline leaves, and of forces."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from multilode.models.targets import Target, force_unit
from multilode.report.document import Picture, Section
from multilode.report.plots import parity
from multilode.workflow.evaluated import Evaluated
from multilode.workflow.experiment import TrainingRun

Pair = tuple[np.ndarray, np.ndarray]

_REST = (
    "The same less the baseline, which is what the model learns: where the baseline describes most "
    "of the target, only here one sees how good the model is."
)


def parity_pictures(run: TrainingRun, target: Target) -> tuple[Picture, ...]:
    """Predictions against references, and both less a baseline that differs between them."""
    key, unit = literal(target.key), literal(target.unit)
    shown = _pairs(run, lambda part: (part.reference, part.predicted.values, None))
    figure = parity(shown, quantity=key, unit=unit)
    whole = Picture(figure=figure, caption="Predictions against references.")
    bases = [part.predicted.baseline for part in run.splits.values()]
    if not any(base is not None and _varies(base.values) for base in bases):
        return (whole,)
    rest = _pairs(
        run,
        lambda part: (
            part.reference,
            part.predicted.values,
            None if part.predicted.baseline is None else part.predicted.baseline.values,
        ),
    )
    figure = parity(rest, quantity=f"{key} less baseline", unit=unit)
    return whole, Picture(figure=figure, caption=_REST)


def force_sections(run: TrainingRun, target: Target) -> list[Section]:
    """Predicted forces against references, if the model has learned from forces."""
    unit = literal(force_unit(target.unit))
    shown = _pairs(run, lambda part: (part.forces, part.predicted.forces, None))
    if not shown:
        return []
    figure = parity(shown, quantity="components of forces", unit=unit)
    pictures = [Picture(figure=figure, caption="Predicted forces against references.")]
    rest = _pairs(run, lambda part: (part.forces, part.predicted.forces, _base_forces(part)))
    if any(_base_forces(part) is not None for part in run.splits.values()):
        figure = parity(rest, quantity="forces less baseline", unit=unit)
        pictures.append(Picture(figure=figure, caption=_REST))
    return [Section(heading="Forces", pictures=tuple(pictures))]


def literal(text: str) -> str:
    """For figures, where dollar signs would make a formula of the user's names."""
    return text.replace("$", r"\$")


def _pairs(
    run: TrainingRun,
    chosen: Callable[[Evaluated], tuple[Tensor | None, Tensor | None, Tensor | None]],
) -> dict[str, Pair]:
    """References and predictions by set, less a baseline; without what was not predicted."""
    pairs = {}
    for name, part in run.splits.items():
        reference, predicted, base = chosen(part)
        if reference is None or predicted is None:
            continue
        known, found = reference.flatten(), predicted.flatten()
        if base is not None:
            known, found = known - base.flatten(), found - base.flatten()
        finite = ~found.isnan()
        pairs[name] = (known[finite].numpy(), found[finite].numpy())
    return pairs


def _base_forces(part: Evaluated) -> Tensor | None:
    return None if part.predicted.baseline is None else part.predicted.baseline.forces


def _varies(values: Tensor) -> bool:
    known = values[~values.isnan()]
    spread = known - known.mean() if len(known) else known
    return bool((spread.abs() > 1e-9 * known.abs().amax()).any()) if len(known) else False
