"""Ctrl-C while one step of Python takes long."""

import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import pathlib, sys, tempfile, torch
from multilode.cli.interrupt import answered, temporary
torch.set_num_threads(1)
folder = pathlib.Path(sys.argv[1]) / "half"
folder.mkdir()
with answered(), temporary(folder):
    matrix = torch.randn(6000, 6000, dtype=torch.float64)
    print("begun", flush=True)
    torch.linalg.eigh(matrix + matrix.T)
"""


def _hear():
    """Processes in the background of a shell ignore Ctrl-C, and so do their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_decomposition_does_not_delay_the_end(tmp_path, number):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    run = subprocess.Popen(command, preexec_fn=_hear, **pipes)
    assert run.stdout is not None
    assert run.stdout.readline() == "begun\n"
    time.sleep(0.3)  # into the decomposition, which takes a minute
    begun = time.monotonic()
    run.send_signal(number)
    _, said = run.communicate(timeout=20)
    assert time.monotonic() - begun < 2.5
    assert (run.returncode, said) == (130, "multilode: interrupted\n")
    assert not any(tmp_path.iterdir())
