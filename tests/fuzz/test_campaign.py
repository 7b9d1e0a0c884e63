"""The fuzzer finds what it looks for, and the borders have none of it in a few inputs each."""

import os
import signal
import subprocess
import sys
import warnings

import campaign as driver
import corpus
import pytest
import yaml
from borders import BORDERS, Border
from judge import Fault, check_message, judge

from multilode.config.config import config_from_dict
from multilode.config.store import load
from multilode.data.io import read
from multilode.errors import DataWarning, UserError


def _raise(error):
    raise error


def _loop():
    while True:
        pass


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: _raise(KeyError("x")), "KeyError"),
        (lambda: _raise(UserError("")), "empty message"),
        (lambda: warnings.warn(DataWarning("a\x1bb"), stacklevel=1), "control characters"),
        (_loop, "hang"),
    ],
)
def test_faults_are_faults(call, kind):
    with pytest.raises(Fault, match=kind):
        judge(call, seconds=0.3)
    with pytest.raises(Fault, match="control"):
        check_message("a\x1b[2J")
    with pytest.raises(Fault, match="long"):
        check_message("a" * 3000)


def test_what_users_may_see_is_no_fault():
    assert judge(lambda: None)
    assert not judge(lambda: _raise(UserError("a\x1b\n" + "b" * 5000)))


def _deadly():
    def attempt(rng):
        if rng.random() < 0.3:
            os.kill(os.getpid(), signal.SIGKILL)
        if rng.random() < 0.3:
            raise Fault("planted", "by hand")
        return True

    return attempt


def test_a_campaign_survives_its_processes_and_goes_on(tmp_path):
    borders = {"deadly": Border(_deadly, 1.0)}
    more = {"seed": 3, "borders": borders, "note": lambda line: None}
    driver.campaign(tmp_path, count=12, **more)
    found = driver.campaign(tmp_path, count=30, **more)["borders"]["deadly"]
    died = found["faults"]["process ended by SIGKILL"]
    assert found["inputs"] == 30
    assert found["accepted"] + died + found["faults"]["planted"] == 30
    assert min(died, found["faults"]["planted"]) > 2
    kept = list((tmp_path / "faults").rglob("said"))
    assert any("planted" in path.read_text() for path in kept)
    with pytest.raises(SystemExit, match="seed 3"):
        driver.campaign(tmp_path, count=1, seed=4, borders=borders, note=print)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("xyz", 60),
        ("npz", 15),
        ("yaml", 8),
        ("settings", 30),
        ("damaged models", 5),
        ("sealed models", 8),
        ("results", 10),
        ("checkpoints", 10),
        ("formats", 20),
    ],
)
def test_some_inputs_of_every_border(tmp_path, monkeypatch, name, number):
    monkeypatch.chdir(tmp_path)
    attempt = BORDERS[name].prepare()
    accepted = [attempt(driver.rng_of(0, name, i)) for i in range(number)]
    assert not all(accepted)


def test_the_corpus_is_accepted(tmp_path):
    """Good files are good: else nothing but the first check of a reader is tried."""
    for number, text in enumerate(corpus.XYZ):
        (tmp_path / f"{number}.xyz").write_bytes(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert len(read(tmp_path / f"{number}.xyz")) >= 1
    for text in corpus.CONFIGS[:4]:
        config_from_dict(yaml.safe_load(text))
    for number, data in enumerate(corpus.models()):
        (tmp_path / f"{number}").write_bytes(data)
        load(tmp_path / f"{number}")


def test_reading_a_network_imports_no_compiler():
    """Arithmetic on PyTorch's device `meta` imported one: 2.6 s before the first prediction."""
    path = corpus.ROOT / "tests" / "reference" / "models" / "format7_network.safetensors"
    words = "import sys; from multilode.config.store import load; load(sys.argv[1]); "
    words += "sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words, str(path)], timeout=200).returncode == 0
