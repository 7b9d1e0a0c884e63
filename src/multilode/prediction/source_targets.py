"""What a fit of sources looks at: groups, targets, weights and kinds of structures."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.prediction.learning_set import LearningSet
from multilode.representation.sources.recipes import Fitted


def weighted_targets(
    training_set: LearningSet,
) -> tuple[Float[Tensor, " row"], Float[Tensor, " row"]]:
    """Targets times the roots of the weights of structures, and these."""
    y = torch.as_tensor(training_set.y).double().reshape(training_set.structures.n_structures)
    weights = training_set.weights
    roots = torch.ones_like(y) if weights is None else (weights / weights.mean()).sqrt()
    return y * roots, roots


def kinds_of(
    training_set: LearningSet, recipes: Mapping[str, Fitted]
) -> Int[Tensor, " structure"] | None:
    """Numbers of the labels that a joint fit has, if it is one.

    Raises:
        DataError: if a structure has no label.
        ValueError: if fields have different labels.
    """
    keys = {one.joint for one in recipes.values()}
    if len(keys) > 1:
        raise ValueError(
            f"sources are fitted together, with the labels {sorted(map(str, keys))}; give all "
            "fields the same 'joint'"
        )
    key = keys.pop()
    if key is None:
        return None
    labels = np.array(training_set.dataset.labels(key))
    return torch.from_numpy(np.unique(labels, return_inverse=True)[1].astype(np.int64))


def unit_targets(
    y: Float[Tensor, " row"], kinds: Int[Tensor, " row"] | None
) -> Float[Tensor, " row"]:
    """Targets with a mean square of one, those of each kind for themselves."""
    if kinds is None:
        return y / y.square().mean().sqrt().clamp(min=1e-300)
    count = torch.bincount(kinds).clamp(min=1)
    mean = torch.zeros(len(count)).to(y).index_add(0, kinds, y.square()) / count
    return y / mean.sqrt().clamp(min=1e-300)[kinds]


def some_groups(groups: Int[Tensor, " structure"], most: int, seed: int) -> Int[Tensor, " chosen"]:
    """Structures of whole groups, drawn at random, up to a number of structures.

    Raises:
        ValueError: if there are fewer than two groups then.
    """
    unique, index, counts = groups.unique(return_inverse=True, return_counts=True)
    order = torch.randperm(len(unique), generator=torch.Generator().manual_seed(seed))
    taken = order[counts[order].cumsum(0) <= most]
    if len(taken) < 2:
        raise ValueError(
            "fitting sources looks at two groups of structures at least, and at no more than "
            f"{most} rows of so many features; take smaller bases, groups or fewer components"
        )
    return torch.isin(index, taken).nonzero()[:, 0]
