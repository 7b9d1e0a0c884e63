"""Which fits store no rows: those to many forces, or to stresses, of linear models and kernels."""

import torch

from multilode.models import AbstractEstimator, PooledMap, Ridge, SparseKernelRidge
from multilode.models.kernel_ridge.sparse_kernel import NystroemMap
from multilode.models.target_regression import TargetMap
from multilode.models.targets import Stress
from multilode.prediction.forces import check_number_of_forces, slots_of, with_product_slopes
from multilode.prediction.learning_set import LearningSet
from multilode.prediction.streamed.rows import StreamedRows
from multilode.prediction.stress import check_stress
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import INVARIANT

DENSE_ROWS = 1500  # up to which rows are stored and decomposed, which is then faster
DENSE_BYTES = 1e9  # the same of rows of sparse kernels, which have error bars then


def streamed_rows(
    estimator: AbstractEstimator,
    maps: TargetMap,
    representation: Representation,
    training_set: LearningSet,
) -> StreamedRows | None:
    """Rows of a training set that are not stored; None where storing them is better.

    Args:
        estimator: settings.
        maps: from features to rows.
        representation: of the features.
        training_set: with the targets less their baseline.

    Raises:
        ValueError: if stresses cannot be learned from in this way, or there is not a force for each
            atom.
        StructureError: if a structure has no stress.
    """
    forces, stress, structures = training_set.forces, training_set.stress, training_set.structures
    if forces is None and stress is None:
        return None
    y = torch.as_tensor(training_set.y)
    target, own = training_set.target, maps.maps.get(INVARIANT)
    linear = isinstance(estimator, Ridge) and slots_of(maps, representation) is not None
    linear &= getattr(estimator, "scaling", "auto") in ("none", "auto")
    possible = not getattr(estimator, "intercept", True) and y.shape[1] == 1
    possible &= target.tensor is None and target.per == "structure"
    possible &= forces is None or forces.directions is None
    if stress is not None:
        _check_stress(stress, structures, possible=possible and linear)
    if not possible:
        return None
    if not (linear and isinstance(own, PooledMap)):
        own = with_product_slopes(maps, representation)
        if own is None or not isinstance(estimator, SparseKernelRidge):
            return None
    if forces is not None:
        check_number_of_forces(structures, forces)
    weights = training_set.weights
    found = StreamedRows(
        map=own,
        representation=representation,
        structures=structures,
        y=y[:, 0],
        forces=forces,
        stress=stress,
        weights=None if weights is None else weights / weights.mean(),
    )
    return found if stress is not None or _are_many(found) else None


def _are_many(rows: StreamedRows) -> bool:
    """Whether they are better not stored."""
    if isinstance(rows.map, NystroemMap):
        return 8.0 * rows.n_rows * sum(rows.widths) > DENSE_BYTES
    return rows.n_rows > DENSE_ROWS


def _check_stress(stress: Stress, structures: Structures, *, possible: bool) -> None:
    """Raise a ValueError if stresses cannot be learned from."""
    if not possible:
        raise ValueError(
            "stresses are learned by linear models of energies: a ridge regression without an "
            "intercept, on products of at most two fields, with forces along all directions; use "
            "such a model, or leave the stress out"
        )
    check_stress(structures)
    n, n_structures = len(stress.values), structures.n_structures
    if n != n_structures:
        raise ValueError(f"got {n} stresses for {n_structures} structures; give one for each")
