"""`multilode train`."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from multilode.cli.inputs import inputs_of
from multilode.cli.notes import say
from multilode.cli.output import LOG, run_folder
from multilode.cli.progress import progress_stages, tell
from multilode.cli.tables import print_table
from multilode.cli.timings import Timings
from multilode.config.config import Config, dump_config, load_config
from multilode.config.store import save
from multilode.data.io import write
from multilode.errors import one_line
from multilode.files import write_json, write_text
from multilode.models import Network
from multilode.prediction.evaluation import with_predictions
from multilode.report.bars_report import bars_tables
from multilode.report.document import write_report
from multilode.report.error_tables import errors_note, table_by_set
from multilode.report.training_report import (
    all_errors,
    basis_rows,
    basis_warnings,
    metrics,
    training_sections,
    training_summary,
)
from multilode.report.viewer import viewer_html, viewer_source
from multilode.workflow.doubt import Doubt
from multilode.workflow.doubts import doubts_of_data
from multilode.workflow.doubts_of_models import doubts_of_run
from multilode.workflow.experiment import TrainingRun, run_training
from multilode.workflow.sets import load_sets


def run_train(
    config_path: Path,
    folder: Path,
    *,
    overwrite: bool,
    viewed: bool = False,
    changes: Sequence[str] = (),
) -> None:
    """Train, evaluate, write everything into the folder, print the errors.

    Args:
        config_path: the configuration.
        folder: folder for the results.
        overwrite: whether the results of an earlier run there are replaced.
        changes: settings that replace those of the configuration.
        viewed: whether the report shows structures in three dimensions.

    Raises:
        UserError: if the configuration, the data or the folder cannot be used.
    """
    viewer = viewer_source() if viewed else None
    config = load_config(config_path, changes)
    inputs = inputs_of(config, config_path)
    with run_folder(folder, inputs=inputs, overwrite=overwrite) as staging:
        checkpoint = folder / "checkpoint.safetensors"
        # what can go on after a stop keeps its log in the folder itself
        learned = config.forces is not None or config.stress is not None
        kept = isinstance(config.regression, Network) or learned
        if kept and overwrite and not checkpoint.exists():  # the earlier log goes with its run
            (folder / LOG).unlink(missing_ok=True)
        with (
            _log(folder if kept else staging, checkpoint) as log,
            progress_stages(log) as stage,
        ):
            timings = Timings(stage)
            sets = load_sets(config, stage=timings.begin)
            doubts = doubts_of_data(config, sets)
            say(doubts)
            run = run_training(config, sets, stage=timings.begin, checkpoint=checkpoint, tell=tell)
        timings.mark("writing results")
        late = doubts_of_run(run, config)
        _write(run, config, dump_config(config, folder), staging, [*doubts, *late], viewer)
        timings.write(staging / "timings.json")
        for file in folder.glob("checkpoint*.safetensors"):
            file.unlink()
    say(late)
    _print_results(run, config)
    print(f"Time: {timings.summary()}.")
    print(f"Written to {one_line(str(folder))}: report.html, model.safetensors and more.")


def _print_results(run: TrainingRun, config: Config) -> None:
    """Notes on bases, errors, and how good error bars are."""
    for warning in basis_warnings(basis_rows(run.predictor.representation)):
        print(f"multilode: note: {warning}", file=sys.stderr)
    print_table(table_by_set(all_errors(run), config.target))
    print(errors_note(all_errors(run)))
    for table in bars_tables(run):
        print()
        print_table(table)


@contextmanager
def _log(folder: Path, checkpoint: Path) -> Iterator[Path]:
    """The log of a training; that of one which fails before its first checkpoint is removed."""
    log = folder / LOG
    before = log.exists()
    try:
        yield log
    except BaseException:
        if not (before or checkpoint.exists()):
            log.unlink(missing_ok=True)
        raise


def _write(
    run: TrainingRun,
    config: Config,
    text: str,
    folder: Path,
    doubts: Sequence[Doubt],
    viewer: bytes | None,
) -> None:
    tested = run.splits.get("test", run.splits["train"])
    write_text(folder / "config.yaml", text)
    write_json(folder / "metrics.json", metrics(run, yaml.safe_load(text), doubts))
    save(run.predictor, folder / "model.safetensors", training=training_summary(run, config))
    write_report(
        folder / "report.html",
        f"{config.target.key}: {config.name}",
        f"Trained on {len(run.splits['train'].dataset)} structures with multilode.",
        training_sections(
            run, config, text, doubts, "" if viewer is None else viewer_html(tested, viewer)
        ),
    )
    if "test" in run.splits:
        part = run.splits["test"]
        predicted = with_predictions(part.dataset, part.predicted, run.predictor.target)
        write(folder / "test_predictions.xyz", predicted)
