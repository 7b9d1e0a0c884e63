"""Models of interaction energies that vanish by construction when the molecules are apart.

The features of a dimer less those of its monomers alone: what is left has both molecules in it. A
linear model of an energy, applied to the dimer and to both monomers, is linear in that difference.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multilode import Target
from multilode.data import Dataset
from multilode.models import FeatureDesign, as_columns
from multilode.prediction import pooled_features
from multilode.structures import Structures
from multilode_papers.systems.models import Model, group_numbers


def learn_interaction(
    candidates: Sequence[Model],
    train: Dataset,
    test: Dataset,
    target: Target,
    *,
    species: tuple[int, ...],
    group: str,
) -> tuple[str, Float[Tensor, "structure 1"]]:
    """Name and predictions of the candidate that is best in cross-validation on the training set.

    Args:
        candidates: with linear estimators for pooled features.
        train: dimers to learn from, `n_atoms_a` atoms of the first molecule first.
        test: dimers to predict.
        target: an energy that is a sum over centers.
        species: of both sets.
        group: key whose equal labels are never split between folds.
    """
    values = as_columns(torch.from_numpy(train.column(target.key)))
    groups = group_numbers(train, group)
    fitted = []
    for model in candidates:
        design = interaction_features(model, train, species)
        found = model.estimator.fit(design, values, groups=groups)
        fitted.append((found.summary().cv_rmse, model, found))
    _, model, found = min(fitted, key=lambda entry: entry[0])
    return model.name, found.predict_terms(interaction_features(model, test, species).terms)


def interaction_features(model: Model, dataset: Dataset, species: tuple[int, ...]) -> FeatureDesign:
    """Pooled features of the dimers less those of their monomers."""
    recipe = model.representation(species)
    first = in_first_monomer(dataset)
    whole, a, b = (
        pooled_features(recipe, part, reduce="sum")
        for part in (
            dataset.structures,
            _only(dataset.structures, first),
            _only(dataset.structures, ~first),
        )
    )
    terms = zip(whole.terms, a.terms, b.terms, strict=True)
    return replace(whole, terms=tuple(x - y - z for x, y, z in terms))


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
