"""Where the numbers of a report come from: versions, seeds and sets, nothing of the hour."""

from collections.abc import Mapping
from importlib.metadata import version

import numpy as np

from multilode import __version__
from multilode.config.codec import encode
from multilode.config.config import Config
from multilode.data.dataset import Dataset
from multilode.prediction.evaluated import Evaluated
from multilode.report.document import Section, Table

_NOTE = (
    "The same data, settings and versions give the same page; time and memory of a run are in "
    "timings.json and train.log beside it."
)
_LIBRARIES = ("torch", "numpy", "scipy")


def provenance_section(config: Config, splits: Mapping[str, Evaluated]) -> Section:
    """Versions, seeds, files and the split of a run.

    Args:
        config: its settings.
        splits: evaluated sets by name; may be empty.
    """
    rows = [("multilode", __version__)]
    rows += [(name, version(name)) for name in _LIBRARIES]
    rows.append(("split", _split(config)))
    rows += set_rows(splits)
    seeds = {"split": config.data.seed, "estimator": encode(config.regression)[0].get("seed")}
    seeds["committee"] = None if config.committee is None else config.committee.seed
    seeds["learning curve"] = None if splits else config.learning_curve.seed
    told = ", ".join(f"{name} {seed}" for name, seed in seeds.items() if seed is not None)
    rows.append(("seeds", told))
    table = Table(header=("what", "value"), rows=tuple(rows))
    return Section(heading="Provenance", text=_NOTE if splits else "", tables=(table,))


def set_rows(splits: Mapping[str, Evaluated]) -> list[tuple[str, str]]:
    """Size and files of each set."""
    return [(f"{name} set", _described(part.dataset)) for name, part in splits.items()]


def _described(dataset: Dataset) -> str:
    files, counts = np.unique([origin.file for origin in dataset.source], return_counts=True)
    told = ", ".join(f"{n} of {file or 'memory'}" for file, n in zip(files, counts, strict=True))
    return f"{len(dataset)} structures with {dataset.structures.n_atoms} atoms: {told}"


def _split(config: Config) -> str:
    data = config.data
    if data.test:
        return "test set in files of its own"
    if data.split is not None:
        return f"by the key '{data.split}'"
    if data.test_fraction > 0:
        whole = "" if data.group is None else f", groups of '{data.group}' kept together"
        return f"{data.test_fraction:g} of the structures at random (seed {data.seed}){whole}"
    return "no test set"
