"""Simple descriptions of a target that are subtracted before a model is fitted."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models.targets import Reduce, Target
from multilode.structures.batch import Structures
from multilode.symmetry.cartesian import tensor_kind


class AbstractBaseline(ABC):
    """Settings of a baseline; `fit` changes nothing. Source: theory#baseline."""

    @abstractmethod
    def fit(
        self,
        structures: Structures,
        y: Float[Tensor, "structure target"],
        *,
        reduce: Reduce,
        species: tuple[int, ...] | None = None,
    ) -> "FittedBaseline":
        """Fit to the targets of the structures.

        Args:
            reduce: "sum" for extensive, "mean" for intensive targets.
            species: atomic numbers that get a constant; by default those that occur.
        """


@final
@dataclass(frozen=True, kw_only=True)
class FittedBaseline:
    """One constant per species: added up over atoms, or averaged for intensive targets.

    Args:
        species: atomic numbers that have a constant; empty for a baseline of zero.
        constants: in the unit of the target.
        reduce: "sum" or "mean" over atoms.
        model: another model, on whose rest the constants were fitted and whose values `predict`
            does not add.
    """

    species: tuple[int, ...]
    constants: Float[Tensor, "species target"]
    reduce: Reduce
    model: AbstractBaseline | None = None

    def predict(self, structures: Structures) -> Float[Tensor, "structure target"]:
        """Baseline of each structure, in float64; it does not depend on positions or cell.

        Raises:
            ValueError: if an atom has a species without a constant.
        """
        if not self.species:
            return self.constants.new_zeros(structures.n_structures, self.constants.shape[1])
        counts = composition(structures, self.species, reduce=self.reduce)
        return counts.to(self.constants.device) @ self.constants


@final
@dataclass(frozen=True)
class CompositionBaseline(AbstractBaseline):
    """One constant per species by least squares.

    Where the compositions do not determine the constants (all structures with one formula, say),
    the solution of the smallest norm is taken: zero for a species that does not occur.
    """

    def fit(
        self,
        structures: Structures,
        y: Float[Tensor, "structure target"],
        *,
        reduce: Reduce,
        species: tuple[int, ...] | None = None,
    ) -> FittedBaseline:
        """Least squares over all structures."""
        species = species or _present(structures)
        counts = composition(structures, species, reduce=reduce).to(y.device)
        constants = torch.linalg.pinv(counts, rtol=1e-10) @ y.double()
        return FittedBaseline(species=species, constants=constants, reduce=reduce)


@final
@dataclass(frozen=True)
class MeanBaseline(AbstractBaseline):
    """The same constant for every atom: for intensive targets this is the mean of the target."""

    def fit(
        self,
        structures: Structures,
        y: Float[Tensor, "structure target"],
        *,
        reduce: Reduce,
        species: tuple[int, ...] | None = None,
    ) -> FittedBaseline:
        """Least squares over all structures."""
        species = species or _present(structures)
        shares = composition(structures, species, reduce=reduce).to(y.device)
        sizes = shares.sum(dim=1, keepdim=True)
        constant = torch.linalg.pinv(sizes) @ y.double()
        return FittedBaseline(
            species=species, constants=constant.repeat(len(species), 1), reduce=reduce
        )


@final
@dataclass(frozen=True)
class NoBaseline(AbstractBaseline):
    """Nothing is subtracted."""

    def fit(
        self,
        structures: Structures,  # noqa: ARG002 (the interface of all baselines)
        y: Float[Tensor, "structure target"],
        *,
        reduce: Reduce,
        species: tuple[int, ...] | None = None,  # noqa: ARG002
    ) -> FittedBaseline:
        """A baseline of zero."""
        constants = torch.zeros(0, y.shape[1], dtype=torch.float64)
        return FittedBaseline(species=(), constants=constants, reduce=reduce)


@final
@dataclass(frozen=True)
class IsotropicBaseline(AbstractBaseline):
    """A baseline of tensors that no rotation changes: fitted to their isotropic part alone.

    Args:
        baseline: the baseline to fit.
        tensor: kind of tensor, a name in `TENSORS`.
    """

    baseline: AbstractBaseline
    tensor: str

    def fit(
        self,
        structures: Structures,
        y: Float[Tensor, "structure target"],
        *,
        reduce: Reduce,
        species: tuple[int, ...] | None = None,
    ) -> FittedBaseline:
        """Zero for tensors without such a part, as vectors."""
        isotropic = tensor_kind(self.tensor).isotropic(y.double())
        return self.baseline.fit(structures, isotropic, reduce=reduce, species=species)


# those on other models are added in `model_baselines.py`
BASELINES: dict[str, type[AbstractBaseline]] = {
    "composition": CompositionBaseline,
    "mean": MeanBaseline,
    "none": NoBaseline,
}


def baseline_of(target: Target, baseline: AbstractBaseline | None = None) -> AbstractBaseline:
    """By default the composition for extensive, the mean for intensive targets.

    Differences from fragments have none.

    Of tensors it is a baseline of their isotropic part, which no rotation changes.
    """
    if baseline is None:
        baseline = CompositionBaseline() if target.reduce == "sum" else MeanBaseline()
        if target.fragments is not None:
            baseline = NoBaseline()
    if target.tensor is None:
        return baseline
    return IsotropicBaseline(baseline, target.tensor)


def composition(
    structures: Structures, species: tuple[int, ...], *, reduce: Reduce
) -> Float[Tensor, "structure species"]:
    """Atoms of each species, or for `reduce="mean"` their fraction, in float64.

    Raises:
        ValueError: if an atom has a species that is not listed.
    """
    matches = structures.species[:, None] == torch.tensor(species, device=structures.species.device)
    unknown = ~matches.any(dim=1)
    if bool(unknown.any()):
        atom = int(unknown.nonzero()[0])
        raise ValueError(
            f"atom {atom} (structure {int(structures.structure_index[atom])}) has atomic number "
            f"{int(structures.species[atom])}, but the baseline was fitted to {list(species)}; "
            "train with structures that contain this species"
        )
    counts = torch.zeros(
        structures.n_structures, len(species), dtype=torch.float64, device=matches.device
    ).index_add(0, structures.structure_index, matches.double())
    if reduce == "sum":
        return counts
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1)


def _present(structures: Structures) -> tuple[int, ...]:
    return tuple(structures.species.unique().tolist())
