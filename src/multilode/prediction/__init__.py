"""From structures and targets to a predictor, y = model(features) + baseline, and to its errors.

Names to know: `train`, `Predictor`, `learning_curve`, `evaluate`.
A predictor is a recipe, a fitted model and a baseline; forces and stress are its derivatives.
To add a baseline, write one class and a row in `BASELINES`.
"""

from multilode.prediction.baseline import (
    BASELINES,
    AbstractBaseline,
    CompositionBaseline,
    MeanBaseline,
    NoBaseline,
)
from multilode.prediction.comparison import Errors, compare
from multilode.prediction.errors import error_table, mae, rmse, rmse_percent, standard_deviation
from multilode.prediction.evaluation import evaluate
from multilode.prediction.learning import (
    LearningCurve,
    LearningData,
    fit_subsets,
    learning_curve,
    learning_data,
)
from multilode.prediction.model_baselines import CalculatorBaseline, ColumnBaseline
from multilode.prediction.predictor import Prediction, Predictor
from multilode.prediction.reference_values import force_values, target_values
from multilode.prediction.training import pooled_features, train, with_irreps

__all__ = [
    "BASELINES",
    "AbstractBaseline",
    "CalculatorBaseline",
    "ColumnBaseline",
    "CompositionBaseline",
    "Errors",
    "LearningCurve",
    "LearningData",
    "MeanBaseline",
    "NoBaseline",
    "Prediction",
    "Predictor",
    "compare",
    "error_table",
    "evaluate",
    "fit_subsets",
    "force_values",
    "learning_curve",
    "learning_data",
    "mae",
    "pooled_features",
    "rmse",
    "rmse_percent",
    "standard_deviation",
    "target_values",
    "train",
    "with_irreps",
]
