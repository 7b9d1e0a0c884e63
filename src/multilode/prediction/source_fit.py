"""Sources fitted together with a linear model: variable projection.

A model on rho x V[w] is linear in its weights for any strengths w = sum_k w_k U_k of channels k
that are known. The weights are eliminated: for every U they are those of a ridge regression, and U
alone is changed until the error of structures that are left out is smallest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize
from torch import Tensor

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.features import Features
from multilode.equivariants.labels import channel_labels
from multilode.models import PooledMap, Ridge
from multilode.models.problem import Problem
from multilode.models.solve.group_errors import group_members, left_out_residuals
from multilode.prediction.learning_set import LearningSet
from multilode.progress import Progress
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.representation.representation import Representation
from multilode.representation.sources import DescribedSources
from multilode.representation.sources.recipes import Fitted
from multilode.structures.batch import Structures

_STARTS = 4  # at random, of which the best after a few steps goes on
_FIRST_STEPS = 8
_PENALTY = 1e-3  # of the square of a mixture beside that of its constants, relative to the error
_START_REGULARIZATION = 1e-5  # of the mean eigenvalue


def with_fitted_sources(
    representation: Representation,
    recipes: Mapping[str, Fitted],
    training_set: LearningSet,
    estimator: Ridge,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Representation:
    """The representation with a few channels of sources, fitted to the targets of a training set.

    Energies alone are looked at. Errors are those of whole groups that are left out; term weights
    and the regularization are fitted beside the mixtures, for this purpose only.

    Source: theory#sources; theory#left-out-groups.

    Args:
        representation: with the channels that are mixed, as sources of the fields in `recipes`.
        recipes: by field.
        training_set: with the targets less their baseline.
        estimator: of the model; whether species of centers have weights of their own.
        seed: of the starts.
        progress: called with the steps done and all steps.
    """
    problem = _Search.of(representation, recipes, training_set, estimator)
    steps = max(one.steps for one in recipes.values())
    report = progress or (lambda *_: None)
    generator = torch.Generator().manual_seed(seed)
    begun = []
    for number in range(_STARTS):
        begun.append(problem.improved(problem.start(generator), _FIRST_STEPS))
        report((number + 1) * _FIRST_STEPS, _STARTS * _FIRST_STEPS + steps)
    best = problem.improved(min(begun, key=lambda found: found[1])[0], steps)[0]
    report(_STARTS * _FIRST_STEPS + steps, _STARTS * _FIRST_STEPS + steps)
    return problem.representation_with(best)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Batch:
    """Coefficients of some structures, and of their fragments, in the channels that are mixed."""

    rows: slice
    whole: Features
    parts: Features | None


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Search:
    """Error of left-out groups as a function of mixtures, term weights and regularization.

    Args:
        representation: with the channels that are mixed.
        channels: number of mixtures of each field.
        map: from features to rows.
        batches: coefficients.
        fixed: rows of terms that do not change, by their number.
        y: targets, with a mean square of one.
        members: rows of each group.
    """

    representation: Representation
    channels: Mapping[str, int]
    map: PooledMap
    batches: list[_Batch]
    fixed: Mapping[int, Float[Tensor, "row column"]]
    y: Float[Tensor, " row"]
    members: Int[Tensor, "group most"]

    @staticmethod
    @torch.no_grad()
    def of(
        representation: Representation,
        recipes: Mapping[str, Fitted],
        training_set: LearningSet,
        estimator: Ridge,
    ) -> "_Search":
        """Everything that does not depend on the mixtures, computed once."""
        target, structures = training_set.target, training_set.structures
        problem = Problem.of(representation, reduce=target.reduce)
        own = PooledMap(problem=problem, centers=problem.centers if estimator.per_species else None)
        batches = _coefficients(representation, structures)
        y = torch.as_tensor(training_set.y).double().reshape(structures.n_structures)
        groups = training_set.groups
        search = _Search(
            representation=representation,
            channels={name: one.channels for name, one in recipes.items()},
            map=own,
            batches=batches,
            fixed={},
            y=y / y.square().mean().sqrt().clamp(min=1e-300),
            members=group_members(torch.arange(len(y)) if groups is None else groups),
        )
        still = [
            k for k, names in enumerate(representation.products) if not set(names) & set(recipes)
        ]
        unmixed = [search._terms(batch, {}, still) for batch in batches] if still else []
        columns = [torch.cat(parts) for parts in zip(*unmixed, strict=True)]
        return replace(search, fixed=dict(zip(still, columns, strict=True)))

    def basis(self, name: str) -> DescribedSources:
        """The channels of a field that are mixed."""
        found = self.representation.sources_of(name)
        if not isinstance(found, DescribedSources):
            raise TypeError(f"the sources of '{name}' are not described")
        return found

    def start(self, generator: torch.Generator) -> Float[np.ndarray, " number"]:
        """Random constants of the species, nothing of their surroundings."""
        parts = []
        for name, count in self.channels.items():
            constants = self._constants(name)
            drawn = torch.randn(len(constants), count, generator=generator, dtype=torch.float64)
            parts.append((drawn * constants[:, None]).flatten())
        weights = torch.zeros(len(self.representation.products), dtype=torch.float64)
        regularization = torch.full((1,), np.log(_START_REGULARIZATION), dtype=torch.float64)
        return torch.cat([*parts, weights, regularization]).numpy()

    def improved(
        self, numbers: Float[np.ndarray, " number"], steps: int
    ) -> tuple[Float[np.ndarray, " number"], float]:
        """A few steps downhill, and the error there."""
        options = {"maxiter": steps, "maxfun": 2 * steps}
        found = minimize(self._loss, numbers, jac=True, method="L-BFGS-B", options=options)
        return found.x, float(found.fun)

    def representation_with(self, numbers: Float[np.ndarray, " number"]) -> Representation:
        """With these mixtures, each strength with a mean square of one over the constants."""
        mixtures, _, _ = self._split(torch.from_numpy(numbers))
        sources = dict(self.representation.sources or {})
        for name, matrix in mixtures.items():
            sources[name] = self.basis(name).mixed(matrix / _size(matrix))
        return replace(self.representation, sources=sources)

    def _constants(self, name: str) -> Float[Tensor, " channel"]:
        """1 for channels that are constants of a species, 0 for its components."""
        return (self.basis(name).weights.abs().sum(dim=(0, 1)) == 0).double()

    def _split(
        self, numbers: Float[Tensor, " number"]
    ) -> tuple[dict[str, Float[Tensor, "channel new"]], Float[Tensor, " term"], Float[Tensor, ""]]:
        """Mixtures by field, logarithms of term weights, and of the regularization."""
        sizes = [self.basis(name).n_channels * count for name, count in self.channels.items()]
        n_terms = len(self.representation.products)
        *parts, weights, regularization = numbers.split([*sizes, n_terms, 1])
        pairs = zip(self.channels.items(), parts, strict=True)
        mixtures = {name: part.reshape(-1, count) for (name, count), part in pairs}
        return mixtures, weights, regularization[0]

    def _loss(
        self, numbers: Float[np.ndarray, " number"]
    ) -> tuple[float, Float[np.ndarray, " number"]]:
        """Error and its gradient; features are made twice so that their memory is bounded."""
        leaf = torch.from_numpy(np.array(numbers)).requires_grad_()
        mixtures, weights, regularization = self._split(leaf)
        moving = [k for k in range(len(weights)) if k not in self.fixed]
        with torch.no_grad():
            made = [self._terms(batch, mixtures, moving) for batch in self.batches]
        columns = [torch.cat(parts).requires_grad_() for parts in zip(*made, strict=True)]
        terms = {**self.fixed, **dict(zip(moving, columns, strict=True))}
        error = self._error([terms[k] for k in range(len(weights))], weights, regularization)
        total = error + self._penalty(mixtures)
        total.backward()
        for batch in self.batches:
            again = self._terms(batch, self._split(leaf)[0], moving)
            slopes = [x.grad[batch.rows] for x in columns if x.grad is not None]
            torch.autograd.backward(again, slopes)
        return float(total.detach()), _gradient(leaf)

    def _error(
        self,
        terms: list[Float[Tensor, "row _"]],
        weights: Float[Tensor, " term"],
        regularization: Float[Tensor, ""],
    ) -> Float[Tensor, ""]:
        """Mean square of what left-out groups are off by."""
        norms = [term.square().sum() / len(self.y) for term in terms]
        pairs = zip(terms, norms, weights, strict=True)
        rows = torch.cat([x * (w.exp() / size).sqrt() for x, size, w in pairs], dim=1)
        penalty = regularization.exp() * weights.exp().sum()
        found = left_out_residuals(rows, self.y, penalty, self.members)
        return found.square().sum() / len(self.y)

    def _penalty(self, mixtures: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Of what surroundings add, beside the constants."""
        total = torch.zeros((), dtype=torch.float64)
        for name, matrix in mixtures.items():
            constants = self._constants(name)
            added = (matrix * (1 - constants)[:, None]).square().sum()
            total = total + added / (matrix * constants[:, None]).square().sum()
        return _PENALTY * total

    def _terms(
        self, batch: _Batch, mixtures: Mapping[str, Tensor], wanted: list[int]
    ) -> tuple[Float[Tensor, "row column"], ...]:
        """Rows of some terms of the structures of a batch."""
        recipe = replace(
            self.representation,
            products=tuple(self.representation.products[k] for k in wanted),
            sources=None,
            channels=None,
            contractions=None,
        )
        whole = self._rows(recipe, batch.whole, mixtures)
        if batch.parts is None:
            return whole
        parts = self._rows(recipe, batch.parts, mixtures)
        return tuple(x - y for x, y in zip(whole, parts, strict=True))

    def _rows(
        self, recipe: Representation, coefficients: Features, mixtures: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, "row column"], ...]:
        by_name = dict(zip(self.representation.used, coefficients.terms, strict=True))
        found = tuple(
            _mixed(by_name[name], mixtures[name]) if name in mixtures else by_name[name]
            for name in recipe.used
        )
        features = recipe.multiplied(replace(coefficients, terms=found))
        problem = Problem.of(recipe, reduce=self.map.problem.reduce)
        return replace(self.map, problem=problem).design(features).columns


