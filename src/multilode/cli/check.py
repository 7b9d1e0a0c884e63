"""`multilode check`."""

from collections.abc import Sequence
from pathlib import Path

from multilode.cli.progress import progress_stages
from multilode.config.changes import with_changes
from multilode.config.config import load_config
from multilode.config.search_space import SearchSpace
from multilode.config.yaml_text import read_yaml
from multilode.data.io import read
from multilode.errors import UserError
from multilode.progress import duration
from multilode.workflow.doubt import Doubt
from multilode.workflow.doubts import doubts_of_data, doubts_of_structures, twins
from multilode.workflow.forecast import forecast
from multilode.workflow.likeness import fingerprints, same
from multilode.workflow.sets import load_sets


def run_check(path: Path, changes: Sequence[str] = ()) -> None:
    """Look at a configuration or at structures, and print doubts, memory and time.

    Args:
        path: a configuration, whose name ends in `.yaml` or `.yml`, or a file of structures.
        changes: settings that replace those of a configuration.

    Raises:
        UserError: if it cannot be used.
    """
    if path.suffix.lower() in (".yaml", ".yml"):
        doubts = _check_config(path, changes)
    elif changes:
        raise UserError(f"--set changes a configuration, and '{path}' is none; leave it out")
    else:
        with progress_stages() as stage:
            dataset = read(path, progress=stage("reading structures"))
        print(dataset.structures)
        names = sorted({*dataset.columns, *dataset.atom_columns})
        print(f"Keys: {', '.join(names) or 'none'}")
        pairs = same(fingerprints(dataset.structures))
        doubts = [*doubts_of_structures(dataset), *twins(dataset, pairs)]
    for doubt in doubts:
        print(f"note: {doubt}")
    if not doubts:
        print("No doubts.")


def _check_config(path: Path, changes: Sequence[str]) -> list[Doubt]:
    config = load_config(path, changes)
    if config.tune.settings:  # each end of its ranges is looked at
        raw = with_changes(read_yaml(path), changes)
        SearchSpace.of(raw, source=str(path), folder=path.parent)
    with progress_stages() as stage:
        sets = load_sets(config, stage=stage)
        doubts = doubts_of_data(config, sets)
        stage("computing a few structures")
        try:
            found = forecast(config, sets)
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"cannot train: {error}") from error
    for name, part in sets.named.items():
        print(f"{name}: {part.structures.summary()}")
    if found.way:
        print(f"The fit: {found.way}.")
    else:
        print(
            f"The fit: {found.size}, {duration(found.feature_seconds)} for features and up to "
            f"{duration(found.fit_seconds)} for the solution, more on a busy machine."
        )
    return doubts
