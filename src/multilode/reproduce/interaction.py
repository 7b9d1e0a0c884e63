"""Models of interaction energies that vanish by construction when the molecules are apart.

The features of a dimer less those of its monomers alone: what is left has both molecules in it. A
linear model of an energy, applied to the dimer and to both monomers, is linear in that difference.
"""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multilode.dataset import Dataset
from multilode.models import PooledFeatures
from multilode.predictor import as_columns, pooled_features
from multilode.reproduce.models import Model, group_numbers
from multilode.structures import Structures
from multilode.targets import Target


def learn_interaction(
    model: Model,
    train: Dataset,
    test: Dataset,
    target: Target,
    *,
    species: tuple[int, ...],
    group: str,
) -> tuple[Float[Tensor, "structure 1"], Float[Tensor, "structure 1"]]:
    """References and predictions of the test dimers, `n_atoms_a` atoms first in each structure.

    Args:
        model: with a linear estimator for pooled features.
        train: dimers to learn from.
        test: dimers to predict.
        target: an energy that is a sum over centers.
        species: of both sets.
        group: key whose equal labels are never split between folds.
    """
    designs = [interaction_features(model, part, species) for part in (train, test)]
    values = [as_columns(torch.from_numpy(part.column(target.key))) for part in (train, test)]
    learner = model.estimator.learner(*designs, group_numbers(train, group))
    return values[1], learner(torch.arange(len(train)), values[0])


def interaction_features(
    model: Model, dataset: Dataset, species: tuple[int, ...]
) -> PooledFeatures:
    """Pooled features of the dimers less those of their monomers."""
    recipe = model.representation(species)
    first = in_first_monomer(dataset)
    whole, a, b = (
        pooled_features(recipe, part, reduce="sum").terms
        for part in (
            dataset.structures,
            _only(dataset.structures, first),
            _only(dataset.structures, ~first),
        )
    )
    terms = zip(whole, a, b, strict=True)
    return PooledFeatures(terms=tuple(x - y - z for x, y, z in terms), centers=recipe.centers)


def in_first_monomer(dataset: Dataset) -> Bool[Tensor, " atom"]:
    """Whether an atom belongs to the first molecule of its structure."""
    structures = dataset.structures
    begin = structures.counts.cumsum(0) - structures.counts
    place = torch.arange(structures.n_atoms) - begin[structures.structure_index]
    sizes = torch.from_numpy(dataset.column("n_atoms_a"))
    return place < sizes[structures.structure_index]


def _only(structures: Structures, chosen: Bool[Tensor, " atom"]) -> Structures:
    return replace(
        structures,
        positions=structures.positions[chosen],
        species=structures.species[chosen],
        structure_index=structures.structure_index[chosen],
    )
