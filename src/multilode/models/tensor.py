"""Models of tensors: one model for each irreducible spherical component."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.committee.committee_model import spread_of
from multilode.models.model import AbstractModel
from multilode.models.summary import ModelSummary
from multilode.representation.representation import Representation
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import Irrep, irrep_name


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class TensorModel(AbstractModel):
    """Cartesian tensors from a linear or kernel model of each irrep.

    The weights are the same for all components m of an irrep: predictions rotate with the
    structure.

    Source: theory#tensors; theory#ridge; Grisafi2021 Eq. 10.

    Args:
        tensor: kind of tensor, a name in `TENSORS`.
        parts: model of each irrep, its columns the copies of the irrep in the tensor.
    """

    tensor: str
    parts: Mapping[Irrep, AbstractModel]

    def __repr__(self) -> str:
        lines = (f"  {irrep_name(irrep)}: {model}" for irrep, model in self.parts.items())
        return "\n".join([f"TensorModel({self.tensor},", *lines]) + ")"

    @property
    def n_targets(self) -> int:
        """Number of Cartesian components."""
        return tensor_kind(self.tensor).size

    def predict(self, features: Features) -> Float[Tensor, "row target"]:
        """Flattened Cartesian tensors, differentiable in the features."""
        blocks = {
            irrep: as_block(model.predict(features), irrep) for irrep, model in self.parts.items()
        }
        return tensor_kind(self.tensor).to_cartesian(blocks)

    def predict_with_std(
        self, features: Features
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row target"]]:
        """Predictions and standard deviations of the Cartesian components.

        Members of committees are tensors: their deviations from the mean, times alpha of each
        irrep, are turned into Cartesian ones before their variance is taken, so that covariances
        are kept and the error bars are the diagonal of a covariance that rotates with the
        structure. Of Gaussian processes the errors of spherical components are taken as
        independent.

        Raises:
            ValueError: if a model has no estimate of its uncertainty.
        """
        spread = self.deviations(features)
        if spread is not None:
            return spread[0], spread_of(spread[1])
        kind, blocks, variance = tensor_kind(self.tensor), {}, torch.zeros(())
        for irrep, model in self.parts.items():
            mean, std = model.predict_with_std(features)
            blocks[irrep] = as_block(mean, irrep)
            squares = kind.columns[irrep].to(std).square()
            own = torch.einsum("smc,xmc->sx", as_block(std, irrep).square(), squares)
            variance = variance.to(own) + own
        return kind.to_cartesian(blocks), variance.sqrt()

    def quadratic(self, representation: Representation) -> None:
        """None: the rows of tensors turn."""

    def deviations(
        self, features: Features
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row member target"]] | None:
        """Cartesian tensors, and by how much those of each member differ; None without members."""
        means, deviations = {}, {}
        for irrep, model in self.parts.items():
            found = model.deviations(features)
            if found is None:
                return None
            means[irrep] = as_block(found[0], irrep)
            rows = found[1].unflatten(0, (-1, 2 * irrep.degree + 1))  # [row, m, member, copy]
            deviations[irrep] = rows.transpose(1, 2)
        kind = tensor_kind(self.tensor)
        return kind.to_cartesian(means), kind.to_cartesian(deviations)

    def combined(self, matrix: Float[Tensor, "target new"]) -> AbstractModel:
        """There is none: combinations of Cartesian components do not rotate as a tensor.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"components of a tensor cannot be combined with a matrix of shape {list(matrix.shape)}"
            "; combine its predictions"
        )

    def summary(self) -> ModelSummary:
        """The parts, and the error of all components together where each was cross-validated."""
        kind, parts, total = tensor_kind(self.tensor), [], 0.0
        for irrep, model in self.parts.items():
            (part,) = model.summary().parts
            parts.append(part)
            n = kind.columns[irrep][0].numel()  # components and copies
            total += torch.nan if part.cv_rmse is None else n * part.cv_rmse**2
        error = (total / kind.size) ** 0.5
        known = None if math.isnan(error) else error
        return ModelSummary(parts=tuple(parts), tensor=self.tensor, cv_rmse=known)


def as_block(rows: Float[Tensor, "row copy"], irrep: Irrep) -> Float[Tensor, "structure m copy"]:
    """Rows as components of structures or centers."""
    return rows.unflatten(0, (-1, 2 * irrep.degree + 1))
