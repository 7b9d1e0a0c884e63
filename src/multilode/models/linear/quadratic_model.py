"""Linear models of invariants of up to two fields, as quadratic forms of their coefficients."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.correlations.quadratic_form import quadratic_forms, spectrum_matrices
from multilode.equivariants.features import Features
from multilode.models.pooling import species_slots
from multilode.models.reduce import Reduce
from multilode.representation.representation import Representation


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class QuadraticModel:
    """y_A = b + sum_i (w . c_i + sum_lm c_ilm^T M_l c_ilm), with c_i all coefficients around i.

    It is a linear model of power spectra whose features are never made: a few times faster, with a
    backward pass that costs next to nothing.

    Source: theory#power-spectrum; theory#ridge.

    Args:
        weights: of the invariants of single fields, those with l = 0.
        matrices: symmetric.
        intercept: b.
        reduce: sum or mean over centers.
        centers: center species, the kinds; None if all centers are of one kind.
    """

    weights: Float[Tensor, "kind channel"]
    matrices: Float[Tensor, "kind l channel channel"]
    intercept: Float[Tensor, ""]
    reduce: Reduce
    centers: tuple[int, ...] | None

    @staticmethod
    def of(
        weights: tuple[Float[Tensor, "_ target"], ...],
        intercept: Float[Tensor, " target"],
        representation: Representation,
        *,
        reduce: Reduce,
        centers: tuple[int, ...] | None,
    ) -> "QuadraticModel | None":
        """The model with the weights of pooled features, as a `RidgeModel` has them.

        None for several columns or irreps, products of three fields, fields that differ in
        `max_angular`, and features less those of fragments.
        """
        products, kinds = representation.products, 1 if centers is None else len(centers)
        degrees = {representation.fields[name].max_angular for name in representation.used}
        long = representation.irreps is not None or max(len(names) for names in products) > 2
        long |= representation.fragments is not None
        if long or len(degrees) > 1 or len(intercept) != 1:
            return None
        parts = [own.reshape(kinds, -1) for own in weights]
        linear, matrices = _assembled(parts, representation, *degrees)
        return QuadraticModel(
            weights=linear,
            matrices=matrices,
            intercept=intercept[0],
            reduce=reduce,
            centers=centers,
        )

    def predict(self, coefficients: Features) -> Float[Tensor, "row 1"]:
        """Predictions, differentiable in the coefficients; centers are summed in float64.

        Args:
            coefficients: from `Representation.coefficients`.

        Raises:
            ValueError: for a center of a species that was not trained.
        """
        fields = [
            torch.cat([term.blocks[irrep] for irrep in sorted(term.blocks)], dim=1)
            for term in coefficients.terms
        ]
        joined = torch.cat(fields, dim=2)  # [center, lm, channel]
        kinds, n_kinds = self._kinds(coefficients), len(self.matrices)
        counts = torch.bincount(kinds, minlength=n_kinds).tolist()
        order = torch.argsort(kinds, stable=True)
        of_centers = quadratic_forms(joined, self.matrices, order, counts)
        if bool(self.weights.any()):
            of_centers = of_centers + (joined[:, 0] * self.weights.to(joined)[kinds]).sum(dim=1)
        index, n = coefficients.structure_index, coefficients.n_structures
        rows = torch.zeros(n, dtype=torch.float64, device=index.device)
        rows = rows.index_add(0, index, of_centers.double())
        if self.reduce == "mean":
            rows = rows / torch.bincount(index, minlength=n).clamp(min=1)
        return (self.intercept.to(rows) + rows)[:, None]

    def _kinds(self, coefficients: Features) -> Int[Tensor, " center"]:
        if self.centers is None:
            return torch.zeros_like(coefficients.center_species)
        return species_slots(coefficients.center_species, self.centers)


def _assembled(
    weights: list[Float[Tensor, "kind _"]], representation: Representation, max_angular: int
) -> tuple[Float[Tensor, "kind channel"], Float[Tensor, "kind l channel channel"]]:
    """Weights of single fields, and the matrices of products in their places."""
    channels, kinds = _channels(representation), len(weights[0])
    width = max(place.stop for place in channels.values())
    linear = weights[0].new_zeros(kinds, width)
    matrices = weights[0].new_zeros(kinds, max_angular + 1, width, width)
    for names, own in zip(representation.products, weights, strict=True):
        places = [channels[name] for name in names]
        if len(places) == 1:
            linear[:, places[0]] += own
            continue
        left, right = places
        sizes = (left.stop - left.start, right.stop - right.start)
        found = spectrum_matrices(own, sizes, max_angular, symmetric=left == right)
        matrices[:, :, left, right] += found / 2
        matrices[:, :, right, left] += found.mT / 2
    return linear, matrices


def _channels(representation: Representation) -> dict[str, slice]:
    """Columns of each field, the channels of all fields side by side."""
    found, start = {}, 0
    for name in representation.used:
        stop = start + representation.n_channels_of(name)
        found[name] = slice(start, stop)
        start = stop
    return found
