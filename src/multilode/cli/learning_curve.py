"""`multilode learning-curve`."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from multilode.cli.inputs import inputs_of
from multilode.cli.notes import say
from multilode.cli.output import run_folder
from multilode.cli.progress import progress_stages
from multilode.cli.tables import print_table
from multilode.cli.timings import Timings
from multilode.config.config import dump_config, load_config
from multilode.errors import one_line
from multilode.files import write_json, write_text
from multilode.report.document import save_figure, write_report
from multilode.report.error_tables import PERCENT_NOTE
from multilode.report.training_report import (
    curve_figure,
    curve_rows,
    curve_sections,
    curve_table,
    doubts_sections,
)
from multilode.workflow.doubts import doubts_of_data
from multilode.workflow.experiment import run_learning_curve
from multilode.workflow.sets import load_sets


def run_learning_curve_command(
    config_path: Path, folder: Path, *, overwrite: bool, changes: Sequence[str] = ()
) -> None:
    """Compute a learning curve, write everything into the folder, print the errors.

    Args:
        config_path: the configuration.
        folder: folder for the results.
        changes: settings that replace those of the configuration.
        overwrite: whether the results of an earlier run there are replaced.

    Raises:
        UserError: if the configuration, the data or the folder cannot be used.
    """
    config = load_config(config_path, changes)
    inputs = inputs_of(config, config_path)
    with run_folder(folder, inputs=inputs, overwrite=overwrite) as staging:
        with progress_stages() as stage:
            timings = Timings(stage)
            sets = load_sets(config, stage=timings.begin)
            doubts = doubts_of_data(config, sets)
            say(doubts)
            curve = run_learning_curve(config, sets, stage=timings.begin)
        timings.mark("writing results")
        text = dump_config(config, folder)
        contents = {
            "rows": curve_rows(curve, config),
            "doubts": [doubt.as_dict() for doubt in doubts],
            "config": yaml.safe_load(text),
            "seed": config.learning_curve.seed,
        }
        write_text(staging / "config.yaml", text)
        write_json(staging / "learning_curve.json", contents)
        save_figure(staging / "learning_curve.png", curve_figure(curve, config))
        write_report(
            staging / "report.html",
            f"Learning curve of {config.target.key}: {config.name}",
            f"Tested on {len(sets.test or ())} structures with multilode.",
            [*curve_sections(curve, config, text), *doubts_sections(doubts)],
        )
        timings.write(staging / "timings.json")
    print_table(curve_table(curve, config.target.unit))
    print(PERCENT_NOTE)
    print(
        f"Written to {one_line(str(folder))}: report.html, learning_curve.json and "
        "learning_curve.png."
    )
