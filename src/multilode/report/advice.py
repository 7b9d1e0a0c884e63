"""What to do next: plain sentences that follow from the numbers of a run."""

from collections.abc import Iterator

import numpy as np

from multilode.config.config import Config
from multilode.models import Network, NetworkModel
from multilode.prediction.evaluated import Evaluated
from multilode.prediction.learning import LearningCurve
from multilode.report.points import frame_name, numeric_columns, squared_errors
from multilode.workflow.experiment import TrainingRun

_OVERFITTED = 3.0  # times the error of the training set
_ALIKE = 1.5
_POOR = 30.0  # per cent of the deviation of the target
_GOOD = 3.0
_HALF = 0.5  # of all squared errors, in a few structures
_FEW = 0.05  # of the structures
_ENOUGH = 20  # structures for such shares
_UNEVEN = 2.0  # error of one element or size over that of all
_FEW_ATOMS = 200
_MOST_GROUPS = 11  # rows: that of all, and ten groups; of more they are in the table
_STEEP = -0.25  # exponent of a learning curve that still falls
_FLAT = -0.08


def advice_of_training(run: TrainingRun, config: Config) -> tuple[str, ...]:
    """What a training run suggests, the most important first.

    Args:
        run: the run.
        config: its settings.
    """
    found = [*_of_sets(run), *_of_fit(run, config), *_of_course(run)]
    tested = run.splits.get("test", run.splits["train"])
    found += advice_of_errors(tested, name="test" if "test" in run.splits else "training")
    found += _of_range(run)
    return tuple(found) or (
        "Nothing in these numbers asks for a change. A learning curve ('multilode learning-curve') "
        "says whether more structures would still help.",
    )


def advice_of_errors(part: Evaluated, *, name: str) -> list[str]:
    """What the errors of one set say by themselves: of single structures, elements and sizes."""
    found = list(_of_outliers(part, name))
    errors = part.errors
    if errors.forces is not None:
        for row in errors.elements:
            if row.rmse > _UNEVEN * errors.forces.rmse:
                rare = " and it is rare" if row.n < _FEW_ATOMS else ""
                found.append(
                    f"Forces on {row.group} are {row.rmse / errors.forces.rmse:.1f} times worse "
                    f"than on average ({row.n} atoms in the {name} set){rare}: add structures in "
                    f"which {row.group} is in other surroundings."
                )
    whole = errors.per_atom or errors.rows[0]
    for row in errors.sizes:
        if row.rmse > _UNEVEN * whole.rmse:
            found.append(
                f"Structures with {row.group} are {row.rmse / whole.rmse:.1f} times worse than all "
                "together: add some of these sizes."
            )
    for row in errors.rows[1:]:
        if row.rmse > _UNEVEN * errors.rows[0].rmse and len(errors.rows) <= _MOST_GROUPS:
            found.append(
                f"The group '{row.group}' is {row.rmse / errors.rows[0].rmse:.1f} times worse than "
                "all together: look at its structures, and add more of its kind."
            )
    return found


def advice_of_curve(curve: LearningCurve) -> tuple[str, ...]:
    """What a learning curve says of more structures."""
    errors = curve.mean.double().numpy()
    if len(errors) < 2 or not (errors > 0).all():
        return ("A slope needs two sizes with errors: give learning_curve.sizes.",)
    last = slice(-3, None)
    slope = float(np.polyfit(np.log(np.array(curve.sizes)[last]), np.log(errors[last]), 1)[0])
    fall = 100 * (1 - 2**slope)
    if slope < _STEEP:
        return (
            f"The error still falls by {fall:.0f} % for twice as many structures: more data of the "
            "same kind pay.",
        )
    if slope > _FLAT:
        return (
            "The error hardly falls with more structures: the model, not the data, sets the limit. "
            "Try larger bases (n_radial, max_angular), a larger cutoff, more products of fields, "
            "or another preset.",
        )
    return (
        f"The error falls by {fall:.0f} % for twice as many structures, which is slow: try a "
        "richer model beside more data.",
    )


def _of_sets(run: TrainingRun) -> Iterator[str]:
    if "test" not in run.splits:
        yield (
            "There is no test set, so that nothing here says how good predictions of new "
            "structures are: set data.test, data.split or data.test_fraction: 0.2."
        )


