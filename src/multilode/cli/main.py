"""The command `multilode`; everything heavy is imported by the command that needs it."""

import os
import sys
import warnings
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

from multilode.cli.arguments import (
    BaselineFile,
    Changes,
    ConfigFile,
    Folder,
    ForcesKey,
    Index,
    ModelFile,
    Overwrite,
    ReferenceKey,
    Scheduler,
    StressKey,
    StructureFiles,
    UnitOfForces,
    UnitOfKey,
    UnitOfStress,
    Viewed,
    named_folder,
)
from multilode.cli.datasets_app import datasets_app
from multilode.cli.export_app import export
from multilode.cli.extensions import add_commands
from multilode.cli.interrupt import INTERRUPTED, answered, say_interrupted
from multilode.cli.memory import require_memory
from multilode.cli.tune_app import tune
from multilode.errors import DataWarning, UserError, one_line

_DONE, _USER_ERROR = 0, 2
_PIPE_CLOSED = 141  # as shells have it
_GROUPS = ([], ["datasets"])  # no commands themselves: they show theirs
# The parent of all complaints about the command line; typer has no public name for it
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="multilode",
    help="Machine learning of atomic-scale properties with their long-range physics.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: what would draw boxes takes twice as long to import
)
app.add_typer(datasets_app)


@app.callback(invoke_without_command=True)
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)
    ] = False,
) -> None:
    if version:
        from multilode.cli.version import print_version

        print_version()
        raise typer.Exit


@app.command()
def train(
    config: ConfigFile,
    output: Folder = None,
    changes: Changes = None,
    overwrite: Overwrite = False,
    viewed: Viewed = False,
    where: Scheduler = None,
) -> None:
    """Train a model; write it with its errors and a report."""
    from multilode.cli.train import run_train
    from multilode.scheduling import scheduler

    require_memory()
    with scheduler(where):
        folder, asked = output or named_folder(config), changes or ()
        run_train(config, folder, overwrite=overwrite, viewed=viewed, changes=asked)


@app.command()
def predict(
    model: ModelFile,
    structures: StructureFiles,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT.xyz",
            help="File to write, whose suffix says the format: .xyz, .traj, .db, .npz, .csv ...",
        ),
    ],
    forces: Annotated[bool, typer.Option("--forces", help="Also predict forces.")] = False,
    stress: Annotated[bool, typer.Option("--stress", help="Also predict the stress.")] = False,
    std: Annotated[bool, typer.Option("--std", help="Also estimate the uncertainty.")] = False,
    baseline: BaselineFile = None,
    index: Index = ":",
    where: Scheduler = None,
) -> None:
    """Predict structures and write them with the predictions."""
    from multilode.cli.predict import run_predict
    from multilode.scheduling import scheduler

    require_memory()
    wanted = {"forces": forces, "stress": stress, "std": std}
    with scheduler(where):
        run_predict(model, structures, output, index=index, baseline=baseline, **wanted)


@app.command()
def evaluate(
    model: ModelFile,
    structures: StructureFiles,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    key: ReferenceKey = None,
    group: Annotated[str | None, typer.Option(help="Key by which errors are listed.")] = None,
    forces: ForcesKey = None,
    stress: StressKey = None,
    unit: UnitOfKey = None,
    forces_unit: UnitOfForces = None,
    stress_unit: UnitOfStress = None,
    std: Annotated[bool, typer.Option("--std", help="Compare errors with error bars.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Also write a page with plots of the errors."),
    ] = None,
    viewed: Viewed = False,
    baseline: BaselineFile = None,
    index: Index = ":",
    where: Scheduler = None,
) -> None:
    """Compare predictions with the values in a file."""
    from dataclasses import replace

    from multilode.cli.evaluate import run_evaluate
    from multilode.prediction.evaluation import References
    from multilode.scheduling import scheduler

    require_memory()
    named = References(key=key, group=group, forces=forces, stress=stress, unit=unit)
    named = replace(named, forces_unit=forces_unit, stress_unit=stress_unit)
    shown = {"as_json": json, "report": report, "viewed": viewed}
    with scheduler(where):
        run_evaluate(
            model, structures, named=named, std=std, index=index, baseline=baseline, **shown
        )


@app.command()
def features(
    config: ConfigFile,
    structures: StructureFiles,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="OUT.npz", help="File to write, .npz or .csv."),
    ],
    index: Index = ":",
    changes: Changes = None,
) -> None:
    """Compute features and write them with their labels."""
    from multilode.cli.features import run_features

    require_memory()
    run_features(config, structures, output, index=index, changes=changes or ())


