"""The command `multilode tune`; everything heavy is imported when it runs."""

from multilode.cli.arguments import (
    Changes,
    ConfigFile,
    Folder,
    Overwrite,
    Scheduler,
    named_folder,
)
from multilode.cli.memory import require_memory


def tune(
    config: ConfigFile,
    output: Folder = None,
    changes: Changes = None,
    overwrite: Overwrite = False,
    where: Scheduler = None,
) -> None:
    """Search better settings by cross-validation."""
    from multilode.cli.tune import run_tune
    from multilode.scheduling import scheduler

    require_memory()
    with scheduler(where):
        folder = output or named_folder(config, "-tune")
        run_tune(config, folder, overwrite=overwrite, changes=changes or ())
