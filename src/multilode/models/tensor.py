"""Models of tensors: one model for each irreducible spherical component."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.equivariant_features import EquivariantFeatures
from multilode.equivariants.features import Features
from multilode.models.committee import MemberDesign
from multilode.models.committee_model import CommitteeModel, spread_of
from multilode.models.kernel import KernelRidge
from multilode.models.kernel_model import KernelModel
from multilode.models.model import (
    AbstractEstimator,
    AbstractModel,
    Learner,
    Some,
    check_targets,
)
from multilode.models.per_irrep import Regression, member_of, uses_invariants, with_terms
from multilode.models.ridge import RidgeModel
from multilode.models.sparse_kernel import SparseKernelRidge
from multilode.models.sparse_model import SparseKernelModel
from multilode.models.targets import Reduce
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import Irrep

_SEARCH_ROWS = 1200  # with which the term weights of a kernel are chosen; seconds for each trial

Part = RidgeModel | KernelModel | SparseKernelModel | CommitteeModel

_PARTS: dict[str, type[Part]] = {
    "ridge": RidgeModel,
    "kernel": KernelModel,
    "sparse": SparseKernelModel,
    "committee": CommitteeModel,
}


@final
@dataclass(frozen=True, kw_only=True)
class TensorDesign:
    """What the models of all irreps need to know of the training structures.

    Args:
        parts: a design per irrep, whose rows are components of structures, structure major.
        present: numbers of the terms that have features of the irrep.
        n_terms: number of all terms.
    """

    parts: Mapping[Irrep, MemberDesign]
    present: Mapping[Irrep, tuple[int, ...]]
    n_terms: int

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        irrep, part = next(iter(self.parts.items()))
        return part.n_structures // (2 * irrep.degree + 1)

    def select(self, indices: Sequence[int] | Int[Tensor, " chosen"]) -> "TensorDesign":
        """The chosen structures, in the order given."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        parts = {i: part.select(_component_rows(chosen, i)) for i, part in self.parts.items()}
        return replace(self, parts=parts)


@final
@dataclass(frozen=True, kw_only=True)
class TensorModel(AbstractModel):
    """Cartesian tensors from a linear or kernel model of each irrep.

    The weights are the same for all components m of an irrep: predictions rotate with the
    structure. Source: 2021 Eq. 10.

    Args:
        tensor: kind of tensor, a name in `TENSORS`.
        parts: model of each irrep, its columns the copies of the irrep in the tensor.
    """

    tensor: str
    parts: Mapping[Irrep, Part]

    @property
    def n_targets(self) -> int:
        """Number of Cartesian components."""
        return tensor_kind(self.tensor).size

    @property
    def reduce(self) -> Reduce:
        """Sum over centers (extensive) or mean (intensive)."""
        return next(iter(self.parts.values())).reduce

    def predict(self, features: EquivariantFeatures) -> Float[Tensor, "structure target"]:
        """Flattened Cartesian tensors, differentiable in the features."""
        blocks = {
            irrep: _as_block(model.predict(_rows(features, irrep, model)), irrep)
            for irrep, model in self.parts.items()
        }
        return tensor_kind(self.tensor).to_cartesian(blocks)

    def predict_with_std(
        self, features: EquivariantFeatures
    ) -> tuple[Float[Tensor, "structure target"], Float[Tensor, "structure target"]]:
        """Predictions and standard deviations of the Cartesian components.

        Members of committees are tensors: their deviations from the mean, times alpha of each
        irrep, are turned into Cartesian ones before their variance is taken, so that covariances
        are kept and the error bars are the diagonal of a covariance that rotates with the
        structure. Of Gaussian processes the errors of spherical components are taken as
        independent.

        Raises:
            ValueError: if a model has no estimate of its uncertainty.
        """
        committees = {i: m for i, m in self.parts.items() if isinstance(m, CommitteeModel)}
        if committees:
            return self._spread_of_members(features, committees)
        kind, blocks, variance = tensor_kind(self.tensor), {}, torch.zeros(())
        for irrep, model in self.parts.items():
            mean, std = model.predict_with_std(_rows(features, irrep, model))
            blocks[irrep] = _as_block(mean, irrep)
            squares = kind.columns[irrep].to(std).square()
            own = torch.einsum("smc,xmc->sx", _as_block(std, irrep).square(), squares)
            variance = variance.to(own) + own
        return kind.to_cartesian(blocks), variance.sqrt()

    def _spread_of_members(
        self, features: EquivariantFeatures, committees: Mapping[Irrep, CommitteeModel]
    ) -> tuple[Float[Tensor, "structure target"], Float[Tensor, "structure target"]]:
        means, deviations = {}, {}
        for irrep, model in committees.items():
            mean, own = model.deviations(_rows(features, irrep, model))
            means[irrep] = _as_block(mean, irrep)
            rows = own.unflatten(0, (-1, 2 * irrep.degree + 1))  # [structure, m, member, copy]
            deviations[irrep] = rows.transpose(1, 2)
        kind = tensor_kind(self.tensor)
        return kind.to_cartesian(means), spread_of(kind.to_cartesian(deviations))

    def tensors(self) -> dict[str, Tensor]:
        """The numbers of all parts, by name, for a file."""
        return {
            f"{_name(irrep)}.{name}": tensor
            for irrep, model in self.parts.items()
            for name, tensor in model.tensors().items()
        }

    def settings(self) -> dict[str, Any]:
        """Everything else, in types that JSON knows."""
        kinds = {cls: kind for kind, cls in _PARTS.items()}
        return {
            "tensor": self.tensor,
            "parts": [
                {"irrep": list(i), "kind": kinds[type(model)], "settings": model.settings()}
                for i, model in self.parts.items()
            ],
            "cv_table": self._cv_table(),
        }

    def _cv_table(self) -> list[dict[str, float]]:
        """The error of all components together, where every irrep was cross-validated."""
        kind, total = tensor_kind(self.tensor), 0.0
        for irrep, model in self.parts.items():
            table = model.settings()["cv_table"]
            if not table:
                return []
            n = kind.columns[irrep][0].numel()  # components and copies
            total += n * min(row["rmse"] for row in table) ** 2
        return [{"rmse": (total / kind.size) ** 0.5}]

    @classmethod
    def from_parts(
        cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
    ) -> "TensorModel":
        """The model back from `tensors()` and `settings()`."""
        parts = {}
        for part in settings["parts"]:
            irrep = Irrep(*part["irrep"])
            prefix = f"{_name(irrep)}."
            own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            parts[irrep] = _PARTS[part["kind"]].from_parts(own, part["settings"])
        return cls(tensor=settings["tensor"], parts=parts)


