"""Sources fitted together with a linear model: variable projection.

A model on rho x V[w] is linear in its weights for any strengths w = sum_k w_k U_k of channels k
that are known. The weights are eliminated: for every U they are those of a ridge regression, and U
alone is changed until the error of structures that are left out is smallest. Rows of products are
linear in each factor, so that those of all channels k are made once, and mixed for every U.
"""

import math
from collections.abc import Callable, Mapping
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
from multilode.numerics.memory import require_bytes
from multilode.numerics.modes import own_modes
from multilode.prediction.channel_rows import (
    MOST_DOUBLES,
    ChannelRows,
    channel_rows,
    doubles_of_a_row,
)
from multilode.prediction.learning_set import LearningSet
from multilode.prediction.source_targets import (
    kinds_of,
    some_groups,
    unit_targets,
    weighted_targets,
)
from multilode.progress import Progress
from multilode.representation.channel_fit import sample_of
from multilode.representation.representation import Representation
from multilode.representation.sources import ConservedSources, DescribedSources
from multilode.representation.sources.recipes import Fitted
from multilode.structures.batch import Structures

_STARTS = 6  # at random, of which the best after a few steps goes on
_FIRST_STEPS = 10
# Of the square of a mixture beside that of its constants, relative to the error: what a quarter of
# the groups is predicted best with, after so many steps
_PENALTIES = (1e-3, 1e-1, 10.0)
_HELD, _FEWEST = 0.25, 12  # share of the groups, and groups below which nothing is chosen
_DEFAULT_PENALTY = 1e-1
_START_REGULARIZATION = 1e-5  # of the mean eigenvalue
_LEAST = 1e-9  # of it: below, decompositions fail
_COPIES = 3
_MOST_ROWS = 4000  # kernels and their decompositions grow with the square and the cube


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
    and the regularization are fitted beside the mixtures, for this purpose only, without an
    intercept. Of a large set some of the groups are looked at, drawn at random: 4000 structures, or
    as many as have rows of a gigabyte.

    Source: theory#sources; theory#left-out-groups.

    Args:
        representation: with the channels that are mixed, as sources of the fields in `recipes`.
        recipes: by field.
        training_set: with the targets less their baseline.
        estimator: of the model: weights for each species of centers, scaling of columns.
        seed: of the starts, and of the groups that are looked at.
        progress: called with the steps done and all steps.

    Raises:
        ValueError: if a product has more than two fields, or memory does not suffice.
    """
    search = _Search.of(representation, recipes, training_set, estimator, seed)
    most = max(one.steps for one in recipes.values())
    total = (1 + len(_PENALTIES)) * most + 2 * _STARTS * _FIRST_STEPS
    counter = _Counter(total=total, progress=progress)
    penalty, steps = _DEFAULT_PENALTY, most
    if len(search.members) >= _FEWEST:
        penalty, steps = _chosen(search, most, seed, counter)
    search = replace(search, penalty=penalty)
    found = search.improved(_begun(search, seed, counter), steps, counter.step)
    counter.end()
    fitted = search.representation_with(found)
    return _summarised(fitted, training_set.structures, seed)


@torch.no_grad()
def _summarised(
    representation: Representation, structures: Structures, seed: int
) -> Representation:
    """With what the strengths of conserved sources are in some of the structures."""
    some = structures.select(sample_of(structures, seed))
    sources = {
        name: one.summarised(some) if isinstance(one, ConservedSources) else one
        for name, one in (representation.sources or {}).items()
    }
    return replace(representation, sources=sources)


@dataclass(kw_only=True)
class _Counter:
    """Steps that are done."""

    total: int
    progress: Progress | None
    done: int = 0

    def step(self, *_: object) -> None:
        """One more."""
        self.done = min(self.done + 1, self.total)
        if self.progress is not None:
            self.progress(self.done, self.total)

    def end(self) -> None:
        """All of them, if fewer were needed."""
        if self.progress is not None:
            self.progress(self.total, self.total)


def _begun(search: "_Search", seed: int, counter: _Counter) -> Float[np.ndarray, " number"]:
    """The best of some starts after a few steps."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(_STARTS):
        numbers = search.improved(search.start(generator), _FIRST_STEPS, counter.step)
        found.append((search.error(numbers), numbers))
    return min(found, key=lambda pair: pair[0])[1]


