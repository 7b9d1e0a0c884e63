"""Learning curves: features once, then many fits to subsets of the training structures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.data.inputs import Data
from multilode.equivariants.features import Features
from multilode.models import AbstractEstimator, Ridge, TargetDesign, TargetRegression
from multilode.models.target_regression import Learner, TargetMap
from multilode.models.targets import Forces, Target
from multilode.numerics.modes import own_modes
from multilode.prediction.baseline import AbstractBaseline, NoBaseline, baseline_of
from multilode.prediction.errors import rmse, standard_deviation
from multilode.prediction.learning_set import Groups, LearningSet, Values, learning_set
from multilode.prediction.model_baselines import model_of
from multilode.prediction.training import collect_design, fitted_map, for_target, with_irreps
from multilode.progress import Progress
from multilode.representation.batches import BATCH_ATOMS
from multilode.representation.feature_recipe import FeatureRecipe
from multilode.representation.representation import Representation
from multilode.representation.sources.recipes import Fitted
from multilode.scheduling import mapped
from multilode.structures.batch import Structures

Ordering = Literal["random", "first", "groups"]


@final
@dataclass(frozen=True, kw_only=True)
class LearningData:
    """Structures, their targets, and the rows that an estimator learns from.

    A unit has a value of the target: a structure, or a center.

    Args:
        units: for the baseline.
        design: features of the units, computed once for all subsets.
        y: targets.
        groups: units with equal numbers are never split between folds.
        owner: structure of each unit, if units are centers.
        maps: those that made the design, for test sets.
    """

    units: Structures
    design: TargetDesign
    y: Float[Tensor, "unit target"]
    groups: Int[Tensor, " unit"] | None = None
    owner: Int[Tensor, " unit"] | None = None
    maps: TargetMap | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def n_structures(self) -> int:
        """Number of structures, the owners of units."""
        if self.owner is None:
            return self.units.n_structures
        return int(self.owner.max()) + 1 if len(self.owner) else 0

    @property
    def n_groups(self) -> int:
        """Number of groups; of units, where there are none."""
        return len(self._labels.unique())

    @property
    def _labels(self) -> Int[Tensor, " unit"]:
        return torch.arange(len(self.y)) if self.groups is None else self.groups

    def chosen(self, numbers: Int[Tensor, " chosen"], ordering: Ordering) -> Int[Tensor, " unit"]:
        """Units of the chosen structures, or of the chosen groups, counted in ascending order."""
        if ordering == "groups":
            names = self._labels.unique()[numbers]
            return torch.isin(self._labels, names).nonzero().flatten()
        if self.owner is None:
            return numbers
        return torch.isin(self.owner, numbers).nonzero().flatten()


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class LearningCurve:
    """Test errors against the number of training structures.

    Args:
        sizes: numbers of training structures.
        rmse: of the test set, for every repeat; in the unit of the target.
        test_deviation: standard deviation (ddof = 0) of the target over the test set.
    """

    sizes: tuple[int, ...]
    rmse: Float[Tensor, "size repeat"]
    test_deviation: float

    def __repr__(self) -> str:
        triples = zip(self.sizes, self.mean.tolist(), self.mean_percent.tolist(), strict=True)
        lines = (f"{size}: RMSE {error:.4g} ({percent:.4g} %)" for size, error, percent in triples)
        return "\n  ".join([f"LearningCurve(repeats {self.rmse.shape[1]}", *lines]) + ")"

    def relative_to(self, y: Float[Tensor, "row target"]) -> "LearningCurve":
        """The same errors of a test set with these targets."""
        return replace(self, test_deviation=standard_deviation(y))

    @property
    def mean(self) -> Float[Tensor, " size"]:
        """Mean RMSE over the repeats."""
        return self.rmse.mean(dim=1)

    @property
    def standard_error(self) -> Float[Tensor, " size"]:
        """Standard error of the mean over the repeats; NaN for a single repeat."""
        repeats = self.rmse.shape[1]
        if repeats == 1:
            return torch.full_like(self.mean, torch.nan)
        return self.rmse.std(dim=1, correction=1) / repeats**0.5

    @property
    def mean_percent(self) -> Float[Tensor, " size"]:
        """Mean RMSE%."""
        return self.mean / self.test_deviation * 100

    @property
    def standard_error_percent(self) -> Float[Tensor, " size"]:
        """Standard error of the mean RMSE%."""
        return self.standard_error / self.test_deviation * 100


@own_modes(gradients=True)
def learning_data(
    representation: Representation,
    structures: Structures,
    y: Float[Tensor, "row ..."] | Float[np.ndarray, "row ..."],
    *,
    target: Target,
    estimator: AbstractEstimator,
    groups: Int[Tensor, " structure"] | None = None,
    maps: TargetMap | None = None,
    features: Iterable[Features] | None = None,
    forces: Forces | None = None,
    batch_atoms: int = BATCH_ATOMS,
    progress: Progress | None = None,
) -> LearningData:
    """Compute the features of a data set once, in the form that the estimator needs.

    Args:
        maps: those of the training set, for a test set; by default they are made here.
        features: batches that several estimators share, computed by a representation with the
            irreps that each of them needs; by default they are computed here.
    """
    regression = TargetRegression(target=target, estimator=estimator)
    recipe = representation if features else with_irreps(regression, representation)
    if maps is None:
        maps = fitted_map(regression, recipe, structures, batch_atoms=batch_atoms)
    if features is None:
        options = {"forces": forces, "batch_atoms": batch_atoms, "progress": progress}
        design = collect_design(maps, target, recipe, structures, **options)
    else:
        design = maps.collect(target.features(batch) for batch in features)
    values, groups = target.values(recipe, structures, y, groups)
    owner = structures.structure_index[recipe.centers_of(structures)]
    return LearningData(
        units=target.units(recipe, structures),
        design=design,
        y=values,
        groups=groups,
        owner=owner if target.per == "atom" else None,
        maps=maps,
    )


@own_modes(gradients=True)
def learning_curve(
    features: FeatureRecipe | Representation,
    data: Data,
    test: Data,
    target: Target | str,
    *,
    sizes: Sequence[int],
    y: Values | None = None,
    test_y: Values | None = None,
    estimator: AbstractEstimator | None = None,
    baseline: AbstractBaseline | None = None,
    groups: Groups | None = None,
    forces: Forces | Values | str | None = None,
    repeats: int = 4,
    seed: int = 0,
    ordering: Ordering = "random",
    batch_atoms: int = BATCH_ATOMS,
    progress: Progress | None = None,
) -> LearningCurve:
    """Train on subsets of growing size and test on the same test set.

    Takes the arguments of `train` and of `fit_subsets`; features are computed once.

    Raises:
        ValueError: if sources are to be fitted together with the model.
    """
    model = model_of(baseline)
    known = learning_set(data, target, y=y, groups=groups, forces=forces, features=features)
    training_set = known.less(model)
    tested = learning_set(test, known.target, y=test_y, features=features)
    regression = TargetRegression(target=training_set.target, estimator=estimator or Ridge())
    recipe = _prepared(features, training_set)
    curve = fit_subsets(
        regression,
        *_two_sets(recipe, training_set, tested.less(model), regression, batch_atoms),
        sizes=sizes,
        repeats=repeats,
        seed=seed,
        ordering=ordering,
        baseline=baseline_of(training_set.target, baseline),
        progress=progress,
    )
    if model is None:
        return curve
    own = tested.target.values(recipe, tested.structures, tested.y)
    return curve.relative_to(own[0])


def _prepared(
    features: FeatureRecipe | Representation, training_set: LearningSet
) -> Representation:
    """The features of a training set, for all of its subsets."""
    recipes = features.sources.values() if isinstance(features, FeatureRecipe) else ()
    if any(isinstance(one, Fitted) for one in recipes):
        raise ValueError("sources are not fitted for each subset; use those of the kind described")
    return for_target(features.for_structures(training_set.structures), training_set.target)


def _two_sets(
    representation: Representation,
    training_set: LearningSet,
    test_set: LearningSet,
    regression: TargetRegression,
    batch_atoms: int,
) -> tuple[LearningData, LearningData]:
    """Training and test set, whose features the same maps turn into rows."""
    options: dict[str, Any] = {
        "target": regression.target,
        "estimator": regression.estimator,
        "batch_atoms": batch_atoms,
    }
    more = {"groups": training_set.groups, "forces": training_set.forces}
    with training_set.dataset.naming_frames():
        own = learning_data(
            representation, training_set.structures, training_set.y, **more, **options
        )
    with test_set.dataset.naming_frames():
        other = learning_data(
            representation, test_set.structures, test_set.y, maps=own.maps, **options
        )
    return own, other


@own_modes(gradients=True)
def fit_subsets(
    regression: TargetRegression,
    train: LearningData,
    test: LearningData,
    *,
    sizes: Sequence[int],
    repeats: int = 4,
    seed: int = 0,
    ordering: Ordering = "random",
    baseline: AbstractBaseline | None = None,
    progress: Progress | None = None,
) -> LearningCurve:
    """The learning curve of sets whose features are computed already.

    Everything that is fitted or chosen (baseline, regularization, weights) sees the subset only.
    Each repeat draws one random order, and its subsets are nested: the first n of that order.

    Args:
        sizes: numbers of training structures, or of groups.
        repeats: number of random orders, with the seeds seed + k; one for the ordering "first".
        ordering: "random"; "first" for the first n structures in the order given; "groups" for
            random subsets of whole groups.
        baseline: fitted to each subset; nothing by default.
        progress: called with the fits done and the fits in all.

    Raises:
        ValueError: if a size is not between 1 and the number of training structures (or groups), or
            if the test targets do not vary.
    """
    n_train = train.n_groups if ordering == "groups" else train.n_structures
    deviation = _check_curve(sizes, n_train, repeats, ordering, test.y)
    learner = regression.learner(train.design, test.design, groups=train.groups)
    columns = 1 if ordering == "first" else repeats
    orders = [_order(n_train, ordering, seed + repeat) for repeat in range(columns)]
    subsets = [train.chosen(order[:size], ordering) for order in orders for size in sizes]
    found = []
    for error in mapped(_error_after, subsets, learner, train, test, baseline or NoBaseline()):
        found.append(error)
        if progress is not None:
            progress(len(found), len(subsets))
    errors = torch.tensor(found, dtype=torch.float64).view(columns, len(sizes)).T.contiguous()
    return LearningCurve(sizes=tuple(sizes), rmse=errors, test_deviation=deviation)


def _error_after(
    units: Int[Tensor, " chosen"],
    learner: Learner,
    train: LearningData,
    test: LearningData,
    baseline: AbstractBaseline,
) -> float:
    """The test RMSE of what is learned from some of the training units."""
    species = tuple(train.units.species.unique().tolist())  # a subset may lack some of them
    chosen, reduce = train.units.select(units), learner.regression.target.reduce
    fitted = baseline.fit(chosen, train.y[units], reduce=reduce, species=species)
    rest = train.y[units] - fitted.predict(chosen)
    return rmse(test.y, learner(units, rest) + fitted.predict(test.units))


def _order(n: int, ordering: Ordering, seed: int) -> Int[Tensor, " structure"]:
    if ordering == "first":
        return torch.arange(n)
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def _check_curve(
    sizes: Sequence[int],
    n_train: int,
    repeats: int,
    ordering: str,
    y_test: Float[Tensor, "row target"],
) -> float:
    """The standard deviation of the test targets, if there can be a curve."""
    if not sizes or min(sizes) < 1 or max(sizes) > n_train:
        raise ValueError(
            f"sizes are {list(sizes)}; they must lie between 1 and the {n_train} training "
            f"{'groups' if ordering == 'groups' else 'structures'}"
        )
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; use 1 or more")
    if ordering not in ("random", "first", "groups"):
        raise ValueError(f"ordering is {ordering!r}; use 'random', 'first' or 'groups'")
    deviation = standard_deviation(y_test)
    if deviation == 0:
        raise ValueError("the test targets do not vary; a learning curve needs a varied test set")
    return deviation
