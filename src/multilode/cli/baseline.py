"""Models whose baseline is a calculator, which the configuration of the training names."""

from pathlib import Path

from multilode.config.config import load_config
from multilode.config.errors import ConfigError
from multilode.config.store import load
from multilode.errors import UserError
from multilode.prediction.model_baselines import CalculatorBaseline
from multilode.prediction.predictor import Predictor


def load_with_baseline(model: Path, config: Path | None) -> Predictor:
    """The model of a file, with the calculator that a configuration names.

    Files of models run nothing: who trusts a configuration gives it, such as the one written beside
    the model.

    Args:
        model: the model file.
        config: a configuration; None for models that need no calculator.

    Raises:
        UserError: if a file cannot be used, or the calculator is not that of the model.
    """
    predictor = load(model)
    if config is None:
        return predictor
    baseline = load_config(config).plain_baseline
    if not isinstance(baseline, CalculatorBaseline):
        raise ConfigError(
            f"{config}: setting 'target.baseline' names no calculator; give the configuration that "
            "the model was trained with"
        )
    try:
        return predictor.with_calculator(baseline)
    except ValueError as error:
        raise UserError(f"{model}: {error}") from error
