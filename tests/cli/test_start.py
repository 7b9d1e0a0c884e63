"""The command and the package start quickly: nothing heavy is imported before it is needed."""

import resource
import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "scipy", "ase", "matplotlib", "rich", "cattrs", "yaml"}
HELP = "from multilode.cli.main import run; assert run(['--help']) == 0"
_SECONDS = 1.0  # of the processor; a third of it on a machine of 2024


def started(code: str) -> tuple[float, set[str], str]:
    """Processor time of a new Python, the modules that it has at its end, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    listed = "import sys; print('MODULES', *{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{listed}"], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed, _, modules = done.stdout.partition("MODULES ")
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, set(modules.split()), printed


@pytest.mark.parametrize("code", ["import multilode", HELP], ids=["import", "help"])
def test_start(code):
    seconds, modules, printed = started(code)
    assert not HEAVY & modules
    assert seconds < _SECONDS
    if code == HELP:
        assert "learning-curve" in printed
        own = printed.partition("Commands:")[2].partition("reproduce")[0]
        assert "..." not in own, "the first sentence of a command fits into its line"
