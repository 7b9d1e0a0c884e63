"""The regression of a target: one estimator for each irrep that it has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.designs import FeatureDesign
from multilode.models.model import (
    AbstractDesign,
    AbstractEstimator,
    AbstractMap,
    AbstractModel,
    training_rows,
)
from multilode.models.problem import Problem, SampleFeatures
from multilode.models.rows import ForceRows, check_targets, regression_rows
from multilode.models.targets import Target
from multilode.models.tensor import TensorModel, as_block
from multilode.numerics.modes import own_modes
from multilode.representation.representation import Representation
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import INVARIANT, Irrep


@final
class _Elsewhere(AbstractMap[Any]):
    """In the place of a map, which may have thousands of active environments."""

    def design(self, features: Features) -> AbstractDesign:  # noqa: ARG002 - the interface
        """Not possible.

        Raises:
            TypeError: always.
        """
        raise TypeError("the map of this design is in another process")

    def model(self, design: AbstractDesign, solution: Any) -> AbstractModel:  # noqa: ARG002
        """Likewise."""
        raise TypeError("the map of this design is in another process")


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class TargetDesign:
    """Rows of structures (or centers, called units both) for each irrep of a target.

    Args:
        parts: a design per irrep, whose rows are the components of units, unit major.
    """

    parts: Mapping[Irrep, AbstractDesign]

    def __len__(self) -> int:
        return self.n_units

    def __repr__(self) -> str:
        inside = ", ".join(str(part) for part in self.parts.values())
        return f"TargetDesign({self.n_units} structures or centers: {inside})"

    @property
    def n_units(self) -> int:
        """Number of structures or centers."""
        irrep, part = next(iter(self.parts.items()))
        return part.n_rows // (2 * irrep.degree + 1)

    @property
    def invariant(self) -> AbstractDesign:
        """The only part, of targets that are no tensors.

        Raises:
            ValueError: if there are others.
        """
        if set(self.parts) != {INVARIANT}:
            raise ValueError(f"these are designs of {list(self.parts)}; forces need an energy")
        return self.parts[INVARIANT]

    def select(self, units: Sequence[int] | Int[Tensor, " chosen"]) -> "TargetDesign":
        """The chosen units, in the order given."""
        chosen = torch.as_tensor(units, dtype=torch.int64)
        parts = {i: part.select(component_rows(chosen, i)) for i, part in self.parts.items()}
        return TargetDesign(parts=parts)

    def stored(self) -> "TargetDesign":
        """The same on the CPU, in float64 and without gradients."""
        return TargetDesign(parts={i: part.stored() for i, part in self.parts.items()})

    def with_forces(self, forces: ForceRows) -> "TargetDesign":
        """The same with forces to learn from."""
        return TargetDesign(parts={INVARIANT: self.invariant.with_forces(forces)})

    def without_maps(self) -> "TargetDesign":
        """To be sent to another process: features without the map that made them."""
        return self._with(dict.fromkeys(self.parts, _Elsewhere()))

    def with_maps(self, maps: Mapping[Irrep, AbstractMap[Any]]) -> "TargetDesign":
        """What was sent, with the maps again."""
        return self._with(maps)

    def _with(self, maps: Mapping[Irrep, AbstractMap[Any]]) -> "TargetDesign":
        parts = {
            irrep: replace(part, map=maps[irrep]) if isinstance(part, FeatureDesign) else part
            for irrep, part in self.parts.items()
        }
        return TargetDesign(parts=parts)

    @staticmethod
    def concatenate(designs: Sequence["TargetDesign"]) -> "TargetDesign":
        """The units of all designs, one after the other.

        Raises:
            ValueError: if there is none.
        """
        if not designs:
            raise ValueError("there are no features to learn from; give at least one structure")
        first, *others = designs
        return TargetDesign(
            parts={i: p.joined([o.parts[i] for o in others]) for i, p in first.parts.items()}
        )


@final
@dataclass(frozen=True, kw_only=True)
class TargetMap:
    """The map of each irrep of a target.

    Args:
        maps: by irrep.
    """

    maps: Mapping[Irrep, AbstractMap[Any]]

    def design(self, features: Features) -> TargetDesign:
        """The rows of all irreps, differentiable in the features."""
        return TargetDesign(parts={i: own.design(features) for i, own in self.maps.items()})

    def collect(self, batches: Iterable[Features]) -> TargetDesign:
        """The design of all batches, each of them forgotten as soon as it is mapped.

        Raises:
            ValueError: if there is no batch.
        """
        designs = []
        for batch in batches:
            with torch.no_grad():
                designs.append(self.design(batch).stored())
        return TargetDesign.concatenate(designs)


@final
@dataclass(frozen=True, kw_only=True)
class TargetRegression:
    """An estimator for each irrep of a target, all with the same settings.

    Every irrep has its own regularization and term weights, chosen by cross-validation in which
    the components of a structure stay together. The members of a committee are the same structures
    for all irreps.

    Source: theory#tensors; theory#ridge; Grisafi2021 Eq. 10.

    Args:
        target: the property to learn.
        estimator: of each irrep.
    """

    target: Target
    estimator: AbstractEstimator

    @property
    def irreps(self) -> tuple[Irrep, ...]:
        """Irreps of the target; that of invariants unless it is a tensor."""
        kind = self.target.tensor
        return (INVARIANT,) if kind is None else tuple(tensor_kind(kind).irreps)

    @property
    def feature_irreps(self) -> tuple[Irrep, ...] | None:
        """Irreps that features need, ascending; None for invariants alone."""
        if self.target.tensor is None:
            return None
        beside = {INVARIANT} if self.estimator.uses_invariants else set()
        return tuple(sorted({*self.irreps, *beside}))

    def map(self, representation: Representation, sample: SampleFeatures) -> TargetMap:
        """The maps, for training and test sets alike.

        Args:
            representation: of the features.
            sample: gives features of training structures drawn at random.

        Raises:
            ValueError: if no term has features of an irrep.
        """
        maps = {}
        for irrep in self.irreps:
            problem = Problem.of(representation, reduce=self.target.reduce, irrep=irrep)
            maps[irrep] = self.estimator.map(problem, sample)
        return TargetMap(maps=maps)

    @own_modes(gradients=True)
    def fit(
        self,
        design: TargetDesign,
        y: Float[Tensor, "unit target"],
        *,
        groups: Int[Tensor, " unit"] | None = None,
        weights: Float[Tensor, " unit"] | None = None,
    ) -> AbstractModel:
        """Fit the model of each irrep.

        Args:
            y: numbers, or flattened Cartesian tensors.
            groups: units with equal numbers are never split between folds.
            weights: how much the squared errors of each unit count; only their ratios matter.

        Raises:
            ValueError: if shapes disagree, numbers are not finite or data are too few.
        """
        y, models = check_targets(y, design.n_units), {}
        for irrep, (own, numbers) in self.rows_of(y, groups).items():
            part = design.parts[irrep]
            heavy = None if weights is None else _per_row(weights, irrep)
            rows = training_rows(part, own, groups=numbers, weights=heavy)
            models[irrep] = self.estimator.solve(rows).model(part)
        if self.target.tensor is None:
            return models[INVARIANT]
        return TensorModel(tensor=self.target.tensor, parts=models)

    def learner(
        self,
        train: TargetDesign,
        test: TargetDesign,
        *,
        groups: Int[Tensor, " unit"] | None = None,
    ) -> "Learner":
        """A function from (units of `train`, their targets) to predictions for `test`.

        Kernels, which do not depend on the subset, are computed here, once; everything else is
        chosen again on each subset.

        Args:
            groups: units with equal numbers are never split between folds.
        """
        if groups is None and self.target.tensor is not None:
            groups = torch.arange(train.n_units)
        return Learner(
            regression=self,
            train=train,
            groups=groups,
            known={i: part.beside(part) for i, part in train.parts.items()},
            new={i: part.beside(train.parts[i]) for i, part in test.parts.items()},
        )

    def rows_of(
        self, y: Float[Tensor, "unit target"], groups: Int[Tensor, " unit"] | None
    ) -> dict[Irrep, tuple[Tensor, Tensor | None]]:
        """Targets and groups of the rows of each irrep."""
        if self.target.tensor is None:
            return {INVARIANT: (y, groups)}
        numbers = torch.arange(len(y)) if groups is None else torch.as_tensor(groups)
        return {
            irrep: (block.flatten(end_dim=1), numbers.repeat_interleave(block.shape[1]))
            for irrep, block in tensor_kind(self.target.tensor).to_spherical(y).items()
        }

    def values_of(self, rows: Mapping[Irrep, Tensor]) -> Float[Tensor, "unit target"]:
        """Targets from the rows of each irrep."""
        if self.target.tensor is None:
            return rows[INVARIANT]
        blocks = {irrep: as_block(own, irrep) for irrep, own in rows.items()}
        return tensor_kind(self.target.tensor).to_cartesian(blocks)


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class Learner:
    """From numbers of units and their targets to predictions for a test set.

    Args:
        regression: what is learned, and how.
        train: of all units.
        groups: of all units.
        known: columns of their rows, by irrep.
        new: columns of the rows of the test set.
    """

    regression: TargetRegression
    train: TargetDesign
    groups: Int[Tensor, " unit"] | None
    known: Mapping[Irrep, tuple[Float[Tensor, "_ _"], ...]]
    new: Mapping[Irrep, tuple[Float[Tensor, "_ _"], ...]]

    def __call__(
        self, units: Int[Tensor, " chosen"], y: Float[Tensor, "chosen target"]
    ) -> Float[Tensor, "unit target"]:
        """Learn from some units, predict the test set."""
        chosen = None if self.groups is None else self.groups[units]
        targets, found = check_targets(y, len(units)), {}
        for irrep, (own, numbers) in self.regression.rows_of(targets, chosen).items():
            part, below = self.train.parts[irrep], component_rows(units, irrep)
            rows = regression_rows(
                part.map.problem,
                tuple(term[below] for term in self.known[irrep]),
                own,
                forces=part.forces and part.forces.select(below),
                groups=numbers,
                references=None if part.references is None else part.references[below],
            )
            found[irrep] = self.regression.estimator.solve(rows).predict(self.new[irrep])
        return self.regression.values_of(found)


def component_rows(units: Int[Tensor, " chosen"], irrep: Irrep) -> Int[Tensor, " row"]:
    """Rows of the components of units."""
    n = 2 * irrep.degree + 1
    return (units[:, None] * n + torch.arange(n)).flatten()


def _per_row(weights: Float[Tensor, " unit"], irrep: Irrep) -> Float[Tensor, " row"]:
    """Weights of the components of units, one on average."""
    return (weights / weights.mean()).repeat_interleave(2 * irrep.degree + 1)
