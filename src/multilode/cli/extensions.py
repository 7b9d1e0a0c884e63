"""Commands that other packages add: entry points `multilode.commands`, `NAME` or `GROUP.NAME`.

A command is a function as typer takes it. Its module should import nothing heavy, since the help
of the program shows it too.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

import typer

from multilode.errors import UserError

GROUP = "multilode.commands"
# What people will look for, with the package that brings it
ELSEWHERE = {"reproduce": "multilode-papers", "datasets.make": "multilode-papers"}
_ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}


def add_commands(app: typer.Typer, groups: Mapping[str, typer.Typer]) -> None:
    """Add the commands of installed packages, and a line for those that are not installed.

    Args:
        app: the program.
        groups: its groups of commands by name.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    for name in sorted(found.keys() | ELSEWHERE.keys()):
        group, _, command = name.rpartition(".")
        place = groups[group] if group else app
        if name in found:
            function, settings = _loaded(found[name])
        else:
            package = ELSEWHERE[name]
            said = f"'{name.replace('.', ' ')}' comes with another package: 'pip install {package}'"
            function, settings = _refusal(said, f"Comes with {package}."), _ANYTHING
        place.command(name=command, context_settings=settings)(function)


def _loaded(point: EntryPoint) -> tuple[Callable[..., None], dict[str, bool]]:
    """The function of an entry point; one that cannot be imported refuses when it is called."""
    try:
        return point.load(), {}
    except (ImportError, AttributeError) as error:
        name = point.name.replace(".", " ")
        said = f"'{name}' cannot be loaded ({error}); install the package of {point.value} again"
        return _refusal(said, "Cannot be loaded."), _ANYTHING


def _refusal(sentence: str, help_line: str) -> Callable[[], None]:
    def refuse() -> None:
        raise UserError(sentence)

    refuse.__doc__ = help_line
    return refuse
