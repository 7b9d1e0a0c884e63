"""Sources fitted together with a linear model: variable projection.

A model on rho x V[w] is linear in its weights for any strengths w = sum_k w_k U_k of channels k
that are known. The weights are eliminated: for every U they are those of a ridge regression, and U
alone is changed until the error of structures that are left out is smallest. Rows of products are
linear in each factor, so that those of all channels k are made once, and mixed for every U.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize
from torch import Tensor

from multilode.errors import renumber_errors
from multilode.models import Ridge
from multilode.models.solve.group_errors import (
    group_members,
    left_out_of_kernel,
    left_out_residuals,
)
from multilode.numerics.memory import free_bytes
from multilode.numerics.modes import own_modes
from multilode.prediction.channel_rows import ChannelRows, channel_rows, doubles_of_a_row
from multilode.prediction.learning_set import LearningSet
from multilode.progress import Progress
from multilode.representation.representation import Representation
from multilode.representation.sources import DescribedSources
from multilode.representation.sources.recipes import Fitted

_STARTS = 6  # at random, of which the best after a few steps goes on
_FIRST_STEPS = 10
_PENALTY = 1e-3  # of the square of a mixture beside that of its constants, relative to the error
_START_REGULARIZATION = 1e-5  # of the mean eigenvalue
_SHARE = 0.2  # of the free memory that rows may take; a step needs some more
_MOST_ROWS = 4000  # kernels and their decompositions grow with the square and the cube
_POWERS = {"none": 0.0, "root": 0.5, "standard": 1.0, "auto": 0.5}  # of the spreads of columns


@own_modes(gradients=True)
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
    and the regularization are fitted beside the mixtures, for this purpose only. Of a large set, or
    where memory lacks, some of the groups are looked at, drawn at random.

    Source: theory#sources; theory#left-out-groups.

    Args:
        representation: with the channels that are mixed, as sources of the fields in `recipes`.
        recipes: by field.
        training_set: with the targets less their baseline.
        estimator: of the model: weights for each species of centers, scaling of columns.
        seed: of the starts, and of the groups that are looked at.
        progress: called with the steps done and all steps.

    Raises:
        ValueError: if a product of three fields or more has such a field, or memory does not
            suffice for the rows of a few groups.
    """
    search = _Search.of(representation, recipes, training_set, estimator, seed)
    steps = max(one.steps for one in recipes.values())
    total = _STARTS * _FIRST_STEPS + steps
    report = progress or (lambda *_: None)
    generator = torch.Generator().manual_seed(seed)
    begun = []
    for number in range(_STARTS):
        begun.append(search.improved(search.start(generator), _FIRST_STEPS))
        report((number + 1) * _FIRST_STEPS, total)
    best = search.improved(min(begun, key=lambda found: found[1])[0], steps)[0]
    report(total, total)
    return search.representation_with(best)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Search:
    """Error of left-out groups as a function of mixtures, term weights and regularization.

    Args:
        representation: with the channels that are mixed.
        channels: number of mixtures of each field.
        rows: of each term.
        power: of the spreads that columns are divided by.
        y: targets, with a mean square of one.
        members: rows of each group.
    """

    representation: Representation
    channels: Mapping[str, int]
    rows: list[ChannelRows]
    power: float
    y: Float[Tensor, " row"]
    members: Int[Tensor, "group most"]

    @staticmethod
    def of(
        representation: Representation,
        recipes: Mapping[str, Fitted],
        training_set: LearningSet,
        estimator: Ridge,
        seed: int,
    ) -> "_Search":
        """Everything that does not depend on the mixtures, computed once."""
        structures, mixed = training_set.structures, set(recipes)
        groups = training_set.groups
        if groups is None:
            groups = torch.arange(structures.n_structures)
        most = (
            _SHARE
            * free_bytes(torch.device("cpu"))
            / (8 * doubles_of_a_row(representation, mixed, estimator))
        )
        chosen = _some_groups(groups, min(int(most), _MOST_ROWS), seed)
        y = torch.as_tensor(training_set.y).double().reshape(structures.n_structures)[chosen]
        with renumber_errors(chosen.tolist()):
            some = structures.select(chosen)
        reduce = training_set.target.reduce
        return _Search(
            representation=representation,
            channels={name: one.channels for name, one in recipes.items()},
            rows=channel_rows(representation, mixed, some, estimator, reduce),
            power=_POWERS[estimator.scaling],
            y=y / y.square().mean().sqrt().clamp(min=1e-300),
            members=group_members(groups[chosen]),
        )

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
        weights = torch.zeros(len(self.rows), dtype=torch.float64)
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
        """With these mixtures, each of them with a mean square of one."""
        mixtures, _, _ = self._split(torch.from_numpy(numbers))
        sources = dict(self.representation.sources or {})
        for name, matrix in mixtures.items():
            size = matrix.square().mean(dim=0).sqrt().clamp(min=1e-300)
            sources[name] = self.basis(name).mixed(matrix / size)
        return replace(self.representation, sources=sources)

    def _constants(self, name: str) -> Float[Tensor, " channel"]:
        """1 for channels that are constants of a species, 0 for its components."""
        return (self.basis(name).weights.abs().sum(dim=(0, 1)) == 0).double()

    def _split(
        self, numbers: Float[Tensor, " number"]
    ) -> tuple[dict[str, Float[Tensor, "channel new"]], Float[Tensor, " term"], Float[Tensor, ""]]:
        """Mixtures by field, logarithms of term weights, and of the regularization."""
        sizes = [self.basis(name).n_channels * count for name, count in self.channels.items()]
        *parts, weights, regularization = numbers.split([*sizes, len(self.rows), 1])
        pairs = zip(self.channels.items(), parts, strict=True)
        mixtures = {name: part.reshape(-1, count) for (name, count), part in pairs}
        return mixtures, weights, regularization[0]

    def _loss(
        self, numbers: Float[np.ndarray, " number"]
    ) -> tuple[float, Float[np.ndarray, " number"]]:
        """Error and its gradient."""
        leaf = torch.from_numpy(np.array(numbers)).requires_grad_()
        mixtures, weights, regularization = self._split(leaf)
        penalty = regularization.exp() * weights.exp().sum()
        if self.is_wide:
            parts = [w.exp() * self._kernel(k, mixtures) for k, w in enumerate(weights)]
            kernel = torch.stack(parts).sum(dim=0)
            found = left_out_of_kernel(kernel, self.y, penalty, self.members)
        else:
            roots = (weights / 2).exp()
            pairs = zip(roots, self.rows, strict=True)
            parts = [root * self._term(one, mixtures) for root, one in pairs]
            found = left_out_residuals(torch.cat(parts, dim=1), self.y, penalty, self.members)
        error = found.square().sum() / len(self.y) + self._penalty(mixtures)
        return float(error.detach()), torch.autograd.grad(error, leaf)[0].numpy()

    @cached_property
    def is_wide(self) -> bool:
        """Whether there are more columns than rows: kernels are smaller then."""
        columns = 0
        for one in self.rows:
            mixed = math.prod(self.channels[name] for name in one.names)
            columns += one.values.shape[1] * mixed
        return columns > len(self.y)

    @cached_property
    def _fixed(self) -> dict[int, Float[Tensor, "row row"]]:
        """Kernels of the terms that are not mixed."""
        found = {k: self._term(one, {}) for k, one in enumerate(self.rows) if not one.names}
        return {k: term @ term.T for k, term in found.items()}

    def _kernel(self, k: int, mixtures: Mapping[str, Tensor]) -> Float[Tensor, "row row"]:
        """X X^T of one term."""
        if k in self._fixed:
            return self._fixed[k]
        term = self._term(self.rows[k], mixtures)
        return term @ term.T

    def _term(
        self, rows: ChannelRows, mixtures: Mapping[str, Tensor]
    ) -> Float[Tensor, "row column"]:
        """Scaled columns, of rows whose mean squared norm is one."""
        term = self._scaled(rows.mixed(mixtures))
        return term * (term.square().sum() / len(term)).clamp(min=1e-300).rsqrt()

    def _scaled(self, term: Float[Tensor, "row column"]) -> Float[Tensor, "row column"]:
        if self.power == 0:
            return term
        squares = term.square().mean(dim=0)
        return term / (squares + 1e-12 * squares.mean() + 1e-300).pow(self.power / 2)

    def _penalty(self, mixtures: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Of what surroundings add, beside the constants."""
        total = torch.zeros((), dtype=torch.float64)
        for name, matrix in mixtures.items():
            constants = self._constants(name)
            added = (matrix * (1 - constants)[:, None]).square().sum()
            total = total + added / (matrix * constants[:, None]).square().sum()
        return _PENALTY * total


def _some_groups(groups: Int[Tensor, " structure"], most: int, seed: int) -> Int[Tensor, " chosen"]:
    """Structures of whole groups, drawn at random, up to a number of structures.

    Raises:
        ValueError: if there are fewer than two groups then.
    """
    unique, index, counts = groups.unique(return_inverse=True, return_counts=True)
    order = torch.randperm(len(unique), generator=torch.Generator().manual_seed(seed))
    taken = order[counts[order].cumsum(0) <= most]
    if len(taken) < 2:
        raise ValueError(
            f"fitting sources needs the rows of two groups of structures at once, and memory holds "
            f"{most} rows; take smaller bases, fewer components, or set memory"
        )
    return torch.isin(index, taken).nonzero()[:, 0]
