"""Trained networks of tensors, and of numbers that are no energies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from multilode.models.model import AbstractModel
from multilode.models.network.loss import rows_of
from multilode.models.network.network import NetworkSize, TensorOutput
from multilode.models.network.network_model import EpochErrors, on_fields, owners
from multilode.models.summary import ModelSummary, PartSummary
from multilode.representation.field_set import Fields
from multilode.representation.representation import Representation
from multilode.symmetry.cartesian import tensor_kind


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class NetworkTensorModel(AbstractModel):
    """y = s sum_i T_i (or their mean, or each), the tensors of atoms that a network gives.

    Source: theory#tensors.

    Args:
        size: shapes of the weights.
        weights: all parameters and scales, by name.
        scale: s, in units of the target.
        history: errors in the course of the training.
        best_epoch: whose weights these are, chosen by validation; None for the last.
    """

    size: NetworkSize
    weights: Mapping[str, Float[Tensor, "..."]]
    scale: float
    history: tuple[EpochErrors, ...] = ()
    best_epoch: int | None = None

    def __repr__(self) -> str:
        count = sum(weight.numel() for weight in self.weights.values())
        kind = self._output.kind
        return f"NetworkTensorModel({kind}, {self.size.channels} channels, {count} weights)"

    @property
    def n_targets(self) -> int:
        """Number of Cartesian components."""
        return tensor_kind(self._output.kind).size

    @property
    def _output(self) -> TensorOutput:
        if self.size.tensor is None:
            raise ValueError("this network has energies and no tensors")
        return self.size.tensor

    def predict(self, features: Fields) -> Float[Tensor, "row target"]:
        """Flattened Cartesian tensors, differentiable in the positions and cells of the fields."""
        atoms = on_fields(self.size, self.weights, features)[0].double()
        return self.scale * rows_of(atoms, self._output, *owners(features))

    def predict_with_std(
        self,
        features: Fields,  # noqa: ARG002
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row target"]]:
        """Not possible.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "a network of tensors has no error bars; a committee of linear models or kernels has"
        )

    def deviations(self, features: Fields) -> None:
        """None: there are no members."""

    def quadratic(self, representation: Representation) -> None:
        """None: a network multiplies more."""

    def combined(self, matrix: Float[Tensor, "target new"]) -> "NetworkTensorModel":
        """Not possible: combinations of Cartesian components do not rotate as a tensor.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"components of a tensor cannot be combined with a matrix of shape {list(matrix.shape)}"
            "; combine its predictions"
        )

    def summary(self) -> ModelSummary:
        """Nothing was chosen by cross-validation."""
        return ModelSummary(parts=(PartSummary(),))
