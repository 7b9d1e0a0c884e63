"""`multilode tune`."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from multilode.cli.inputs import inputs_of
from multilode.cli.notes import say
from multilode.cli.output import TUNE_LOG, run_folder
from multilode.cli.progress import progress_stages, tell
from multilode.cli.tables import print_table
from multilode.cli.timings import Timings
from multilode.config.changes import with_changes
from multilode.config.config import dump_config
from multilode.config.moved_paths import with_moved_paths
from multilode.config.search_space import SearchSpace
from multilode.config.yaml_text import read_yaml, to_yaml
from multilode.data.dataset import Dataset
from multilode.errors import one_line
from multilode.files import write_json, write_text
from multilode.progress import duration
from multilode.report.document import write_report
from multilode.report.search_report import (
    search_csv,
    search_data,
    search_sections,
    trials_beside,
)
from multilode.workflow.doubts import Doubt, doubts_of_data
from multilode.workflow.doubts_of_searches import doubts_of_search
from multilode.workflow.sampler import SearchTrial, importances
from multilode.workflow.search import SearchResult, fingerprint, run_search, space_of
from multilode.workflow.sets import Sets, load_training_set
from multilode.workflow.trial_files import TrialFiles

_SHOWN = 4  # trials of the table on the terminal
_LONG = 10.0  # seconds


def run_tune(
    config_path: Path, folder: Path, *, overwrite: bool, changes: Sequence[str] = ()
) -> None:
    """Search better settings, write everything into the folder, print the best trials.

    Args:
        config_path: the configuration.
        folder: folder for the results, and for the trials of a search that has not ended.
        overwrite: whether the results of an earlier run there are replaced.
        changes: settings that replace those of the configuration.

    Raises:
        UserError: if the configuration, the data or the folder cannot be used.
    """
    raw = with_changes(read_yaml(config_path), changes)
    space = space_of(raw, source=str(config_path), folder=config_path.parent)
    inputs = inputs_of(space.start, config_path)
    train = load_training_set(space.start)
    files = TrialFiles(folder=folder, fingerprint=fingerprint(space, train))
    more = files.can_be_extended(space.start.tune.trials)
    with run_folder(folder, inputs=inputs, overwrite=overwrite or more) as staging:
        if overwrite and not files.goes_on():
            files.remove()
            (folder / TUNE_LOG).unlink(missing_ok=True)
        with _log(files) as log, progress_stages(log) as stage:
            timings = Timings(stage)
            timings.mark("looking at the data")
            doubts = doubts_of_data(space.start, Sets(train=train, test=None))
            say(doubts)
            _tell_beginning(space, train, files)
            result = run_search(space, train, files=files, stage=timings.begin, told=_Told(space))
        timings.mark("writing results")
        late = doubts_of_search(result)
        _write(result, [*doubts, *late], files.fingerprint, staging, (config_path, folder))
        timings.write(staging / "timings.json")
    files.remove()
    say(late)
    print_table(trials_beside(result, _SHOWN))
    print(f"Time: {timings.summary()}.")
    print(f"Written to {one_line(str(folder))}: best.yaml, report.html, tune.json and trials.csv.")


class _Told:
    """Says a line for each trial that ends, with the best until then."""

    def __init__(self, space: SearchSpace) -> None:
        self._total = space.start.tune.trials
        self._best: SearchTrial | None = None

    def __call__(self, trial: SearchTrial) -> None:
        name = f"{trial.number + 1} of {self._total}: trial {trial.number}"
        long = trial.seconds >= _LONG
        took = duration(trial.seconds) if long else f"{trial.seconds:.2g} s"
        if trial.error is None:
            tell(f"{name} failed after {took}: {trial.failure}")
            return
        if self._best is None or trial.error < (self._best.error or 0.0):
            self._best = trial
        best = "best so far" if self._best is trial else f"best {self._best.error:.4g}"
        tell(f"{name}, error {trial.error:.4g} ({best}), {took}")


def _tell_beginning(space: SearchSpace, train: Dataset, files: TrialFiles) -> None:
    """What is searched, and from where."""
    asked = space.start.tune
    own = "" if asked.settings else "; none are given in tune.settings, these follow from the rest"
    tell(f"{asked.trials} trials on {len(train)} training structures, settings{own}:")
    for one in space.settings:
        print(f"    {one.key}: {one}", file=sys.stderr)
    known = len(files.read())
    if known:
        tell(f"goes on after {min(known, asked.trials)} trials that were finished before")


@contextmanager
def _log(files: TrialFiles) -> Iterator[Path]:
    """The log of a search; that of one which fails before its first trial is removed."""
    log = files.folder / TUNE_LOG
    before = log.exists()
    try:
        yield log
    except BaseException:
        if not (before or files.has_begun()):
            log.unlink(missing_ok=True)
        raise


def _write(
    result: SearchResult,
    doubts: Sequence[Doubt],
    known_by: str,
    staging: Path,
    places: tuple[Path, Path],
) -> None:
    config_path, folder = places
    text = dump_config(result.space.start, folder)
    importance = importances(result.space, result.trials)
    best = _best_yaml(result, config_path, folder)
    plain: dict[str, Any] = yaml.safe_load(text)
    write_text(staging / "config.yaml", text)
    write_text(staging / "best.yaml", best)
    write_text(staging / "trials.csv", search_csv(result))
    write_json(staging / "tune.json", search_data(result, known_by, importance, doubts, plain))
    config = result.space.start
    write_report(
        staging / "report.html",
        f"Search of settings for {config.target.key}: {config.name}",
        f"{len(result.trials)} trials on {len(result.judge.train)} structures with multilode.",
        search_sections(result, importance, doubts, best),
    )


def _best_yaml(result: SearchResult, config_path: Path, folder: Path) -> str:
    """The best configuration with the settings of the user, and no others."""
    moved = with_moved_paths(result.configuration, result.space.folder, folder)
    best = result.best
    head = (
        f"# Trial {best.number} of 'multilode tune {config_path.name}', the best of "
        f"{len(result.trials)}:\n# {result.judge.name} {best.error:.4g}\n"
    )
    return head + to_yaml(moved)
