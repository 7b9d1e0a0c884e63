"""Kernels with all rows of a training set: the environments of rows, and their map."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.errors import DataWarning
from multilode.models.kernel_ridge.kernel_model import (
    KernelModel,
    compared_rows,
    summed_environments,
)
from multilode.models.kernels import AbstractKernel
from multilode.models.kernels.compression import Compression
from multilode.models.kernels.environments import EnvironmentTerms
from multilode.models.kernels.row_kernels import BLOCK_BYTES, kernel_between, prepare_terms
from multilode.models.model import AbstractDesign, AbstractMap
from multilode.models.problem import Problem
from multilode.models.rows import ForceRows, Terms
from multilode.models.solve.dual import DualSolution
from multilode.models.solve.posterior import Posterior
from multilode.progress import begin

_NO_FORCES = (
    "forces can be learned by a model that is linear in features of structures (a ridge, a sparse "
    "kernel, a committee of either), not by a kernel between whole structures; take a sparse kernel"
)


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class EnvironmentDesign(AbstractDesign):
    """All environments of rows, which are compared with all environments of a training set.

    Args:
        map: whose kernels compare them.
        environments: of each term.
    """

    map: "KernelMatrixMap"
    environments: EnvironmentTerms

    def __len__(self) -> int:
        return self.n_rows

    def __repr__(self) -> str:
        numbers = ", ".join(str(len(term.points)) for term in self.environments.terms)
        return f"EnvironmentDesign({self.n_rows} rows, terms of {numbers} environments)"

    @property
    def forces(self) -> None:
        """None: see `columns`."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.environments.n_rows

    @property
    def columns(self) -> Terms:
        """There are none.

        Raises:
            ValueError: always.
        """
        raise ValueError(_NO_FORCES)

    @property
    def references(self) -> Int[Tensor, " row"]:
        """The rows themselves, in order."""
        return torch.arange(self.n_rows)

    def beside(self, train: "EnvironmentDesign") -> Terms:
        """Unscaled kernels with the rows of a training set, one per term."""
        pairs = zip(self.environments.terms, train.environments.terms, strict=True)
        kernels, block_bytes = [], self.map.block_bytes
        for number, (a, b) in enumerate(pairs):
            progress = begin(f"comparing {a.n_rows} with {b.n_rows} rows, term {number + 1}")
            kernel = self.map.kernels[number]
            kernels.append(kernel_between(kernel, a, b, block_bytes=block_bytes, progress=progress))
        return tuple(kernels)

    def select(self, indices: Sequence[int] | Int[Tensor, " chosen"]) -> "EnvironmentDesign":
        """The chosen rows, in the order given."""
        return replace(self, environments=self.environments.select(indices))

    def joined(self, others: Sequence["EnvironmentDesign"]) -> "EnvironmentDesign":
        """These rows and those of others, one after the other."""
        parts = [part.environments for part in (self, *others)]
        return replace(self, environments=EnvironmentTerms.concatenate(parts))

    def stored(self) -> "EnvironmentDesign":
        """The same: environments are on the CPU, and collected without gradients."""
        return self

    def with_forces(self, forces: ForceRows) -> "EnvironmentDesign":  # noqa: ARG002
        """There cannot be any, see `columns`.

        Raises:
            ValueError: always.
        """
        raise ValueError(_NO_FORCES)


@final
@dataclass(frozen=True, kw_only=True)
class KernelMatrixMap(AbstractMap[EnvironmentDesign]):
    """K_AB, the sum or mean over pairs of centers of their kernels, with all rows B.

    Args:
        problem: the regression.
        kernels: one per term of the problem.
        centers: center species that are compared with their own kind only; None compares all.
        block_bytes: bound on the memory of temporaries.
        compressions: of the features of each term; without any, all features are compared.
        kept_bytes: largest environments that are kept for standard deviations alone; None for any.
    """

    problem: Problem
    kernels: tuple[AbstractKernel, ...]
    centers: tuple[int, ...] | None = None
    block_bytes: int = BLOCK_BYTES
    compressions: tuple[Compression | None, ...] = ()
    kept_bytes: int | None = None

    def design(self, features: Features) -> EnvironmentDesign:
        """The environments (their sums, where a kernel is linear) on the CPU, in float64."""
        rows = compared_rows(features, self.kernels, self.problem.irrep).to("cpu")
        prepared = prepare_terms(
            rows,
            self.kernels,
            reduce=self.problem.reduce,
            centers=self.centers,
            compressions=self.compressions,
        )
        return EnvironmentDesign(map=self, environments=prepared)

    def model(self, design: EnvironmentDesign, solution: DualSolution) -> KernelModel:
        """Keep the environments only where predictions or standard deviations need them."""
        n_slots = 1 if self.centers is None else len(self.centers)
        pairs = tuple(zip(self.kernels, design.environments.terms, strict=True))
        posterior = self._kept_posterior(design, solution)
        moments = tuple(
            summed_environments(kernel, term, solution.dual, n_slots) for kernel, term in pairs
        )
        return KernelModel(
            kernels=self.kernels,
            environments=tuple(
                term if posterior or not summed.numel() else term.select([])
                for (_, term), summed in zip(pairs, moments, strict=True)
            ),
            moments=moments,
            dual=solution.dual,
            intercept=solution.intercept,
            factors=solution.factors,
            term_weights=solution.choice.term_weights,
            regularization=solution.choice.regularization,
            reduce=self.problem.reduce,
            centers=self.centers,
            irrep=self.problem.irrep,
            posterior=posterior,
            cv_table=solution.choice.table,
            compressions=self.compressions,
        )

    def _kept_posterior(
        self, design: EnvironmentDesign, solution: DualSolution
    ) -> Posterior | None:
        """That of the solution, unless the environments which it needs are too large."""
        if solution.posterior is None or self.kept_bytes is None:
            return solution.posterior
        parts = (x for term in design.environments.terms for x in term.points.tensors)
        needed = sum(8 * x.numel() for x in parts)
        if needed <= self.kept_bytes:
            return solution.posterior
        warnings.warn(
            DataWarning(
                f"this model has no standard deviations: they need all {needed / 1e9:.1f} GB of "
                "training environments. Ask for them with uncertainty: true, or take a committee "
                "or a sparse kernel"
            ),
            stacklevel=2,
        )
        return None
