"""How good predictions are: errors, errors by group, learning curves.

`RMSE%` is always the RMSE divided by the standard deviation of the target over the test set (the
population value, ddof = 0), times 100: predicting the mean of the test set gives 100.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models import AbstractEstimator
from multilode.models.targets import Forces, Target, as_columns
from multilode.prediction.baseline import AbstractBaseline, NoBaseline
from multilode.prediction.designs import collect_design, explore
from multilode.prediction.task import rows_of, target_rows, with_irreps
from multilode.progress import Progress
from multilode.representation.batches import BATCH_ATOMS
from multilode.representation.recipe import Representation
from multilode.structures.batch import Structures

Ordering = Literal["random", "first"]


@final
@dataclass(frozen=True, kw_only=True)
class ErrorRow:
    """Errors of one group of structures.

    Args:
        group: name of the group.
        n: number of structures.
        rmse: root mean squared error, in the unit of the target.
        mae: mean absolute error, in the unit of the target.
        rmse_percent: RMSE over the standard deviation of the target in this group, times 100; NaN
            for a group whose target does not vary.
    """

    group: str
    n: int
    rmse: float
    mae: float
    rmse_percent: float


@final
@dataclass(frozen=True, kw_only=True)
class LearningData:
    """Structures, their targets, and what an estimator has collected of them.

    Args:
        structures: for the baseline.
        design: result of the estimator's `collect`, computed once for all subsets.
        y: targets.
        groups: structures with equal numbers are never split between folds.
        owner: structure of each row, if rows are centers, each a structure of its own.
        known: what the estimator found in the training set before it collected.
    """

    structures: Structures
    design: Any
    y: Float[Tensor, "structure target"]
    groups: Int[Tensor, " structure"] | None = None
    owner: Int[Tensor, " structure"] | None = None
    known: Any = None

    @property
    def n_structures(self) -> int:
        """Number of structures, the owners of rows."""
        if self.owner is None:
            return self.structures.n_structures
        return int(self.owner.max()) + 1 if len(self.owner) else 0

    def rows(self, chosen: Int[Tensor, " chosen"]) -> Int[Tensor, " row"]:
        """Rows of the chosen structures."""
        if self.owner is None:
            return chosen
        return torch.isin(self.owner, chosen).nonzero().flatten()


@final
@dataclass(frozen=True, kw_only=True)
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


def rmse(reference: Float[Tensor, "structure ..."], predicted: Float[Tensor, "..."]) -> float:
    """Root mean squared error over all structures and columns.

    Raises:
        ValueError: if shapes differ or there is nothing to compare.
    """
    return float(_differences(reference, predicted).square().mean().sqrt())


def mae(reference: Float[Tensor, "structure ..."], predicted: Float[Tensor, "..."]) -> float:
    """Mean absolute error over all structures and columns.

    Raises:
        ValueError: if shapes differ or there is nothing to compare.
    """
    return float(_differences(reference, predicted).abs().mean())


def rmse_percent(
    reference: Float[Tensor, "structure ..."], predicted: Float[Tensor, "..."]
) -> float:
    """RMSE over the standard deviation of `reference` (the test set; ddof = 0), times 100.

    For several columns the deviations from the columns' means are pooled. NaN if the reference
    does not vary, as with a single structure.

    Raises:
        ValueError: if shapes differ or there is nothing to compare.
    """
    error = rmse(reference, predicted)
    deviation = standard_deviation(reference)
    return error / deviation * 100 if deviation > 0 else float("nan")


def standard_deviation(reference: Float[Tensor, "structure ..."]) -> float:
    """Population standard deviation over structures, pooled over columns; 0 if all are equal."""
    values = reference.detach().double()
    if bool((values == values[:1]).all()):
        return 0.0  # exactly, where the rounding of the mean would leave a tiny number
    return float((values - values.mean(dim=0)).square().mean().sqrt())


def error_table(
    reference: Float[Tensor, "structure ..."],
    predicted: Float[Tensor, "..."],
    groups: Sequence[str] | None = None,
) -> list[ErrorRow]:
    """Errors of all structures and, if groups are given, of each group in order of appearance.

    The first row, named "all", holds all structures.

    Args:
        groups: name of the group of each structure.

    Raises:
        ValueError: if shapes differ or there is nothing to compare.
    """
    rows = [_error_row("all", reference, predicted)]
    if groups is None:
        return rows
    if len(groups) != len(reference):
        raise ValueError(
            f"got {len(groups)} group names for {len(reference)} structures; give one for each"
        )
    for name in dict.fromkeys(groups):
        members = torch.tensor([group == name for group in groups])
        rows.append(_error_row(str(name), reference[members], predicted[members]))
    return rows


def learning_data(
    representation: Representation,
    structures: Structures,
    y: Float[Tensor, "row ..."],
    estimator: AbstractEstimator,
    *,
    target: Target | None = None,
    groups: Int[Tensor, " structure"] | None = None,
    known: Any = None,
    forces: Forces | None = None,
    batch_atoms: int = BATCH_ATOMS,
    progress: Progress | None = None,
) -> LearningData:
    """Compute the features of a data set once, in the form that the estimator needs.

    Args:
        y: target of each structure, or of each atom if `target` says so.
        estimator: that of the target, see `estimator_of`.
        target: what is learned; by default a property of structures.
        groups: structures with equal numbers are never split between folds.
        known: that of the training set, for a test set; by default it is found here.
        forces: to learn from as well.
        progress: called with the structures done and the structures in all.
    """
    target = target or Target(key="y")
    representation = with_irreps(target, representation, estimator)
    options = {"per": target.per, "batch_atoms": batch_atoms}
    if known is None:
        known = explore(representation, structures, estimator, **options)
    options |= {"known": known, "forces": forces, "progress": progress}
    design = collect_design(representation, structures, estimator, **options)
    columns, groups = target_rows(target, representation, structures, as_columns(y), groups)
    return LearningData(
        structures=rows_of(target, representation, structures),
        design=design,
        y=columns,
        groups=groups,
        owner=_owners(target, representation, structures),
        known=known,
    )


def _owners(
    target: Target, representation: Representation, structures: Structures
) -> Int[Tensor, " row"] | None:
    """Structure of each row, where rows are centers; None where they are structures."""
    if target.per != "atom":
        return None
    return structures.structure_index[representation.centers_of(structures)]


def learning_curve(
    estimator: AbstractEstimator,
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
    """Train on subsets of growing size and test on the same test set.

    Everything that is fitted or chosen (baseline, regularization, weights) sees the subset only.
    Each repeat draws one random order, and its subsets are nested: the first n of that order.

    Args:
        sizes: numbers of training structures.
        repeats: number of random orders; one for the ordering "first".
        seed: of the first repeat; repeat k uses seed + k.
        ordering: "random", or "first" for the first n structures in the order given.
        baseline: fitted to each subset; nothing by default.
        progress: called with the fits done and the fits in all.

    Raises:
        ValueError: if a size is not between 1 and the number of training structures, or if the
            test targets do not vary.
    """
    deviation = _check_curve(sizes, train.n_structures, repeats, ordering, test.y)
    error_after = _error_after(estimator, train, test, baseline or NoBaseline())
    errors = torch.empty(len(sizes), 1 if ordering == "first" else repeats, dtype=torch.float64)
    for repeat, column in enumerate(errors.T):
        order = _order(train.n_structures, ordering, seed + repeat)
        for row, size in enumerate(sizes):
            column[row] = error_after(order[:size])
            if progress is not None:
                progress(repeat * len(sizes) + row + 1, errors.numel())
    return LearningCurve(sizes=tuple(sizes), rmse=errors, test_deviation=deviation)


def _error_after(
    estimator: AbstractEstimator,
    train: LearningData,
    test: LearningData,
    baseline: AbstractBaseline,
) -> Callable[[Int[Tensor, " chosen"]], float]:
    """The test RMSE as a function of the training structures that are learned from."""
    learner = estimator.learner(train.design, test.design, train.groups)
    species = tuple(train.structures.species.unique().tolist())  # a subset may lack some of them

    def error(structures: Int[Tensor, " chosen"]) -> float:
        rows = train.rows(structures)
        chosen = train.structures.select(rows)
        fitted = baseline.fit(chosen, train.y[rows], reduce=estimator.reduce, species=species)
        rest = train.y[rows] - fitted.predict(chosen)
        return rmse(test.y, learner(rows, rest) + fitted.predict(test.structures))

    return error


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
            "structures"
        )
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; use 1 or more")
    if ordering not in ("random", "first"):
        raise ValueError(f"ordering is {ordering!r}; use 'random' or 'first'")
    deviation = standard_deviation(y_test)
    if deviation == 0:
        raise ValueError("the test targets do not vary; a learning curve needs a varied test set")
    return deviation


def _differences(
    reference: Float[Tensor, "structure ..."], predicted: Float[Tensor, "..."]
) -> Float[Tensor, "structure ..."]:
    if reference.shape != predicted.shape:
        raise ValueError(
            f"reference has shape {list(reference.shape)}, predictions {list(predicted.shape)}; "
            "compare values of the same structures and columns"
        )
    if reference.numel() == 0:
        raise ValueError("there is nothing to compare; give at least one structure")
    return predicted.detach().double() - reference.detach().double()


def _error_row(
    group: str, reference: Float[Tensor, "structure ..."], predicted: Float[Tensor, "..."]
) -> ErrorRow:
    return ErrorRow(
        group=group,
        n=len(reference),
        rmse=rmse(reference, predicted),
        mae=mae(reference, predicted),
        rmse_percent=rmse_percent(reference, predicted),
    )