def _coefficients(representation: Representation, structures: Structures) -> list[_Batch]:
    """Coefficients of all structures, batch by batch; centers of fragments in rows of the whole."""
    batches = []
    for start, stop in batch_limits(structures, BATCH_ATOMS):
        some = structures.select(torch.arange(start, stop))
        whole, parts = representation.coefficients(some), None
        if representation.fragments is not None:
            alone, atom = some.parts(some.array(representation.fragments))
            parts = representation.coefficients(alone)
            owner = some.structure_index[atom[representation.centers_of(alone)]]
            parts = replace(parts, structure_index=owner, n_structures=some.n_structures)
        batches.append(_Batch(rows=slice(start, stop), whole=whole, parts=parts))
    return batches


def _mixed(field: Equivariants, matrix: Float[Tensor, "channel new"]) -> Equivariants:
    """A field in mixtures of its channels."""
    blocks, new = {}, matrix.shape[1]
    for irrep, block in field.blocks.items():
        apart = block.unflatten(2, (len(matrix), -1))
        blocks[irrep] = torch.einsum("imkn,kq->imqn", apart, matrix).flatten(start_dim=2)
        labels = channel_labels(new, apart.shape[3])
    return Equivariants(blocks, dict.fromkeys(blocks, labels), field.centers)


def _gradient(leaf: Tensor) -> Float[np.ndarray, " number"]:
    return np.zeros(len(leaf)) if leaf.grad is None else leaf.grad.numpy()


def _size(matrix: Float[Tensor, "channel new"]) -> Float[Tensor, " new"]:
    return matrix.square().mean(dim=0).sqrt().clamp(min=1e-300)
