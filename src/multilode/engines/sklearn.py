"""Features as a transformer of scikit-learn, from objects of ASE to a matrix."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from multilode.data.inputs import Data, as_structures
from multilode.expansion import FieldExpansion
from multilode.models.pooling import pool
from multilode.representation.batches import feature_batches
from multilode.representation.channel_fit import ChannelNumber
from multilode.representation.feature_recipe import DEFAULT_CUTOFF, DEFAULT_PRODUCTS, features
from multilode.symmetry.irrep import INVARIANT

_POOLS = ("sum", "mean", "atom")


class FeatureTransformer(TransformerMixin, BaseEstimator):
    """Invariants of structures, summed or averaged over their centers, or those of each center.

    It can stand in a `Pipeline` and be searched over; species and channels come from the data that
    it is fitted to. Without gradients.

    Args:
        products: terms of the features, as for `multilode.features`.
        cutoff: radius in Å of both bases.
        fields: further fields by name.
        channels: number of mixtures of (species, n) in each field.
        tolerance: relative accuracy of the expansion.
        pool: "sum" for extensive and "mean" for intensive targets, one row per structure; "atom"
            for one row per atom.
    """

    def __init__(
        self,
        products: str = DEFAULT_PRODUCTS,
        *,
        cutoff: float = DEFAULT_CUTOFF,
        fields: Mapping[str, FieldExpansion] | None = None,
        channels: ChannelNumber = "auto",
        tolerance: float | None = None,
        pool: str = "sum",
    ) -> None:
        self.products = products
        self.cutoff = cutoff
        self.fields = fields
        self.channels = channels
        self.tolerance = tolerance
        self.pool = pool

    def fit(self, X: Data, y: Any = None) -> "FeatureTransformer":  # noqa: ARG002
        """Take species and channels from structures.

        Args:
            X: objects of ASE, a data set or structures.
            y: not looked at.

        Raises:
            ValueError: if a setting is out of range, or there is no structure.
        """
        if self.pool not in _POOLS:
            raise ValueError(f"pool is {self.pool!r}; use one of {', '.join(map(repr, _POOLS))}")
        more: dict[str, Any] = {**(self.fields or {}), "channels": self.channels}
        recipe = features(self.products, cutoff=self.cutoff, tolerance=self.tolerance, **more)
        structures = as_structures(X)
        if len(structures) == 0:
            raise ValueError("there is nothing to fit to; give at least one structure")
        self.representation_ = recipe.for_structures(structures)
        one = self.representation_.compute(structures.select([0]))
        self._names = [
            f"{'*'.join(names)} {_label(labels.names, row)}"
            for names, term in zip(self.representation_.products, one.terms, strict=True)
            for labels in [term.labels[INVARIANT]]
            for row in labels.values.tolist()
        ]
        return self

    def transform(self, X: Data) -> Float[np.ndarray, "row feature"]:
        """The features of structures, or of their atoms one after the other.

        Args:
            X: objects of ASE, a data set or structures.

        Raises:
            NotFittedError: before `fit`.
            DataError: if a structure cannot be used.
            ValueError: for a species that was not among those of `fit`.
        """
        check_is_fitted(self, "representation_")
        structures = as_structures(X)
        batches = list(feature_batches(self.representation_, structures))
        if not batches:
            return np.zeros((0, len(self._names)))
        if self.pool == "atom":
            return torch.cat([batch.joined() for batch in batches]).numpy()
        reduce: Any = self.pool  # which `fit` has checked
        rows = (
            pool(batch.joined(), batch.structure_index, batch.n_structures, reduce=reduce)
            for batch in batches
        )
        return torch.cat(list(rows)).numpy()

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:  # noqa: ARG002
        """Fields and labels of the columns.

        Args:
            input_features: not looked at.

        Raises:
            NotFittedError: before `fit`.
        """
        check_is_fitted(self, "representation_")
        return np.array(self._names, dtype=object)


def _label(names: tuple[str, ...], row: list[int]) -> str:
    return " ".join(f"{name}={number}" for name, number in zip(names, row, strict=True))
