"""Commands of other packages: what is installed is there, what is not says what to install."""

import importlib.metadata
import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from multilode.cli import extensions
from multilode.cli.extensions import add_commands
from multilode.cli.main import run

# as in an environment that holds multilode alone; help comes first, and must import nothing heavy
ALONE = """
import contextlib, importlib.metadata as metadata, io, json, sys
whole = metadata.entry_points
metadata.entry_points = lambda **chosen: (
    [] if chosen.get("group", "").startswith("multilode.") else whole(**chosen)
)
sys.modules["multilode_papers"] = None  # importing it fails
from multilode.cli.main import run
for line in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        with contextlib.redirect_stderr(io.StringIO()) as err:
            code = run(line.split())
    heavy = sorted({"torch", "matplotlib", "ase"} & set(sys.modules))
    print(json.dumps([code, out.getvalue(), err.getvalue(), heavy]))
"""
LINES = {
    "--help": None,
    "reproduce water-co2 --quick -o out": "reproduce",
    "reproduce": "reproduce",
    "datasets make water-co2 --count 2": "datasets make",
    "datasets list": None,
    "datasets path water-co2": None,
    "datasets show dimers": None,
}


@pytest.fixture(scope="module")
def alone():
    """Code, output, errors and heavy modules after each command, all run in one process."""
    command = [sys.executable, "-c", ALONE, *LINES]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(zip(LINES, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize(("line", "name"), [pair for pair in LINES.items() if pair[1]])
def test_without_the_papers_a_command_says_what_to_install(line, name, alone):
    code, _, said, _ = alone[line]
    assert code == 2
    expected = f"multilode: '{name}' comes with another package: 'pip install multilode-papers'\n"
    assert said == expected


def test_without_the_papers_the_own_set_is_here_and_others_say_what_to_install(alone):
    assert "water-co2" in alone["datasets list"][1]
    assert len(alone["datasets path water-co2"][1].splitlines()) == 3
    code, _, said, _ = alone["datasets show dimers"]
    assert code == 2
    assert "pip install multilode-papers" in said
    assert said.count("\n") == 1


def test_help_shows_all_commands_and_imports_nothing_heavy(alone):
    _, said, _, heavy = alone["--help"]
    assert "reproduce" in said
    assert heavy == []
    whole = "import sys; from multilode.cli.main import run; run(['--help'])"
    whole += "; print(sorted({'torch', 'matplotlib', 'ase'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True)
    assert "Reproduce systems of the papers" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_the_commands_of_the_papers_are_there(capsys):
    points = importlib.metadata.entry_points(group=extensions.GROUP)
    assert {point.name for point in points} == set(extensions.ELSEWHERE)
    assert run(["datasets", "make", "--help"]) == 0
    assert "--workers" in capsys.readouterr().out


def test_commands_and_members_of_groups_are_added_and_broken_ones_refuse(monkeypatch):
    def points(group):
        assert group == extensions.GROUP
        names = {"reproduce": "no_such_module:run", "more.twice": f"{__name__}:twice"}
        return [importlib.metadata.EntryPoint(n, value, group) for n, value in names.items()]

    monkeypatch.setattr(extensions, "entry_points", points)
    app, more, sets = typer.Typer(), typer.Typer(), typer.Typer()
    app.add_typer(more, name="more")
    app.add_typer(sets, name="datasets")
    add_commands(app, {"more": more, "datasets": sets})
    assert CliRunner().invoke(app, ["more", "twice", "21"]).stdout == "42\n"
    broken = CliRunner().invoke(app, ["reproduce", "--anything"])
    assert "install the package of no_such_module:run again" in str(broken.exception)


def twice(number: int) -> None:
    """A command of another package."""
    typer.echo(2 * number)
