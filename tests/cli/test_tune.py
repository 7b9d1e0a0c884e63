"""`multilode tune`: files, the page, what is refused, and searches that were stopped."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from multilode.cli.main import run
from multilode.config.config import load_config

CONFIG = """\
# settings of a stranger
data: {train: train.xyz, test: test.xyz, group: label}
target: {key: gap, unit: eV}
cutoff: 2.5
fields:
  rho: {basis: {n_radial: 2, max_angular: 1}}
  V: {exponent: 6, basis: {n_radial: 2, max_angular: 1}}
features: [[rho, V]]
tune:
  trials: 5
  settings:
    cutoff: {low: 2.0, high: 4.0}
    fields.V.exponent: {choices: [1, 6]}
    fields.V.smearing: {low: 0.5, high: 1.5, log: true}
"""
FILES = [
    "best.yaml",
    "config.yaml",
    "report.html",
    "timings.json",
    "trials.csv",
    "tune.json",
    "tune.log",
]


@pytest.fixture
def place(folder):
    (folder / "sub").mkdir()
    (folder / "search.yaml").write_text(CONFIG)
    return folder


def results(path: Path) -> dict:
    return json.loads((path / "tune.json").read_text())


def tried(path: Path) -> list:
    return [(t["values"], t["error"], t["folds"]) for t in results(path)["trials"]]


def refused(capsys, *words: str) -> str:
    assert run(["tune", *words]) == 2
    printed = capsys.readouterr()
    line = printed.err.splitlines()[-1]
    assert line.startswith("multilode: ")
    assert "Traceback" not in printed.err
    return line


def test_a_search_writes_the_best_configuration_and_says_how_good_it_is(place, capsys):
    assert run(["tune", "search.yaml", "-o", "sub/out"]) == 0
    out, printed = place / "sub" / "out", capsys.readouterr()
    assert sorted(p.name for p in out.iterdir()) == FILES
    found = results(out)
    assert len(found["trials"]) == 5
    assert found["error"] == "cross-validated RMSE (eV)"
    assert found["folds"] == 2
    assert found["best"]["error"] <= found["given"]["error"]
    assert [row["key"] for row in found["settings"]] == [
        "cutoff",
        "fields.V.exponent",
        "fields.V.smearing",
    ]
    assert f"{found['best']['error']:.4g}" in printed.out
    assert "cutoff: 2 to 4" in printed.err
    assert "5 of 5: trial 4" in printed.err
    assert "largest memory" in printed.out
    with (out / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["error"]) for r in rows] == [t["error"] for t in found["trials"]]
    assert rows[0]["fields.V.exponent"] == "6"
    assert load_config(out / "config.yaml").tune.trials == 5


def test_the_best_configuration_trains_to_the_error_of_its_trial(place):
    assert run(["tune", "search.yaml", "-o", "sub/out"]) == 0
    found = results(place / "sub" / "out")
    text = (place / "sub" / "out" / "best.yaml").read_text()
    plain = yaml.safe_load(text)
    assert "tune" not in plain
    assert plain["data"]["train"] == "../../train.xyz"
    assert plain["fields"]["rho"] == {"basis": {"n_radial": 2, "max_angular": 1}}  # not completed
    assert plain["fields"]["V"]["exponent"] == found["best"]["values"]["fields.V.exponent"]
    assert run(["train", "sub/out/best.yaml", "-o", "model"]) == 0
    rows = json.loads((place / "model" / "metrics.json").read_text())["rows"]
    (crossed,) = [row for row in rows if row["split"] == "cross-validation"]
    assert crossed["rmse"] == pytest.approx(found["best"]["error"], rel=1e-9)


def test_the_page_shows_trials_settings_and_what_to_do(place):
    assert run(["tune", "search.yaml", "-o", "out"]) == 0
    text = (place / "out" / "report.html").read_text()
    for heading in ("Best settings", "What to do next", "Doubts", "Errors", "Best trials"):
        assert f"<h2>{heading}</h2>" in text
    assert "few structures" in text
    assert "groups of &#x27;label&#x27; whole" in text
    data = [
        json.loads(x) for x in re.findall(r'<script type="application/json">(.*?)</script>', text)
    ]
    course, settings = data
    assert course["x"] == ["trial"]
    assert settings["x"] == ["cutoff", "fields.V.exponent", "fields.V.smearing"]
    assert "fields.V.smearing" in settings["log"]
    errors = {t["error"] for t in results(place / "out")["trials"]}
    shown = [v for s in settings["series"] for v in s["columns"]["cross-validated RMSE (eV)"]]
    assert sorted(shown) == pytest.approx(sorted(errors), rel=1e-6)
    best = course["series"][1]["columns"]["cross-validated RMSE (eV)"]
    assert best == sorted(best, reverse=True)
    assert "http" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_the_same_command_gives_the_same_page(place):
    for name in ("one", "two"):
        assert run(["tune", "search.yaml", "-o", name]) == 0
    assert tried(place / "one") == tried(place / "two")
    assert (place / "one" / "best.yaml").read_bytes() == (place / "two" / "best.yaml").read_bytes()


def test_without_ranges_they_follow_from_the_configuration_and_are_told(place, capsys):
    assert run(["tune", "config.yaml", "-o", "out", "--set", "tune.trials=2"]) == 0
    said = capsys.readouterr().err
    assert "none are given in tune.settings" in said
    assert "fields.V.exponent: 1 | 2 | 3 | 6" in said
    assert {"cutoff", "fields.V.smearing"} <= set(results(place / "out")["best"]["values"])


def test_a_test_set_that_cannot_be_read_changes_nothing(place):
    assert run(["tune", "search.yaml", "-o", "one"]) == 0
    (place / "test.xyz").write_bytes(b"\xff\x00 no structures")
    assert run(["tune", "search.yaml", "-o", "two"]) == 0
    (place / "test.xyz").unlink()
    assert run(["tune", "search.yaml", "-o", "three"]) == 0
    assert tried(place / "one") == tried(place / "two") == tried(place / "three")


def test_a_folder_with_results_is_kept_unless_they_may_go(place, capsys):
    assert run(["tune", "search.yaml", "-o", "out"]) == 0
    before = (place / "out" / "tune.json").read_bytes()
    assert "holds the results of an earlier run" in refused(capsys, "search.yaml", "-o", "out")
    other = ("search.yaml", "-o", "out", "--set", "cutoff=2.6")
    assert "holds the results of an earlier run" in refused(capsys, *other)
    assert (place / "out" / "tune.json").read_bytes() == before
    assert run(["tune", *other, "--overwrite"]) == 0
    assert results(place / "out")["given"]["values"]["cutoff"] == 2.6
    assert run(["train", "search.yaml", "-o", "out", "--overwrite"]) == 0
    assert not (place / "out" / "tune.json").exists()
    assert not (place / "out" / "best.yaml").exists()


def test_an_ended_search_goes_on_to_more_trials(place, capsys):
    assert run(["tune", "search.yaml", "-o", "out"]) == 0
    first = tried(place / "out")
    assert run(["tune", "search.yaml", "-o", "out", "--set", "tune.trials=7"]) == 0
    assert "goes on after 5 trials" in capsys.readouterr().err
    assert tried(place / "out")[:5] == first
    assert len(tried(place / "out")) == 7
    assert sorted(p.name for p in (place / "out").iterdir()) == FILES
    assert run(["tune", "search.yaml", "-o", "whole", "--set", "tune.trials=7"]) == 0
    assert tried(place / "whole") == tried(place / "out")


def begun(place: Path, n_trials: int, number: int) -> int:
    """The exit code of a search that gets a signal after some trials."""
    words = ["tune", "search.yaml", "-o", "out", "--set", "tune.trials=40"]
    command = [sys.executable, "-m", "multilode.cli.main", *words]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(
        command, cwd=place, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **pipes
    )
    try:
        for _ in range(3000):
            if len(list((place / "out").glob("trial-*.json"))) >= n_trials or process.poll() == 0:
                break
            time.sleep(0.02)
        process.send_signal(number)
        return process.wait(timeout=60)
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("number", "code", "after"),
    [
        (signal.SIGKILL, -signal.SIGKILL, 4),
        pytest.param(signal.SIGINT, 130, 2, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_search_goes_on_as_the_undisturbed_one(place, capsys, number, code, after):
    assert begun(place, after, number) == code
    known = len(list((place / "out").glob("trial-*.json")))
    assert after <= known < 40
    assert not (place / "out" / "tune.json").exists()
    others = ("search.yaml", "-o", "out", "--set", "cutoff=2.6")
    assert "another configuration or other data" in refused(capsys, *others)
    asked = known + 2
    words = ["search.yaml", "--set", f"tune.trials={asked}"]
    assert run(["tune", *words, "-o", "out"]) == 0
    assert f"goes on after {known} trials" in capsys.readouterr().err
    assert run(["tune", *words, "-o", "whole"]) == 0
    assert tried(place / "out") == tried(place / "whole")
    assert sorted(p.name for p in (place / "out").iterdir()) == FILES


def test_trials_of_another_search_go_with_overwrite(place, capsys):
    (place / "out").mkdir()
    (place / "out" / "trial-0000.json").write_text('{"fingerprint": "x", "trial": {}}')
    (place / "out" / "notes.txt").write_text("mine")
    assert "trial-0000.json: is no trial" in refused(capsys, "search.yaml", "-o", "out")
    assert run(["tune", "search.yaml", "-o", "out", "--overwrite"]) == 0
    assert sorted(p.name for p in (place / "out").iterdir()) == sorted([*FILES, "notes.txt"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("tune.settings.cutof={low: 2, high: 3}", "unknown setting 'cutof'"),
        ("tune.settings={cutof: {low: 2, high: 3}}", "tune.settings.cutof"),
        ("tune.settings={cutoff: {low: 3, high: 2}}", "tune.settings.cutoff"),
        ("tune.settings={cutoff: {low: 3, high: 300}}", "tune.settings.cutoff"),
        ("tune.settings={estimator.seed: {low: 0, high: 3}}", "tune.settings.estimator.seed"),
        ("tune.trials=0", "tune.trials"),
        ("tune.trial=3", "did you mean 'trials'"),
        ("target.key=gip", "gap"),
        ("data.train=none.xyz", "none.xyz"),
        ("memory=1 kB", "all 5 trials failed"),
        ("data.group=gap2", "gap2"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(place, capsys, change, said):
    before = sorted(os.listdir(place))
    assert said in refused(capsys, "search.yaml", "-o", "out", "--set", change)
    assert sorted(os.listdir(place)) == before


def test_check_looks_at_the_ranges(place, capsys):
    words = ["check", "search.yaml", "--set", "tune.settings={cutof: {low: 2, high: 3}}"]
    assert run(words) == 2
    assert "tune.settings.cutof" in capsys.readouterr().err
    assert run(["check", "search.yaml"]) == 0


def test_a_configuration_with_a_search_trains_as_it_is(place):
    assert run(["train", "search.yaml", "-o", "out"]) == 0
    assert load_config(place / "out" / "config.yaml").tune.trials == 5
