"""What a target asks of the features, the estimator and the baseline, and what its rows are."""

from dataclasses import replace

from jaxtyping import Float, Int
from torch import Tensor

from multilode.models import AbstractEstimator, TensorRegression, needed_irreps
from multilode.models.targets import Target
from multilode.prediction.baseline import (
    AbstractBaseline,
    CompositionBaseline,
    IsotropicBaseline,
    MeanBaseline,
)
from multilode.representation.recipe import Representation
from multilode.structures.batch import Structures


def with_irreps(
    target: Target, representation: Representation, estimator: AbstractEstimator
) -> Representation:
    """With the irreps that a tensor needs, if it names none itself.

    Raises:
        ValueError: if it has irreps and the target is no tensor, or no correlation has one of the
            irreps.
    """
    if target.tensor is None:
        if representation.irreps is not None:
            raise ValueError(
                f"the representation has irreps, but '{target.key}' is no tensor; leave irreps "
                "out, or say which kind of tensor the target is"
            )
        return representation
    if representation.irreps is not None:
        return representation
    plain = estimator.estimator if isinstance(estimator, TensorRegression) else estimator
    return replace(representation, irreps=needed_irreps(target.tensor, plain))


def estimator_of(target: Target, estimator: AbstractEstimator) -> AbstractEstimator:
    """The estimator for a target: one regression for each irrep if it is a tensor."""
    own = estimator.with_settings(reduce=target.reduce)
    if target.tensor is None or isinstance(own, TensorRegression):
        return own
    return TensorRegression(tensor=target.tensor, estimator=own, reduce=target.reduce)


def baseline_of(target: Target, baseline: AbstractBaseline | None = None) -> AbstractBaseline:
    """By default the composition for extensive, the mean for intensive targets.

    Of tensors it is a baseline of their isotropic part, which no rotation changes.
    """
    if baseline is None:
        baseline = CompositionBaseline() if target.reduce == "sum" else MeanBaseline()
    if target.tensor is None:
        return baseline
    return IsotropicBaseline(baseline, target.tensor)


def rows_of(target: Target, representation: Representation, structures: Structures) -> Structures:
    """What the target has a row for: the structures, or each center by itself."""
    if target.per == "structure":
        return structures
    return structures.atoms_apart(representation.centers_of(structures))


def target_rows(
    target: Target,
    representation: Representation,
    structures: Structures,
    y: Float[Tensor, "_ target"],
    groups: Int[Tensor, " structure"] | None,
) -> tuple[Float[Tensor, "row target"], Int[Tensor, " row"] | None]:
    """Targets and groups of these rows; the centers of a structure stay in one group.

    Raises:
        ValueError: if targets of atoms are not as many as the atoms.
    """
    if target.per == "structure":
        return y, groups
    if len(y) != structures.n_atoms:
        raise ValueError(
            f"'{target.key}' is a target of atoms: give {structures.n_atoms} rows, one for each "
            f"atom, not {len(y)}"
        )
    centers = representation.centers_of(structures)
    index = structures.structure_index[centers]
    return y[centers], index if groups is None else groups[index]
