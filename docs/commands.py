"""The page "all commands", made from the command line itself.

python docs/commands.py            # write docs/commands.md
python docs/commands.py --check    # 1 if the page is old
"""

import sys
from pathlib import Path
from typing import Any

import typer

from multilode.cli.main import app

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# Reference of the commands

Made from the command line: do not edit this page, run `make docs`. `multilode COMMAND --help`
shows the same. Exit codes: 0 done, 2 something in the input is wrong (one line says what), 130
interrupted. `multilode-papers` adds the commands `reproduce` and `datasets make`.
"""
ADDED = {"reproduce", "make"}  # by the other distribution, where it is installed


def page() -> str:
    """The text of the page."""
    return HEAD + "".join(_of("multilode", typer.main.get_command(app), 2))


def _of(name: str, command: Any, level: int) -> list[str]:
    """Sections of a command and of those under it."""
    if hasattr(command, "commands"):
        under = {key: command.commands[key] for key in command.commands if key not in ADDED}
        text = [f"\n{'#' * level} {name}\n\n{_line(command.help)}\n"]
        text += _rows(command)
        for key, one in under.items():
            text += _of(f"{name} {key}", one, level + 1)
        return text
    arguments = [x for x in command.params if x.param_type_name == "argument"]
    usage = " ".join([name, *(_value(x) for x in arguments), "[OPTIONS]"])
    text = [f"\n{'#' * level} {name}\n\n{_line(command.help)}\n\n```\n{usage}\n```\n"]
    return text + _rows(command)


def _value(part: Any) -> str:
    """What stands for a value in the help: its own word, or the name of the option."""
    return part.metavar or part.name.upper()


def _rows(command: Any) -> list[str]:
    """A table of arguments and options."""
    shown = [x for x in command.params if x.name != "help"]
    if not shown:
        return []
    rows = ["\n| argument | default | what it is |\n|---|---|---|\n"]
    return rows + [f"| {_name(x)} | {_default(x)} | {_line(x.help)} |\n" for x in shown]


def _name(part: Any) -> str:
    if part.param_type_name == "argument":
        return f"`{_value(part)}`".replace("|", "\\|")
    value = "" if part.is_flag else f" {_value(part)}"
    return f"`{', '.join([*part.opts, *part.secondary_opts])}{value}`".replace("|", "\\|")


def _default(part: Any) -> str:
    if part.required:
        return "required"
    return "" if part.default in (None, False, (), []) else str(part.default)


def _line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        old = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page()
        sys.exit("docs/commands.md is old: run `make docs`" if old else 0)
    PAGE.write_text(page(), encoding="utf-8")