@final
@dataclass(frozen=True, kw_only=True)
class TensorRegression(AbstractEstimator[TensorDesign]):
    """A linear or kernel regression of each irrep of a tensor.

    Every irrep has its own regularization and term weights, chosen by cross-validation in which
    the components of a structure stay together; the weights of kernels on at most 1200 components.
    Only invariants may have an intercept.

    Args:
        tensor: kind of tensor, a name in `TENSORS`.
        estimator: settings of the regression of each irrep; the members of a committee are the
            same structures for all irreps.
        reduce: "sum" for extensive, "mean" for intensive targets.

    Raises:
        ValueError: if there is no such kind.
    """

    tensor: str
    estimator: Regression
    reduce: Reduce = "sum"

    def __post_init__(self) -> None:
        tensor_kind(self.tensor)

    def explore(
        self, some: Some[EquivariantFeatures], centers: tuple[int, ...]
    ) -> dict[Irrep, Any]:
        """What the regression of each irrep needs to know before."""
        if not isinstance(member_of(self.estimator), SparseKernelRidge):
            return {}

        def of(irrep: Irrep) -> Some[Features]:
            return lambda n, seed: (self._rows_of(batch, irrep) for batch in some(n, seed))

        irreps = tensor_kind(self.tensor).irreps
        first = next(iter(some(1, 0)))  # of one structure, to know which terms have the irrep
        return {
            irrep: self._of(irrep, *_terms_with(irrep, first)).explore(of(irrep), centers)
            for irrep in irreps
        }

    def collect(
        self,
        batches: Iterable[EquivariantFeatures],
        centers: tuple[int, ...],
        known: Mapping[Irrep, Any] | None = None,
    ) -> TensorDesign:
        """The design of each irrep, batch by batch."""
        collected: dict[Irrep, list] = {i: [] for i in tensor_kind(self.tensor).irreps}
        present, n_terms = {}, 0
        for batch in batches:
            for irrep, parts in collected.items():
                present[irrep], n_terms = _terms_with(irrep, batch)
                own = self._of(irrep, present[irrep], n_terms)
                found = (known or {}).get(irrep)
                parts.append(own.collect([self._rows_of(batch, irrep)], centers, found))
        joined = {i: type(parts[0]).concatenate(parts) for i, parts in collected.items()}
        return TensorDesign(parts=joined, present=present, n_terms=n_terms)

    def _rows_of(self, batch: EquivariantFeatures, irrep: Irrep) -> Features:
        own = self._of(irrep, *_terms_with(irrep, batch))
        return batch.of(irrep, invariants=uses_invariants(own) and irrep != Irrep(0))

    def fit(
        self,
        design: TensorDesign,
        y: Float[Tensor, "structure target"],
        *,
        groups: Int[Tensor, " structure"] | None = None,
    ) -> TensorModel:
        """Fit the model of each irrep.

        Args:
            y: flattened Cartesian tensors.
            groups: structures with equal numbers are never split between folds.

        Raises:
            ValueError: if shapes disagree, numbers are not finite or data are too few.
        """
        y = check_targets(y, design.n_structures)
        groups = _groups(groups, len(y))
        parts = {}
        for irrep, block in tensor_kind(self.tensor).to_spherical(y).items():
            given = (
                design.parts[irrep],
                block.flatten(end_dim=1),
                groups.repeat_interleave(block.shape[1]),
            )
            own = self._of(irrep, design.present[irrep], design.n_terms)
            parts[irrep] = _settled(own, irrep, *given).fit(given[0], given[1], groups=given[2])
        return TensorModel(tensor=self.tensor, parts=parts)

    def learner(
        self,
        train: TensorDesign,
        test: TensorDesign,
        groups: Int[Tensor, " structure"] | None = None,
    ) -> Learner:
        """Fit to a subset, predict `test`."""
        kind, numbers = tensor_kind(self.tensor), _groups(groups, train.n_structures)
        learners = {
            irrep: self._of(irrep, train.present[irrep], train.n_terms).learner(
                train.parts[irrep],
                test.parts[irrep],
                numbers.repeat_interleave(2 * irrep.degree + 1),
            )
            for irrep in kind.irreps
        }

        def predict(
            indices: Int[Tensor, " chosen"], y: Float[Tensor, "chosen target"]
        ) -> Float[Tensor, "test target"]:
            blocks = {}
            for irrep, block in kind.to_spherical(y).items():
                rows = _component_rows(indices, irrep)
                blocks[irrep] = _as_block(learners[irrep](rows, block.flatten(end_dim=1)), irrep)
            return kind.to_cartesian(blocks)

        return predict

    def with_settings(self, **settings: Any) -> "TensorRegression":
        """The same, with other settings of the regression of each irrep."""
        reduce = settings.get("reduce", self.reduce)
        return replace(self, reduce=reduce, estimator=self.estimator.with_settings(**settings))

    def _of(self, irrep: Irrep, present: tuple[int, ...], n_terms: int) -> Regression:
        settings = {} if irrep == Irrep(0) else {"intercept": False}
        own = self.estimator.with_settings(reduce=self.reduce, **settings)
        return with_terms(own, present, n_terms)


