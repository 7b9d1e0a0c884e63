"""From structures and targets to a predictor, and from its predictions to errors.

Names to know: `train`, `Predictor`, `learning_curve`, `evaluate`.
A predictor is a recipe, a fitted model and a baseline; forces and stress are its derivatives.
To add a baseline, write one class and a row in `BASELINES`.
"""

from multilode.prediction.baseline import BASELINES, AbstractBaseline
from multilode.prediction.learning import (
    LearningCurve,
    LearningData,
    fit_subsets,
    learning_curve,
    learning_data,
)
from multilode.prediction.predictor import Prediction, Predictor
from multilode.prediction.train import train

__all__ = [
    "BASELINES",
    "AbstractBaseline",
    "LearningCurve",
    "LearningData",
    "Prediction",
    "Predictor",
    "fit_subsets",
    "learning_curve",
    "learning_data",
    "train",
]