@app.command(name="learning-curve")
def learning_curve(
    config: ConfigFile,
    output: Folder = None,
    changes: Changes = None,
    overwrite: Overwrite = False,
    where: Scheduler = None,
) -> None:
    """Train on growing random subsets; write the errors."""
    from multilode.cli.learning_curve import run_learning_curve_command
    from multilode.scheduling import scheduler

    require_memory()
    with scheduler(where):
        folder = output or named_folder(config, "-learning-curve")
        run_learning_curve_command(config, folder, overwrite=overwrite, changes=changes or ())


app.command()(tune)


@app.command()
def check(
    path: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml|DATA", help="Configuration, or structures.")
    ],
    changes: Changes = None,
) -> None:
    """Look for doubts, and what a training will take."""
    from multilode.cli.check import run_check

    require_memory()
    run_check(path, changes or ())


@app.command()
def init(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA...", help="Structures; 'test' in a name: the test set."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.yaml", help="Configuration to write.")
    ] = Path("multilode.yaml"),
    target: Annotated[
        str | None, typer.Option(metavar="KEY", help="Property to learn; default: what is likely.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an older configuration.")
    ] = False,
) -> None:
    """Propose a configuration for data, with the reasons."""
    from multilode.cli.init import run_init

    run_init(data, output, target=target, overwrite=overwrite)


@app.command()
def schema(
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.json", help="File to write; default: print."),
    ] = None,
) -> None:
    """Write the JSON Schema of configurations, for editors."""
    from multilode.cli.schema import run_schema

    run_schema(output)


@app.command()
def inspect(
    model: ModelFile,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the contents of a model file."""
    from multilode.cli.inspect import run_inspect

    run_inspect(model, as_json=json)


app.command()(export)
add_commands(app, {"datasets": datasets_app})


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code: 0 done, 2 the user's input, 130 interrupted.

    A bug keeps its traceback.

    Args:
        arguments: words after the name of the program.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", DataWarning)
            warnings.showwarning = _show_warning
            asked = list(arguments)
            code = app(
                args=[*asked, "--help"] if asked in _GROUPS else asked, standalone_mode=False
            )
    except UserError as error:
        return _refuse(str(error))
    except _UsageError as error:
        return _refuse(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except (MemoryError, RuntimeError, ImportError) as error:
        if not _is_memory(error):
            raise
        return _refuse(
            "the memory of this machine does not suffice; check for very large cells, take larger "
            "smearings, smaller bases or fewer structures"
        )
    except BrokenPipeError:  # the reader of the output has seen enough
        return _unread()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else "a file or the standard output: "
        return _refuse(f"{where}{error.strerror or error}; check the disk, or choose another place")
    if code == INTERRUPTED:  # newer versions of typer return it
        say_interrupted()
    return code if isinstance(code, int) else _DONE


def _refuse(message: str) -> int:
    """One line for the user, whatever breaks of lines the message has."""
    print(f"multilode: {one_line(message)}", file=sys.stderr)
    return _USER_ERROR


_SHOW_OTHERS = warnings.showwarning


def _show_warning(message: Warning | str, category: type[Warning], *rest: Any) -> None:
    """Doubts about the data are a line for the user, without a place in our code."""
    if not issubclass(category, DataWarning):
        _SHOW_OTHERS(message, category, *rest)
        return
    print(f"multilode: note: {one_line(str(message))}", file=sys.stderr)


def _is_memory(error: Exception) -> bool:
    """Whether memory ran out; PyTorch has no exception of its own for it on the CPU."""
    said = str(error)
    return isinstance(error, MemoryError) or any(
        words in said
        for words in (
            "allocate memory",
            "out of memory",
            "Storage size calculation",
            "failed to map segment",
            "can't start new thread",
        )
    )


def _unread() -> int:
    """Nothing more goes to the standard output, not what is waiting to either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return _PIPE_CLOSED


def _flushed(code: int) -> int:
    """The exit code, once all of the output has arrived."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _unread()
    except OSError as error:
        _unread()
        return _refuse(
            f"the standard output cannot be written to ({error.strerror}); what the command writes "
            "to files is complete"
        )
    return code


def _show_all() -> None:
    """Signs that a console does not know become question marks, and errors of others notes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    if sys.warnoptions:  # of the caller; -W error is meant for code, not for a command
        warnings.simplefilter("default")


def main() -> None:
    """The entry point of the console script; a batch system's SIGTERM ends it like Ctrl-C."""
    _show_all()
    with answered():
        code = _flushed(run(sys.argv[1:]))
    sys.exit(code)


if __name__ == "__main__":
    main()