def _of_fit(run: TrainingRun, config: Config) -> Iterator[str]:
    """Training error against the error of what was not seen."""
    train = run.splits["train"].errors
    if "test" in run.splits:
        unseen, name = run.splits["test"].errors, "test error"
    elif run.cross_validation is not None:
        unseen, name = run.cross_validation, "error in cross-validation"
    else:
        return
    derived = train.forces is not None and unseen.forces is not None
    own, other = (e.forces if derived else e.rows[0] for e in (train, unseen))
    if own is None or other is None or not other.rmse > 0:
        return
    what = " of forces" if derived else ""
    ratio = other.rmse / own.rmse if own.rmse > 0 else float("inf")
    # of a large baseline the percentage of the target would praise any model
    rest = other.rmse_percent_of_rest
    percent = other.rmse_percent if np.isnan(rest) else rest
    if ratio > _OVERFITTED and percent > _GOOD:
        times = f"{ratio:.0f} times" if ratio < 1000 else "far above"
        yield (
            f"The {name}{what} is {times} that of the training set: more structures like those it "
            f"fails on help most; else a smaller model ({_smaller(config)})."
        )
    elif ratio < _ALIKE and percent > _POOR:
        yield (
            f"Training set and unseen structures are described equally badly (RMSE{what} "
            f"{percent:.0f} % of the spread): the model cannot express the target. Try "
            f"{_larger(config)}."
        )
    elif percent <= _GOOD:
        yield (
            f"The {name}{what} is {percent:.2g} % of the spread: look at single structures below, "
            "and test on data that are farther from the training set."
        )


def _smaller(config: Config) -> str:
    if isinstance(config.regression, Network):
        return "fewer channels, more weight_decay, or preset: fast"
    return "fewer products in features, a smaller max_angular or n_radial"


def _larger(config: Config) -> str:
    if isinstance(config.regression, Network):
        return "preset: accurate, more epochs, a larger cutoff"
    names = {name for names in config.recipe.products for name in names}
    fields = "" if len(names) > 1 else "a potential in features (rho x V) for what is farther, "
    forces = "a network (preset: balanced), " if config.forces is not None else ""
    return (
        f"{fields}{forces}larger n_radial and max_angular, a larger cutoff than "
        f"{config.cutoff:g} Å, or products of three fields"
    )


def _of_course(run: TrainingRun) -> Iterator[str]:
    model = run.predictor.model
    if isinstance(model, NetworkModel) and model.history:
        last = model.history[-1].epoch
        if model.best_epoch is not None and model.best_epoch >= 0.97 * last:
            yield (
                f"The best weights are those of the last of {last} epochs: the training had not "
                "ended; set more estimator.epochs or steps."
            )
        elif model.best_epoch is not None and model.best_epoch < last / 2:
            yield (
                f"The error in validation was smallest in epoch {model.best_epoch} of {last} and "
                "rose after it: more structures, or more estimator.weight_decay."
            )


def _of_outliers(part: Evaluated, name: str) -> Iterator[str]:
    """A few structures that make most of the error."""
    squares = squared_errors(part)
    n = len(squares)
    if n < _ENOUGH or not squares.any():
        return
    order = np.argsort(-squares, kind="stable")
    total = np.cumsum(squares[order])
    needed = 1 + int(np.searchsorted(total, _HALF * total[-1]))
    if needed <= max(1, _FEW * n):
        named = ", ".join(frame_name(part.dataset, int(k)) for k in order[: min(3, needed)])
        yield (
            f"{needed} of {n} structures of the {name} set make half of the squared error "
            f"({named}): see whether their references are right, or add structures like them."
        )


def _of_range(run: TrainingRun) -> Iterator[str]:
    """A test set that is outside of the training set in something that the files tell."""
    if "test" not in run.splits:
        return
    train, test = (run.splits[name] for name in ("train", "test"))
    ranges = [numeric_columns(part.dataset) for part in (train, test)]
    for key in ranges[0].keys() & ranges[1].keys():
        if "distance" not in key and "separation" not in key:
            continue
        low, high = ranges[0][key].min(), ranges[0][key].max()
        outside = (ranges[1][key] < low) | (ranges[1][key] > high)
        if outside.mean() > 0.1:
            yield (
                f"{100 * outside.mean():.0f} % of the test set have a '{key}' outside of that of "
                f"the training set ({low:.3g} to {high:.3g}): these errors are those of an "
                "extrapolation."
            )
