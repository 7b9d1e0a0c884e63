"""From structures and targets to a predictor, and from its predictions to errors.

Names to know: `train`, `Predictor`, `learning_curve`, `evaluate`.
A predictor is a recipe, a fitted model and a baseline; forces and stress are its derivatives.
To add a baseline, write one class and a row in `BASELINES`.
"""

from multilode.prediction.baseline import BASELINES, AbstractBaseline
from multilode.prediction.predictor import Prediction, Predictor, train

__all__ = ["BASELINES", "AbstractBaseline", "Prediction", "Predictor", "train"]
