"""Features of a data set as labelled arrays, for a file."""

from typing import Any

import numpy as np

from multilode.dataset import Dataset
from multilode.predictor import Progress, feature_batches
from multilode.representation import Representation


def feature_arrays(
    representation: Representation, dataset: Dataset, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Values and labels of all features of all centers.

    For term k, `values_k` is the matrix of centers and features, `feature_names_k` and
    `feature_labels_k` say what its columns are, and `correlation_k` which fields they join.
    `sample_names` and `samples` say what the rows are: structure, atom within the structure,
    atomic number.

    Args:
        representation: computes the features.
        dataset: the structures.
        progress: called with the structures done and the structures in all.

    Raises:
        DataError: if a species is unknown, or a structure cannot be done.
    """
    with dataset.naming_frames():
        batches = list(feature_batches(representation, dataset.structures, progress=progress))
    arrays: dict[str, Any] = {}
    for k, names in enumerate(representation.correlations):
        arrays[f"correlation_{k}"] = np.array(names)
        arrays[f"values_{k}"] = np.concatenate([batch.terms[k].numpy() for batch in batches])
        arrays[f"feature_names_{k}"] = np.array(batches[0].labels[k].names)
        arrays[f"feature_labels_{k}"] = batches[0].labels[k].values
    arrays["sample_names"] = np.array(["structure", "atom", "species"])
    arrays["samples"] = _samples(representation, dataset)
    return arrays


def _samples(representation: Representation, dataset: Dataset) -> np.ndarray:
    """Rows follow the order of the atoms, as the batches do."""
    structures = dataset.structures
    species = structures.species.numpy()
    index = structures.structure_index.numpy()
    starts = (structures.counts.cumsum(0) - structures.counts).numpy()
    chosen = np.flatnonzero(np.isin(species, representation.centers))
    return np.stack([index[chosen], chosen - starts[index[chosen]], species[chosen]], axis=1)
