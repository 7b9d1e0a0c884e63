"""From structures and targets to a predictor."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from multilode.data.inputs import Data
from multilode.equivariants.features import Features
from multilode.errors import renumber_errors
from multilode.models import (
    AbstractEstimator,
    FeatureDesign,
    PooledMap,
    Problem,
    Ridge,
    SparseKernelRidge,
    TargetDesign,
    TargetRegression,
)
from multilode.models.network import Network
from multilode.models.problem import SampleFeatures
from multilode.models.reduce import Reduce
from multilode.models.rows import check_targets
from multilode.models.target_regression import TargetMap
from multilode.models.targets import Forces, Stress, Target
from multilode.numerics.modes import own_modes
from multilode.prediction.baseline import AbstractBaseline, baseline_of
from multilode.prediction.forces import collect_with_forces
from multilode.prediction.known_environments import known_environments
from multilode.prediction.learning_set import Groups, LearningSet, Values, learning_set
from multilode.prediction.model_baselines import model_of
from multilode.prediction.network_training import trained_network
from multilode.prediction.predictor import Predictor
from multilode.prediction.source_fit import with_fitted_sources
from multilode.prediction.streamed.choice import streamed_rows
from multilode.prediction.streamed.fit import streamed_model
from multilode.progress import Progress, Stage
from multilode.representation.batches import BATCH_ATOMS, batch_limits, feature_batches
from multilode.representation.feature_recipe import FeatureRecipe
from multilode.representation.representation import Representation
from multilode.representation.sources import ConservedSources
from multilode.representation.sources.recipes import AbstractSourceRecipe, Fitted
from multilode.scheduling import mapped
from multilode.structures.batch import Structures


@own_modes(gradients=True)
def train(
    features: FeatureRecipe | Representation,
    data: Data,
    target: Target | str,
    *,
    y: Values | None = None,
    estimator: AbstractEstimator | Network | None = None,
    baseline: AbstractBaseline | None = None,
    groups: Groups | None = None,
    forces: Forces | Values | str | None = None,
    stress: Stress | Values | str | None = None,
    weights: Values | str | None = None,
    sources: Mapping[str, AbstractSourceRecipe] | None = None,
    batch_atoms: int = BATCH_ATOMS,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
    stage: Stage | None = None,
    tell: Callable[[str], None] | None = None,
) -> Predictor:
    """Compute features, subtract the baseline, fit the model.

    Source: theory#ridge; theory#force-rows.

    Args:
        features: from `multilode.features`, for the elements of the data; or a representation.
        data: a data set, structures, or objects of ASE.
        target: the property to learn, or its key; it says how atoms add up to it, and whether it is
            a tensor, whose irreps are then learned by one such estimator each.
        y: one number or row per structure, or atom; by default the column of the target's key.
        estimator: its open settings are chosen by cross-validation; `Ridge()` by default. A
            `Network` multiplies the fields itself, whatever the products of the features.
        baseline: by default the composition for extensive, the mean for intensive targets; of
            tensors, of their isotropic part. Other models may be one, see `model_baselines`.
        groups: numbers, or a key; structures with equal ones are never split between folds.
        forces: to learn from as well, by a linear model or a network: a key, values, or these with
            a weight.
        stress: of periodic structures, to learn from as well, by a linear model or a network: a
            key, values in unit/Å^3, positive under tension, or these with a weight.
        weights: how much the squared errors of each structure count, or their key; linear models.
        sources: of fields, to be fitted together with the model, from the channels that a
            representation has for them; by default those of the features, if they are a recipe.
        batch_atoms: largest number of atoms in a batch of features.
        checkpoint: file that the training of a network, or a fit to many forces, writes its state
            to, from which the same training goes on after it was stopped.
        progress: called with the structures whose features are done, and the structures in all;
            of networks with the structures whose fields are stored, and then with the epochs.
        stage: starts a progress report of each stage of a fit to many forces.
        tell: told what memory and time such a fit takes, before it begins.

    Raises:
        DataError: if targets or forces are missing or not finite; file and frame are named.
        UserError: if the checkpoint belongs to another training.
        ValueError: if a species is unknown, or the estimator or the target does not go with forces.
    """
    more = {"groups": groups, "forces": forces, "stress": stress, "weights": weights}
    training_set = learning_set(data, target, y=y, features=features, **more)
    if sources is None:
        sources = features.sources if isinstance(features, FeatureRecipe) else {}
    path = None if checkpoint is None else Path(checkpoint)
    options = {"batch_atoms": batch_atoms, "progress": progress}
    streaming = {"checkpoint": path, "stage": stage, "tell": tell}
    with training_set.dataset.naming_frames():
        rest = training_set.less(model_of(baseline))
        if isinstance(estimator, Network):
            more = {"checkpoint": path, "progress": progress}
            found = _network(features, sources, rest, estimator, baseline, more)
        else:
            own = estimator or Ridge()
            representation = _prepared(features, rest, own, sources, baseline, stage)
            found = _fitted(representation, rest, own, baseline, options, streaming)
        known = known_environments(found.representation, rest.structures)
    return replace(found, known=known)


def _network(
    features: FeatureRecipe | Representation,
    sources: Mapping[str, AbstractSourceRecipe],
    training_set: LearningSet,
    estimator: Network,
    baseline: AbstractBaseline | None,
    options: dict[str, Any],
) -> Predictor:
    """A network on the fields of the features, which it multiplies itself."""
    if sources or training_set.target.fragments is not None:
        raise ValueError(
            "a network makes the sources of its fields itself, and does not subtract fragments; "
            "leave sources and fragments out, or use another estimator"
        )
    if features.channels not in (None, "auto"):
        raise ValueError("a network mixes channels itself; set Network(channels=...) instead")
    representation = features.for_species(training_set.species)
    return trained_network(representation, training_set, estimator, baseline, **options)


def _prepared(
    features: FeatureRecipe | Representation,
    training_set: LearningSet,
    estimator: AbstractEstimator,
    sources: Mapping[str, AbstractSourceRecipe],
    baseline: AbstractBaseline | None,
    stage: Stage | None,
) -> Representation:
    """The representation of a training set, with the sources and fragments of the model."""
    prepared = features.for_structures(training_set.structures)
    representation = for_target(prepared, training_set.target)
    fitted = {name: one for name, one in sources.items() if isinstance(one, Fitted)}
    if not fitted:
        return representation
    target = training_set.target
    if not isinstance(estimator, Ridge) or target.tensor is not None or target.per != "structure":
        raise ValueError(
            "sources are fitted with a ridge regression of one number for each structure; use such "
            "a model, or sources of the kind 'described'"
        )
    y, structures = torch.as_tensor(training_set.y), training_set.structures
    columns = check_targets(y, structures.n_structures)
    zero = baseline_of(target, baseline).fit(structures, columns, reduce=target.reduce)
    rest = replace(training_set, y=columns - zero.predict(structures))
    progress = None if stage is None else stage("fitting sources")
    return with_fitted_sources(representation, fitted, rest, estimator, progress=progress)


def for_target(representation: Representation, target: Target) -> Representation:
    """With the fragments of the target, whose features are subtracted.

    Raises:
        ValueError: if sources have totals of whole structures, which are not those of fragments.
    """
    if target.fragments is None:
        return representation
    for name, sources in (representation.sources or {}).items():
        if isinstance(sources, ConservedSources) and sources.parts is None:
            raise ValueError(
                f"the totals '{sources.totals}' of the field '{name}' are those of whole "
                f"structures, and fragments of '{target.fragments}' are looked at alone; give the "
                f"total of each fragment to its atoms, and the sources parts='{target.fragments}'"
            )
    return replace(representation, fragments=target.fragments)


def _fitted(
    representation: Representation,
    training_set: LearningSet,
    estimator: AbstractEstimator,
    baseline: AbstractBaseline | None,
    options: dict[str, Any],
    streaming: dict[str, Any],
) -> Predictor:
    """The predictor, from the training set and settings."""
    target, structures = training_set.target, training_set.structures
    regression = TargetRegression(target=target, estimator=estimator)
    representation = with_irreps(regression, representation)
    y, groups = target.values(representation, structures, training_set.y, training_set.groups)
    units = target.units(representation, structures)
    noun = "structure" if target.per == "structure" else "center"
    columns = check_targets(y, units.n_structures, noun)
    fitted = baseline_of(target, baseline).fit(units, columns, reduce=target.reduce)
    sizes = {"batch_atoms": options["batch_atoms"]}
    maps = fitted_map(regression, representation, structures, **sizes)
    rest, weights = columns - fitted.predict(units), training_set.weights
    streamed = streamed_rows(estimator, maps, representation, replace(training_set, y=rest))
    if streamed is not None and isinstance(estimator, Ridge | SparseKernelRidge):
        model = streamed_model(streamed, estimator, groups=groups, **streaming)
        return Predictor(representation=representation, model=model, baseline=fitted, target=target)
    design = collect_design(
        maps, target, representation, structures, forces=training_set.forces, **options
    )
    if weights is not None and target.per == "atom":
        weights = weights[structures.structure_index[representation.centers_of(structures)].cpu()]
    model = regression.fit(design, rest, groups=groups, weights=weights)
    return Predictor(representation=representation, model=model, baseline=fitted, target=target)


def with_irreps(regression: TargetRegression, representation: Representation) -> Representation:
    """With the irreps that a tensor needs, if the representation names none itself.

    Raises:
        ValueError: if it has irreps and the target is no tensor, or no correlation has one of the
            irreps.
    """
    target, needed = regression.target, regression.feature_irreps
    if needed is None and representation.irreps is not None:
        raise ValueError(
            f"the representation has irreps, but '{target.key}' is no tensor; leave irreps "
            "out, or say which kind of tensor the target is"
        )
    return representation.with_irreps(representation.irreps or needed)


@own_modes(gradients=True)
def fitted_map(
    regression: TargetRegression,
    representation: Representation,
    structures: Structures,
    *,
    batch_atoms: int = BATCH_ATOMS,
) -> TargetMap:
    """The map from features to rows, for training and test sets alike.

    Args:
        structures: of the training set; some of them are looked at where a map has active
            environments.

    Raises:
        ValueError: for a species that the representation does not know.
    """
    sample = sample_features(regression.target, representation, structures, batch_atoms)
    return regression.map(representation, sample)


def sample_features(
    target: Target, representation: Representation, structures: Structures, batch_atoms: int
) -> SampleFeatures:
    """Features of structures drawn at random, when they are asked for."""

    def sample(n: int, seed: int) -> Iterator[Features]:
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(structures.n_structures, generator=generator)[:n]
        with renumber_errors(order.tolist()):
            some = structures.select(order)
            for batch in feature_batches(representation, some, batch_atoms=batch_atoms):
                yield target.features(batch)

    return sample


@own_modes(gradients=True)
def collect_design(
    maps: TargetMap,
    target: Target,
    representation: Representation,
    structures: Structures,
    *,
    forces: Forces | None = None,
    batch_atoms: int = BATCH_ATOMS,
    progress: Progress | None = None,
) -> TargetDesign:
    """Rows of the structures (or of each center), collected batch by batch.

    Args:
        maps: from `fitted_map` for the training set.
        forces: to learn from beside the targets of structures.

    Raises:
        ValueError: for a species that the representation does not know, or forces that cannot be
            learned from.
    """
    options = {"batch_atoms": batch_atoms, "progress": progress}
    if forces is None:
        return _collected(maps, target, representation, structures, batch_atoms, progress)
    if target.per == "atom":
        raise ValueError("targets of atoms have no forces; learn a target of structures")
    if target.tensor is not None:
        raise ValueError(
            f"forces can be learned for targets that are no tensors, '{target.key}' is one; learn "
            "an energy"
        )
    return collect_with_forces(maps, representation, structures, forces, **options)


def _collected(
    maps: TargetMap,
    target: Target,
    representation: Representation,
    structures: Structures,
    batch_atoms: int,
    progress: Progress | None,
) -> TargetDesign:
    limits, designs = batch_limits(structures, batch_atoms), []
    found = mapped(_design, limits, maps, target, representation, structures)
    for (_, stop), design in zip(limits, found, strict=True):
        designs.append(design.with_maps(maps.maps))
        if progress is not None:
            progress(stop, structures.n_structures)
    return TargetDesign.concatenate(designs)


@torch.no_grad()
def _design(
    limits: tuple[int, int],
    maps: TargetMap,
    target: Target,
    representation: Representation,
    structures: Structures,
) -> TargetDesign:
    """Rows of the structures between two limits, each batch forgotten as soon as it is mapped."""
    with renumber_errors(range(*limits)):
        features = representation.compute(structures.select(torch.arange(*limits)))
    return maps.design(target.features(features)).stored().without_maps()


@own_modes(gradients=True)
def pooled_features(
    representation: Representation,
    structures: Structures,
    *,
    reduce: Reduce,
    per_species: bool = True,
    batch_atoms: int = BATCH_ATOMS,
    progress: Progress | None = None,
) -> FeatureDesign:
    """Invariants summed or averaged over the centers; each batch is pooled and then forgotten.

    Args:
        per_species: one block of columns per center species.

    Raises:
        ValueError: for a species that the representation does not know.
    """
    problem = Problem.of(representation, reduce=reduce)
    own = PooledMap(problem=problem, centers=problem.centers if per_species else None)
    return own.collect(
        feature_batches(representation, structures, batch_atoms=batch_atoms, progress=progress)
    )
