"""Little memory, read-only folders, symbolic links, equal runs, damaged results that are kept."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_faults import ENVIRONMENT, refused, state

from multilode.cli.main import run
from multilode.config.store import load
from multilode.data.io import read
from multilode.files import write_text
from multilode_papers.expected import comparison

# A command that may take so many bytes more than the program has once it is loaded. The limit is
# set within, because the address space of the libraries differs from machine to machine.
LIMITED = """
import resource, sys
from pathlib import Path
import multilode.cli.predict, multilode.cli.train
from multilode.cli.main import main
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + int(sys.argv.pop(1)) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
main()
"""


def limited(megabytes, *words):
    program = [sys.executable, "-c", LIMITED, str(megabytes), *words]
    found = subprocess.run(program, capture_output=True, env=ENVIRONMENT, timeout=300)
    return found.returncode, found.stdout, found.stderr.decode(errors="replace")


@pytest.mark.parametrize(
    "megabytes", [0, 32, *(pytest.param(n, marks=pytest.mark.slow) for n in (8, 128, 200, 256))]
)
@pytest.mark.parametrize("name", ["train", "predict"])
def test_little_address_space(folder, model, name, megabytes):
    """`trust.md`, counts: one of twelve ended in a traceback (ImportError of matplotlib)."""
    words = {
        "train": ["train", "config.yaml", "-o", "out", "--overwrite"],
        "predict": ["predict", model, "test.xyz", "-o", "out/o.xyz"],
    }[name]
    Path("out").mkdir()
    shutil.copy(model, "out/model.safetensors")
    Path("out/o.xyz").write_text("old")
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    found = limited(megabytes, *words)
    if found[0] == 0:
        load("out/model.safetensors")
        return
    assert "memory" in refused(found)
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users are those of POSIX")
@pytest.mark.parametrize("name", ["train", "predict", "features", "learning-curve"])
def test_folders_that_may_not_be_written_to(folder, model, capfd, name):
    """One sentence, and nothing has changed; root, who may write anywhere, gives up its rights."""
    closed = folder / "closed"
    closed.mkdir()
    (closed / "notes").write_text("mine")
    closed.chmod(0o555)
    words = {
        "train": ["train", "config.yaml", "-o", "closed"],
        "predict": ["predict", model, "test.xyz", "-o", "closed/o.xyz"],
        "features": ["features", "config.yaml", "test.xyz", "-o", "closed/f.npz"],
        "learning-curve": ["learning-curve", "config.yaml", "-o", "closed/new"],
    }[name]
    os.chmod(folder, 0o777)
    for parent in [folder, *folder.parents]:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    pid = os.fork()
    if pid == 0:  # a command of an ordinary user
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresuid(65534, 65534, 65534)
        os._exit(run(words))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = capfd.readouterr().err
    assert code == 2, said
    assert said.startswith("multilode: cannot write to 'closed")
    assert said.count("\n") == 1
    assert [path.name for path in closed.iterdir()] == ["notes"]
    closed.chmod(0o755)


def test_predictions_are_written_through_a_link(folder, model):
    """`trust.md` 14: the link was replaced by a file."""
    Path("elsewhere").mkdir()
    Path("elsewhere/target.xyz").write_text("old")
    Path("o.xyz").symlink_to("elsewhere/target.xyz")
    Path("again.xyz.gz").symlink_to("elsewhere/new")  # leads to nothing yet
    for name in ("o.xyz", "again.xyz.gz"):
        assert run(["predict", model, "test.xyz", "-o", name]) == 0
        assert Path(name).is_symlink()
    assert len(read("elsewhere/target.xyz")) == 10
    shutil.copy("elsewhere/new", "copy.xyz.gz")  # compressed, as the name of the link says
    assert len(read("copy.xyz.gz")) == 10
    assert sorted(path.name for path in Path("elsewhere").iterdir()) == ["new", "target.xyz"]


def test_a_link_that_leads_to_itself_is_refused(folder, model, capsys):
    Path("o.xyz").symlink_to("o.xyz")
    assert run(["predict", model, "test.xyz", "-o", "o.xyz"]) == 2
    assert "cannot write to 'o.xyz'" in capsys.readouterr().err
    with pytest.raises(OSError, match="symbolic links"):
        write_text("o.xyz", "text")


def test_results_go_through_a_link_to_a_folder(folder):
    Path("there").mkdir()
    Path("out").symlink_to("there")
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    assert Path("out").is_symlink()
    load("there/model.safetensors")


def test_equal_runs_have_equal_files(folder):
    """`trust.md` 14: `report.html` was another one in every run."""
    for name in ("one", "two"):
        assert run(["train", "config.yaml", "-o", name]) == 0
        assert run(["learning-curve", "config.yaml", "-o", f"{name}-curve"]) == 0
    for kind in ("", "-curve"):
        first, second = state(folder / f"one{kind}"), state(folder / f"two{kind}")
        assert {"report.html"} <= first.keys()
        assert first == second


KEPT = Path(comparison.__file__).parent / "water-co2.quick.json"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: "null",
        lambda text: "[" * 100_000,
        lambda text: text.replace('"rows"', '"row"'),
        lambda text: text.replace('"seed"', '"sead"'),
        lambda text: text.replace('"rmse": ', '"rmse": null, "r": '),
        lambda text: text.replace('"rmse": ', '"rmse": ' + "9" * 5000 + ', "r": ', 1),
        lambda text: text.replace('"data": "', '"data": ["'.replace('["', '7, "x": "')),
        lambda text: text.replace('"numbers"', '"numbers": [], "n"'),
        lambda text: "\x00" + text,
    ],
)
@pytest.mark.parametrize("quick", [True, False])
def test_damaged_results_that_are_kept(tmp_path, monkeypatch, damage, quick):
    """`trust.md` 16: raw errors of JSON and missing keys."""
    name = "water-co2.quick.json" if quick else "water-co2.json"
    (tmp_path / name).write_text(damage(KEPT.read_text()))
    monkeypatch.setattr(comparison, "files", lambda _: tmp_path)
    with pytest.raises(comparison.CheckError, match="are damaged; install multilode-papers") as it:
        comparison.expected_metrics("water-co2", quick=quick)
    assert name in str(it.value)


def test_text_that_is_no_utf8_is_damaged_too(tmp_path, monkeypatch):
    (tmp_path / "water-co2.json").write_bytes(b"\xff\xfe")
    monkeypatch.setattr(comparison, "files", lambda _: tmp_path)
    with pytest.raises(comparison.CheckError, match="are damaged"):
        comparison.expected_metrics("water-co2", quick=False)
