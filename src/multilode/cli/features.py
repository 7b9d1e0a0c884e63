"""`multilode features`."""

from collections.abc import Sequence
from pathlib import Path

from multilode.cli.inputs import inputs_of
from multilode.cli.output import output_file
from multilode.cli.progress import progress_stages
from multilode.config.config import load_config
from multilode.data.io import read
from multilode.data.structure_checks import check_species
from multilode.errors import one_line
from multilode.files import replacing
from multilode.representation.feature_files import feature_writer
from multilode.representation.feature_table import feature_arrays
from multilode.workflow.experiment import representation_of


def run_features(
    config_path: Path,
    structures: Sequence[Path],
    output: Path,
    *,
    index: str,
    changes: Sequence[str] = (),
) -> None:
    """Compute features and write them; the species are those of the training set.

    Args:
        config_path: the configuration.
        structures: files with structures.
        output: file to write, `.npz` or `.csv`.
        index: which frames.
        changes: settings that replace those of the configuration.

    Raises:
        UserError: if the configuration, a file, a structure or the output cannot be used.
    """
    config = load_config(config_path, changes)
    writer = feature_writer(output)
    with output_file(output, inputs=[*inputs_of(config, config_path), *structures]):
        with progress_stages() as stage:
            train_set = read(config.data.train, progress=stage("reading the training set"))
            dataset = read(list(structures), index, progress=stage("reading structures"))
            representation = representation_of(config, train_set)
            check_species(dataset, representation.species)
            progress = stage("computing features")
            arrays = feature_arrays(representation, dataset, progress=progress)
        with replacing(output) as temporary:
            writer(temporary, arrays)
    shapes = [values.shape for name, values in arrays.items() if name.startswith("values_")]
    print(f"Written to {one_line(str(output))}: features of shape {', '.join(map(str, shapes))}.")
