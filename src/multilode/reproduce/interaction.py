"""Models of interaction energies that vanish by construction when the molecules are apart.

The features of a dimer less those of its monomers alone: what is left has both molecules in it. A
linear model of an energy, applied to the dimer and to both monomers, is linear in that difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multilode.batches import BATCH_ATOMS, batch_limits
from multilode.dataset import Dataset
from multilode.force_design import directions_of, force_rows
from multilode.models import PooledFeatures
from multilode.models.force_rows import ForceRows
from multilode.models.pooling import pool_features
from multilode.representation import Representation
from multilode.reproduce.models import Model, group_numbers
from multilode.structures import Structures
from multilode.targets import Forces, Target, as_columns


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
        fitted.append((min(row["rmse"] for row in found.settings()["cv_table"]), model, found))
    _, model, found = min(fitted, key=lambda entry: entry[0])
    return model.name, found.predict_pooled(interaction_features(model, test, species))


def interaction_features(
    model: Model, dataset: Dataset, species: tuple[int, ...], forces: Forces | None = None
) -> PooledFeatures:
    """Pooled features of the dimers less those of their monomers.

    Args:
        model: with a linear estimator.
        dataset: dimers.
        species: of all sets.
        forces: on the atoms, less those within the monomers, to learn from as well.
    """
    recipe, structures = model.representation(species), dataset.structures
    first = in_first_monomer(dataset)
    if forces is None:
        with torch.no_grad():
            parts = [_differences(recipe, *batch) for _, _, *batch in _batches(structures, first)]
        return PooledFeatures.concatenate(
            PooledFeatures(terms=part, centers=recipe.centers) for part in parts
        )
    generator = torch.Generator().manual_seed(forces.seed)
    given, designs, rows = forces.values.split(structures.counts.tolist()), [], []
    for start, stop, batch, mine in _batches(structures, first):
        positions = batch.positions.detach().clone().requires_grad_()
        terms = _differences(recipe, replace(batch, positions=positions), mine)
        directions = directions_of(batch, forces, generator)
        own = torch.cat(given[start:stop])
        found = force_rows(terms, positions, batch.structure_index, own, directions)
        designs.append(
            PooledFeatures(terms=tuple(x.detach() for x in terms), centers=recipe.centers)
        )
        rows.append((found, stop - start))
    whole = PooledFeatures.concatenate(designs)
    return replace(whole, forces=replace(ForceRows.concatenate(rows), weight=forces.weight))


def _batches(
    structures: Structures, first: Bool[Tensor, " atom"]
) -> Iterator[tuple[int, int, Structures, Bool[Tensor, " atom"]]]:
    """Limits of batches, their structures, and which of the atoms are in first monomers."""
    parts = first.split(structures.counts.tolist())
    for start, stop in batch_limits(structures, BATCH_ATOMS):
        yield (
            start,
            stop,
            structures.select(torch.arange(start, stop)),
            torch.cat(parts[start:stop]),
        )


def _differences(
    recipe: Representation, batch: Structures, first: Bool[Tensor, " atom"]
) -> tuple[Float[Tensor, "structure _"], ...]:
    whole, a, b = (
        pool_features(recipe.compute(part), reduce="sum", centers=recipe.centers).terms
        for part in (batch, _only(batch, first), _only(batch, ~first))
    )
    return tuple(x - y - z for x, y, z in zip(whole, a, b, strict=True))


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
