"""The search for better settings: trial after trial, the configuration that is given first."""

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

import torch

from multilode.config.config import Config
from multilode.config.proposed_ranges import proposed_settings
from multilode.config.search_space import SearchSpace
from multilode.config.yaml_text import read_yaml
from multilode.data.dataset import Dataset
from multilode.errors import DataWarning, UserError, one_line
from multilode.files import folder_for_results
from multilode.numerics.memory import largest_memory
from multilode.progress import Progress, Stage, silent
from multilode.workflow.experiment import references
from multilode.workflow.sampler import SearchTrial, check_optuna, next_values
from multilode.workflow.scores import Judge
from multilode.workflow.sets import load_training_set
from multilode.workflow.trial_files import TrialFiles

# what a fit that cannot be done raises; anything else is a fault of ours and ends the search
_FAILURES = (ValueError, RuntimeError, MemoryError, ArithmeticError)


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class SearchResult:
    """A search with all of its trials.

    Args:
        space: what was searched.
        judge: how trials were compared.
        trials: in order, the configuration that was given first.
        seed: of the search.
    """

    space: SearchSpace
    judge: Judge
    trials: tuple[SearchTrial, ...]
    seed: int

    def __repr__(self) -> str:
        best, start = self.best, self.trials[0].error
        given = "failed" if start is None else f"{start:.4g}"
        return (
            f"SearchResult({len(self.trials)} trials, {self.judge.name}\n"
            f"  given: {given}\n  best: {best.error:.4g} of {dict(best.values)})"
        )

    @property
    def complete(self) -> list[SearchTrial]:
        """Trials that have an error, the best first."""
        known = (trial for trial in self.trials if trial.error is not None)
        return sorted(known, key=lambda trial: (trial.error, trial.number))

    @property
    def best(self) -> SearchTrial:
        """The trial of the smallest error."""
        return self.complete[0]

    @property
    def configuration(self) -> dict[str, Any]:
        """The best configuration as nested dictionaries, paths as they were given."""
        if self.best.number == 0:
            return self.space.plain({})
        return self.space.plain(self.best.values)