def _settled(
    estimator: Regression,
    irrep: Irrep,
    design: MemberDesign,
    y: Float[Tensor, "row copy"],
    groups: Int[Tensor, " row"],
) -> Regression:
    """With term weights that were chosen on some structures, where there are very many rows.

    Each trial of a search decomposes the kernel of all rows, of which a tensor has several for each
    structure.
    """
    plain = member_of(estimator)
    searched = isinstance(plain, KernelRidge) and plain.term_weights is None
    if not searched or len(design.terms) == 1 or design.n_structures <= _SEARCH_ROWS:
        return estimator
    n = 2 * irrep.degree + 1
    generator = torch.Generator().manual_seed(plain.seed)
    order = torch.randperm(design.n_structures // n, generator=generator)
    rows = _component_rows(order[: _SEARCH_ROWS // n].sort().values, irrep)
    some = plain.fit(design.select(rows), y[rows], groups=groups[rows])
    return estimator.with_settings(term_weights=some.term_weights)


def _rows(features: EquivariantFeatures, irrep: Irrep, model: Part) -> Features:
    plain = model.members if isinstance(model, CommitteeModel) else model
    linear = isinstance(plain, RidgeModel)
    zetas = [1] if linear else [kernel.zeta for kernel in plain.kernels]
    return features.of(irrep, invariants=max(zetas) > 1 and irrep != Irrep(0))


def _terms_with(irrep: Irrep, batch: EquivariantFeatures) -> tuple[tuple[int, ...], int]:
    """Numbers of the terms that have features of the irrep, and the number of all terms."""
    present = tuple(k for k, term in enumerate(batch.terms) if irrep in term.blocks)
    if not present:
        raise ValueError(f"no correlation has features of {irrep}; add one that has")
    return present, len(batch.terms)


def _component_rows(indices: Int[Tensor, " chosen"], irrep: Irrep) -> Int[Tensor, " row"]:
    n = 2 * irrep.degree + 1
    return (indices[:, None] * n + torch.arange(n)).flatten()


def _as_block(rows: Float[Tensor, "row copy"], irrep: Irrep) -> Float[Tensor, "structure m copy"]:
    return rows.unflatten(0, (-1, 2 * irrep.degree + 1))


def _groups(groups: Int[Tensor, " structure"] | None, n: int) -> Int[Tensor, " structure"]:
    return torch.arange(n) if groups is None else torch.as_tensor(groups)


def _name(irrep: Irrep) -> str:
    return f"{irrep.degree}{'+' if irrep.parity > 0 else '-'}"
