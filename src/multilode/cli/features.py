"""`multilode features`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from multilode.cli.output import output_file
from multilode.cli.progress import progress_stages
from multilode.config.config import load_config
from multilode.data.io import read
from multilode.data.structure_checks import check_species
from multilode.files import replacing
from multilode.representation.feature_table import feature_arrays
from multilode.workflow.experiment import representation_of


def run_features(
    config_path: Path, structures: Sequence[Path], output: Path, *, index: str
) -> None:
    """Compute features and write them; the species are those of the training set.

    Args:
        config_path: the configuration.
        structures: files with structures.
        output: NumPy archive to write.
        index: which frames.

    Raises:
        UserError: if the configuration, a file, a structure or the output cannot be used.
    """
    config = load_config(config_path)
    with output_file(output):
        with progress_stages() as stage:
            train_set = read(config.data.train, progress=stage("reading the training set"))
            dataset = read(list(structures), index, progress=stage("reading structures"))
            representation = representation_of(config, train_set)
            check_species(dataset, representation.species)
            progress = stage("computing features")
            arrays = feature_arrays(representation, dataset, progress=progress)
        with replacing(output) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    shapes = [values.shape for name, values in arrays.items() if name.startswith("values_")]
    print(f"Written to {output}: features of shape {', '.join(map(str, shapes))}.")
