"""Doubts about trained models: error bars from little, and structures far from the training."""

from collections.abc import Iterator

import torch

from multilode.config.config import Config
from multilode.data.dataset import Dataset
from multilode.prediction.evaluation import novelty
from multilode.prediction.predictor import Predictor
from multilode.workflow.doubt import Doubt, doubt_of
from multilode.workflow.doubts import doubts_of_errors
from multilode.workflow.doubts_of_units import doubts_of_comparison
from multilode.workflow.experiment import TrainingRun

_FEW_POINTS = 20  # of a calibration, which then has an error of 1 / sqrt(2 n), 16 %
_FEW_GROUPS = 8


def doubts_of_run(run: TrainingRun, config: Config) -> list[Doubt]:
    """Doubts about a trained model: its errors, its error bars, and its test set."""
    found = [*doubts_of_errors(run), *doubts_of_bars(run, config)]
    if "test" in run.splits:
        tested = run.splits["test"].dataset
        found += doubts_of_environments(run.predictor, tested, "the test set")
        found += doubts_of_comparison(run.splits["test"], "the test set")
    return found


def doubts_of_environments(predictor: Predictor, dataset: Dataset, name: str) -> Iterator[Doubt]:
    """Structures with an atom whose surroundings are far from all of the training.

    Args:
        predictor: the model; one from before environments were kept has no doubts.
        dataset: the structures.
        name: what they are called.
    """
    if predictor.known is None or not len(dataset):
        return
    structures = dataset.structures
    found = novelty(predictor, structures)
    each = found.new_zeros(len(dataset))
    each = each.scatter_reduce(0, structures.structure_index, found, "amax")
    far = (each > 1).numpy()
    if far.any():
        worst = float(torch.max(each))
        yield doubt_of(
            "far from training",
            f"{far.sum()} of {len(far)} structures of {name} have atoms whose surroundings are far "
            f"from all of the training, up to {worst:.2g} times what is usual there; their "
            "predictions are extrapolated: compare some with references, or add such structures "
            "to the training set",
            dataset,
            far,
        )


def doubts_of_bars(run: TrainingRun, config: Config) -> Iterator[Doubt]:
    """Error bars whose scale was found with few structures or few groups."""
    parts = [part for part in run.predictor.model.summary().parts if part.bars is not None]
    if not parts:
        return
    points = min(len(part.bars.calibration.errors) for part in parts if part.bars is not None)
    if points < _FEW_POINTS:
        yield Doubt(
            kind="bars from few errors",
            text=f"the scale of the error bars comes from {points} errors and is known to "
            f"{100 / (2 * points) ** 0.5:.0f} % at best; use more structures",
        )
    if config.data.group is None:
        return
    groups = len(set(run.splits["train"].dataset.labels(config.data.group)))
    if groups < _FEW_GROUPS:
        yield Doubt(
            kind="bars from few groups",
            text=f"the scale of the error bars comes from {groups} groups of "
            f"'{config.data.group}', whose structures are alike; use more groups",
        )
