"""Evaluated sets of a training run, and the errors of its cross-validation."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.config.config import Config
from multilode.config.settings import ForceSettings
from multilode.data.dataset import Dataset
from multilode.prediction.comparison import Errors, compare
from multilode.prediction.errors import ErrorRow, standard_deviation
from multilode.prediction.evaluated import Evaluated
from multilode.prediction.evaluation import labels_of, predict
from multilode.prediction.predictor import Predictor
from multilode.progress import Stage
from multilode.workflow.derivatives import Derivatives


def evaluated(
    config: Config,
    predictor: Predictor,
    name: str,
    part: Dataset,
    reference: Float[Tensor, "row target"],
    derivatives: Derivatives,
    stage: Stage,
) -> Evaluated:
    """One set with its predictions, and those of derivatives that the model has learned from.

    Args:
        config: the settings.
        predictor: the model.
        name: of the set.
        part: the set.
        reference: targets of it.
        derivatives: references of forces and stresses.
        stage: starts a progress report.
    """
    forces, stress = derivatives
    predicted = predict(
        predictor,
        part,
        progress=stage(f"predicting the {name} set"),
        std=name == "test" and _has_bars(predictor),
        forces=config.forces is not None,
        stress=stress is not None,
    )
    compared = None if forces is None else torch.as_tensor(forces.values)
    pressed = None if stress is None else torch.as_tensor(stress.values)
    errors = compare(
        predicted,
        reference,
        config.target,
        model=config.name,
        split=name,
        groups=_labels(config, part),
        structures=part.structures,
        forces=compared,
        stress=pressed,
    )
    return Evaluated(
        dataset=part,
        target=config.target,
        reference=reference,
        predicted=predicted,
        errors=errors,
        forces=compared,
        stress=pressed,
    )


def _has_bars(predictor: Predictor) -> bool:
    return any(part.bars is not None for part in predictor.model.summary().parts)


def _labels(config: Config, dataset: Dataset) -> list[str] | None:
    """Group of each row by which errors are listed."""
    if config.data.group is None:
        return None
    return labels_of(dataset, config.data.group, config.target.per)


def cross_validation(config: Config, predictor: Predictor, train: Evaluated) -> Errors | None:
    """Errors of the chosen settings, of the parts of the training set that a fit did not see."""
    found = predictor.model.summary()
    if found.cv_rmse is None:
        return None
    base, reference = train.predicted.baseline, train.reference
    own = ~train.predicted.values.reshape(reference.shape).isnan().any(dim=1)  # centers
    known = None if base is None else base.values.reshape(reference.shape)[own]
    derived = found.parts[0].cv_force_rmse
    forces = None
    if derived is not None and train.forces is not None and config.forces is not None:
        known_forces = torch.zeros_like(train.forces)
        if base is not None and base.forces is not None:
            known_forces = base.forces
        rmse = derived * rows_of_forces(config.forces, train.dataset.structures.counts)
        forces = _known_error(rmse, train.forces, known_forces)
    return Errors(
        model=config.name,
        split="cross-validation",
        unit=config.target.unit,
        rows=(_known_error(found.cv_rmse, reference[own], known),),
        forces=forces,
    )


def _known_error(rmse: float, reference: Tensor, baseline: Tensor | None) -> ErrorRow:
    """The row of an error whose predictions are not kept."""
    deviation = standard_deviation(reference)
    rest = 0.0 if baseline is None else standard_deviation(reference - baseline)
    return ErrorRow(
        group="all",
        n=len(reference),
        rmse=rmse,
        mae=float("nan"),
        rmse_percent=100 * rmse / deviation if deviation > 0 else float("nan"),
        rmse_percent_of_rest=100 * rmse / rest if rest > 0 else float("nan"),
    )


def rows_of_forces(asked: ForceSettings, counts: Int[Tensor, " structure"]) -> float:
    """From the root mean square of rows of forces to that of components.

    Rows along K of the 3 N directions are larger by the root of 3 N / K, so that their sum of
    squares estimates that of all components.
    """
    components = 3 * counts
    rows = components if asked.directions is None else components.clamp(max=asked.directions)
    return (float(rows.sum()) / float(components.sum())) ** 0.5