def tune(
    configuration: str | Path | Mapping[str, Any],
    *,
    settings: Mapping[str, Any] | None = None,
    trials: int | None = None,
    seed: int | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Search better settings of a configuration by the error of structures that fits did not see.

    The test set of the configuration is not read.

    Args:
        configuration: file, or nested dictionaries whose paths are relative to the working folder.
        settings: ranges by dotted key, as in {"cutoff": {"low": 3.0, "high": 6.0}}; by default
            those of its section `tune`, or what follows from the configuration.
        trials: number of configurations to try; by default that of the section.
        seed: of what is tried; likewise.
        folder: where trials are kept, from which the same search goes on; by default nowhere.
        progress: called with the trials done and the trials in all.

    Raises:
        ConfigError: if the configuration or a range cannot be used.
        UserError: if the data cannot be used, all trials failed, or the folder holds trials of
            another search.
    """
    given = {"settings": settings, "trials": trials, "seed": seed}
    own = {key: value for key, value in given.items() if value is not None}
    if isinstance(configuration, Mapping):
        raw, source, place = dict(configuration), "configuration", Path()
    else:
        path = Path(configuration)
        raw, source, place = read_yaml(path), str(path), path.parent
    if own and isinstance(raw, Mapping):
        raw = {**raw, "tune": {**(raw.get("tune") or {}), **own}}
    space = space_of(raw, source=source, folder=place)
    train = load_training_set(space.start)
    stage: Stage = silent if progress is None else lambda _: progress
    if folder is None:
        return run_search(space, train, stage=stage)
    files = TrialFiles(folder=Path(folder), fingerprint=fingerprint(space, train))
    with folder_for_results(files.folder):
        return run_search(space, train, files=files, stage=stage)


def space_of(raw: Any, *, source: str, folder: Path) -> SearchSpace:
    """The settings that a configuration searches, or those that follow from it.

    Args:
        raw: the configuration as nested dictionaries.
        source: its name in errors.
        folder: that its paths are relative to.

    Raises:
        ConfigError: naming `tune.settings.KEY`, if one cannot be searched.
    """
    check_optuna()
    space = SearchSpace.of(raw, source=source, folder=folder)
    return space if space.settings else replace(space, settings=proposed_settings(space))


def run_search(
    space: SearchSpace,
    train: Dataset,
    *,
    files: TrialFiles | None = None,
    stage: Stage | None = None,
    told: Callable[[SearchTrial], None] | None = None,
) -> SearchResult:
    """Try one configuration after the other.

    Args:
        space: what is searched; its start says how many trials there are, and the seed.
        train: the training set.
        files: where finished trials are kept, and those that are there already.
        stage: starts a progress report.
        told: told of each trial that ends.

    Raises:
        ConfigError: if the configuration has no error of unseen structures.
        UserError: if all trials failed, or the files are those of another search.
    """
    asked = space.start.tune
    judge = Judge.of(space.start, train)
    found = [] if files is None else files.read()[: asked.trials]
    report = (stage or silent)("searching settings")
    report(len(found), asked.trials)
    shown: set[str] = set()
    while len(found) < asked.trials:
        values = next_values(space, asked.seed, found)
        if values is None:  # all combinations have been tried
            break
        with _each_once(shown):
            trial = _tried(space, judge, len(found), values, files)
        if files is not None:
            files.write(trial)
        found.append(trial)
        if told is not None:
            told(trial)
        report(len(found), asked.trials)
    report(asked.trials, asked.trials)
    if all(trial.error is None for trial in found):
        if files is not None:  # nothing is lost, and the next search begins anew
            files.remove()
        raise UserError(
            f"all {len(found)} trials failed; that of the given configuration because: "
            f"{found[0].failure}"
        )
    return SearchResult(space=space, judge=judge, trials=tuple(found), seed=asked.seed)


def fingerprint(space: SearchSpace, train: Dataset) -> str:
    """Of everything that the trials depend on: configuration, ranges, seed and data."""
    ranges = {one.key: asdict(one.given) for one in space.settings}
    settings = [space.plain({}), ranges, space.start.tune.seed]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    structures = train.structures
    parts = [structures.positions, structures.cell, structures.pbc, structures.species]
    parts += [structures.counts, *_values(space.start, train)]
    for part in parts:
        digest.update(part.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _values(config: Config, train: Dataset) -> Iterator[torch.Tensor]:
    """Numbers that are learned, and the groups."""
    yield references(config, train)
    if config.forces is not None and train.has_atom_column(config.forces.key):
        yield torch.as_tensor(train.atom_column(config.forces.key))
    if config.data.group is not None:
        labels = "\n".join(map(str, train.labels(config.data.group)))
        yield torch.tensor(list(labels.encode()), dtype=torch.uint8)


def _tried(
    space: SearchSpace,
    judge: Judge,
    number: int,
    values: dict[str, Any],
    files: TrialFiles | None,
) -> SearchTrial:
    """A trial with its error, or with the reason why there is none."""
    begun = time.perf_counter()
    checkpoint = None if files is None else files.checkpoint(number)
    trial = SearchTrial(number=number, values=values)
    try:
        config = space.start if number == 0 else space.config(values)
        score = judge.score(config, checkpoint=checkpoint)
    except _FAILURES as error:
        said = "the memory does not suffice" if isinstance(error, MemoryError) else str(error)
        trial = replace(trial, failure=one_line(said or type(error).__name__))
    else:
        trial = replace(
            trial,
            error=score.error,
            folds=score.folds,
            target=score.target,
            forces=score.forces,
        )
    seconds = round(time.perf_counter() - begun, 3)
    return replace(trial, seconds=seconds, memory_gb=round(largest_memory(), 3))


@contextmanager
def _each_once(shown: set[str]) -> Iterator[None]:
    """Warn of the same thing in one trial only."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        yield
    for warning in caught:
        said = str(warning.message)
        if said not in shown:
            shown.add(said)
            warnings.warn(warning.message, warning.category, stacklevel=3)
