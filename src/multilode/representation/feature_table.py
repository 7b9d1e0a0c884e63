"""Features of a data set as labelled arrays, for a file."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from multilode.data.dataset import Dataset
from multilode.equivariants.features import Features
from multilode.equivariants.labels import FeatureLabels
from multilode.errors import UserError
from multilode.progress import Progress
from multilode.representation.batches import feature_batches
from multilode.representation.representation import Representation


def feature_arrays(
    representation: Representation, dataset: Dataset, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Values and labels of all features of all centers.

    For term k, `values_k` is the matrix of centers and features, `feature_names_k` and
    `feature_labels_k` say what its columns are, and `correlation_k` which fields they join. For
    equivariants these are arrays of centers, components m and features, and k is followed by
    degree and parity, as in `values_0_l2+`.
    `sample_names` and `samples` say what the rows are: structure, atom within the structure,
    atomic number.

    Args:
        representation: computes the features.
        dataset: the structures.
        progress: called with the structures done and the structures in all.

    Raises:
        DataError: if a species is unknown, or a structure cannot be done.
        UserError: if the settings cannot be met.
    """
    try:
        with dataset.naming_frames():
            batches = list(feature_batches(representation, dataset.structures, progress=progress))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"cannot compute features: {error}") from error
    arrays: dict[str, Any] = {}
    for k, names in enumerate(representation.products):
        arrays[f"correlation_{k}"] = np.array(names)
        for name, values, labels in _blocks(representation, batches, k):
            arrays[f"values_{name}"] = values
            arrays[f"feature_names_{name}"] = np.array(labels.names)
            arrays[f"feature_labels_{name}"] = labels.values
    arrays["sample_names"] = np.array(["structure", "atom", "species"])
    arrays["samples"] = _samples(representation, dataset)
    return arrays


def _blocks(
    representation: Representation, batches: Sequence[Features], k: int
) -> Iterator[tuple[str, np.ndarray, FeatureLabels]]:
    """Name, values and labels of each block of a term; invariants alone are a matrix."""
    for irrep, labels in batches[0].terms[k].labels.items():
        values = np.concatenate([b.terms[k].blocks[irrep].numpy() for b in batches])
        if representation.irreps is None:
            yield str(k), values[:, 0], labels
        else:
            yield f"{k}_l{irrep.degree}{'+' if irrep.parity > 0 else '-'}", values, labels


def _samples(representation: Representation, dataset: Dataset) -> np.ndarray:
    """Rows follow the order of the atoms, as the batches do."""
    structures = dataset.structures
    species = structures.species.numpy()
    index = structures.structure_index.numpy()
    starts = (structures.counts.cumsum(0) - structures.counts).numpy()
    chosen = np.flatnonzero(np.isin(species, representation.centers))
    return np.stack([index[chosen], chosen - starts[index[chosen]], species[chosen]], axis=1)
