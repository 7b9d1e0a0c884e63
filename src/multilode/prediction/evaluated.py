"""One set of structures with its references, predictions and errors."""

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from multilode.data.dataset import Dataset
from multilode.models.targets import Target
from multilode.prediction.comparison import Errors
from multilode.prediction.predictor import Prediction


@final
@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One set with its predictions.

    Args:
        dataset: the structures.
        target: their property.
        reference: their values of it.
        predicted: predictions of the model.
        errors: their errors.
        forces: references of forces, if they were compared.
        stress: references of stresses, likewise.
    """

    dataset: Dataset
    target: Target
    reference: Float[Tensor, "structure target"]
    predicted: Prediction
    errors: Errors
    forces: Float[Tensor, "atom 3"] | None = None
    stress: Float[Tensor, "structure 3 3"] | None = None