def _chosen(search: "_Search", most: int, seed: int, counter: _Counter) -> tuple[float, int]:
    """Penalty and number of steps with which groups that are set aside are predicted best."""
    order = torch.randperm(len(search.members), generator=torch.Generator().manual_seed(seed))
    held = max(2, round(_HELD * len(order)))
    aside, inner = search.of_groups(order[:held]), search.of_groups(order[held:])
    first = _begun(inner, seed, counter)
    trials: list[tuple[float, float, int]] = []
    for penalty in _PENALTIES:
        path: list[Float[np.ndarray, " number"]] = []

        def keep(numbers: Float[np.ndarray, " number"], path: list = path) -> None:
            counter.step()
            path.append(numbers.copy())

        one = replace(inner, penalty=penalty)
        one.improved(first, most, keep)
        looked_at = sorted({round(1.25**k) for k in range(32)} & set(range(1, len(path))))
        errors = [
            (one.error_of(aside, path[k - 1]), penalty, k) for k in (*looked_at, len(path)) if k
        ]
        trials += errors
    _, penalty, steps = min(trials, default=(0.0, _DEFAULT_PENALTY, most))
    return penalty, steps


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Search:
    """Error of left-out groups as a function of mixtures, term weights and regularization.

    Args:
        representation: with the channels that are mixed.
        channels: number of mixtures of each field.
        rows: of each term.
        y: targets, with a mean square of one.
        members: rows of each group.
        penalty: of what surroundings add to the strengths.
        kinds: rows with equal numbers share weights; None if all do.
    """

    representation: Representation
    channels: Mapping[str, int]
    rows: list[ChannelRows]
    y: Float[Tensor, " row"]
    members: Int[Tensor, "group most"]
    penalty: float = _DEFAULT_PENALTY
    kinds: Int[Tensor, " row"] | None = None

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
        doubles = doubles_of_a_row(representation, mixed, estimator)
        require_bytes(
            _COPIES * 8 * min(MOST_DOUBLES, doubles * len(groups)),
            torch.device("cpu"),
            what="fitting sources",
            remedy="take smaller bases or fewer components",
        )
        chosen = some_groups(groups, min(MOST_DOUBLES // doubles, _MOST_ROWS), seed)
        y, roots = weighted_targets(training_set)
        kinds = kinds_of(training_set, recipes)
        with renumber_errors(chosen.tolist()):
            some = structures.select(chosen)
        reduce = training_set.target.reduce
        return _Search(
            representation=representation,
            channels={name: one.channels for name, one in recipes.items()},
            rows=[
                replace(one, values=one.values * roots[chosen, None, None])
                for one in channel_rows(representation, mixed, some, estimator, reduce)
            ],
            y=unit_targets(y[chosen], None if kinds is None else kinds[chosen]),
            members=group_members(groups[chosen]),
            kinds=None if kinds is None else kinds[chosen],
        )

    def basis(self, name: str) -> DescribedSources | ConservedSources:
        """The channels of a field that are mixed."""
        found = self.representation.sources_of(name)
        if not isinstance(found, DescribedSources | ConservedSources):
            raise TypeError(f"the sources of '{name}' are not described")
        return found

    def start(self, generator: torch.Generator) -> Float[np.ndarray, " number"]:
        """Random constants of the species, nothing of their surroundings."""
        parts = []
        for name, count in self.channels.items():
            constants = self.basis(name).constants
            drawn = torch.randn(len(constants), count, generator=generator, dtype=torch.float64)
            parts.append((drawn * constants[:, None]).flatten())
        weights = torch.zeros(len(self.rows), dtype=torch.float64)
        regularization = torch.full((1,), np.log(_START_REGULARIZATION), dtype=torch.float64)
        return torch.cat([*parts, weights, regularization]).numpy()

    def of_groups(self, groups: Int[Tensor, " chosen"]) -> "_Search":
        """The same for some of the groups."""
        inside = self.members[groups]
        rows = inside[inside < len(self.y)]
        index = torch.repeat_interleave(
            torch.arange(len(groups)), (inside < len(self.y)).sum(dim=1)
        )
        parts = [replace(one, values=one.values[rows]) for one in self.rows]
        kinds = None if self.kinds is None else self.kinds[rows]
        own = {"y": self.y[rows], "members": group_members(index), "kinds": kinds}
        return replace(self, rows=parts, **own)

    def improved(
        self,
        numbers: Float[np.ndarray, " number"],
        steps: int,
        callback: Callable[[Float[np.ndarray, " number"]], None],
    ) -> Float[np.ndarray, " number"]:
        """A few steps downhill."""
        options = {"maxiter": steps, "maxfun": 2 * steps}
        settings = {"jac": True, "method": "L-BFGS-B", "options": options}
        return minimize(self._loss, numbers, callback=callback, **settings).x

    def error(self, numbers: Float[np.ndarray, " number"]) -> float:
        """What is minimised."""
        return self._loss(numbers)[0]

    @torch.no_grad()
    def error_of(self, other: "_Search", numbers: Float[np.ndarray, " number"]) -> float:
        """Mean square of what other groups are off by, predicted from these."""
        mixtures, weights, regularization = self._split(torch.from_numpy(numbers))
        kernel = torch.zeros(len(self.y), len(self.y), dtype=torch.float64)
        cross = torch.zeros(len(other.y), len(self.y), dtype=torch.float64)
        for weight, own, new in zip(weights.exp(), self.rows, other.rows, strict=True):
            rows, more = own.mixed(mixtures), new.mixed(mixtures)
            size = (rows.square().sum() / len(rows)).clamp(min=1e-300)
            kernel += weight / size * (rows @ rows.T)
            cross += weight / size * (more @ rows.T)
        kernel, cross = kernel * self._alike(self), cross * other._alike(self)
        penalty = (regularization.exp() + _LEAST) * weights.exp().sum()
        dual = torch.linalg.solve(kernel + penalty * torch.eye(len(kernel)).double(), self.y)
        return float((cross @ dual - other.y).square().mean())

    def representation_with(self, numbers: Float[np.ndarray, " number"]) -> Representation:
        """With these mixtures, in the sizes that their channels give them."""
        mixtures, _, _ = self._split(torch.from_numpy(numbers))
        sources = dict(self.representation.sources or {})
        for name, matrix in mixtures.items():
            basis = self.basis(name)
            sources[name] = basis.mixed(matrix / basis.sizes(matrix))
        return replace(self.representation, sources=sources)

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
        penalty = (regularization.exp() + _LEAST) * weights.exp().sum()
        if self.is_wide:
            parts = [w.exp() * self._kernel(k, mixtures) for k, w in enumerate(weights)]
            kernel = torch.stack(parts).sum(dim=0) * self._alike(self)
            found = left_out_of_kernel(kernel, self.y, penalty, self.members)
        else:
            roots = (weights / 2).exp()
            pairs = zip(roots, self.rows, strict=True)
            parts = [root * self._term(one, mixtures) for root, one in pairs]
            found = left_out_residuals(torch.cat(parts, dim=1), self.y, penalty, self.members)
        error = found.square().sum() / len(self.y) + self._added(mixtures)
        return float(error.detach()), torch.autograd.grad(error, leaf)[0].numpy()

    @cached_property
    def is_wide(self) -> bool:
        """Whether kernels are smaller: more columns than rows, or columns for each kind of row."""
        if self.kinds is not None:
            return True
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

    def _alike(self, other: "_Search") -> Float[Tensor, "row other"] | float:
        """1 where two rows share weights, 0 elsewhere."""
        if self.kinds is None or other.kinds is None:
            return 1.0
        return (self.kinds[:, None] == other.kinds).double()

    def _term(
        self, rows: ChannelRows, mixtures: Mapping[str, Tensor]
    ) -> Float[Tensor, "row column"]:
        """Columns of rows whose mean squared norm is one."""
        term = rows.mixed(mixtures)
        return term * (term.square().sum() / len(term)).clamp(min=1e-300).rsqrt()

    def _added(self, mixtures: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Of what surroundings add, beside the constants."""
        total = torch.zeros((), dtype=torch.float64)
        for name, matrix in mixtures.items():
            constants = self.basis(name).constants
            added = (matrix * (1 - constants)[:, None]).square().sum()
            total = total + added / (matrix * constants[:, None]).square().sum()
        return self.penalty * total
