"""Kills, full disks, two runs at once, odd consoles: the old results or the new, one sentence."""

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import multilode
from multilode.cli.main import run
from multilode.cli.output import OutputError, output_folder
from multilode.config.store import load

RESULTS = ["config.yaml", "metrics.json", "model.safetensors", "report.html"]
SOURCE = Path(multilode.__file__).parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SOURCE)}
# ends itself after so many steps of the file system
ENDED = """
import os, signal, sys
from pathlib import Path
from multilode.cli import publish
from multilode.cli.output import output_folder
left = int(sys.argv[1])
def counted(call):
    def step(*arguments, **more):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return call(*arguments, **more)
    return step
with output_folder(Path(sys.argv[2])) as staging:
    for name in "abc":
        (staging / name).write_text("new")
    for name in ("rename", "replace", "link", "unlink", "rmdir", "chmod"):
        setattr(os, name, counted(getattr(os, name)))
    publish._exchange = counted(publish._exchange)
"""


def command(*words, **more):
    """A command in a process of its own: exit code, standard output and error."""
    program = [sys.executable, "-m", "multilode.cli.main", *words]
    environment = {**ENVIRONMENT, **more.pop("env", {})}
    found = subprocess.run(program, capture_output=True, env=environment, timeout=300, **more)
    return found.returncode, found.stdout, found.stderr.decode(errors="replace")


def refused(found):
    code, _, said = found
    assert code == 2, said
    assert said.startswith("multilode: "), said
    assert said.count("\n") == 1, said
    return said


def ended_after(steps, folder, inside=None):
    """What is visible in a folder with old files whose writer was killed at some step."""
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text("old")
    (folder / "mine").write_text("mine")
    words = [sys.executable, "-c", ENDED, str(steps), str(folder)]
    code = subprocess.run(words, env=ENVIRONMENT, cwd=inside and folder, timeout=100).returncode
    assert (folder / "mine").read_text() == "mine"
    return code, [(folder / name).read_text() for name in "abc"]


@pytest.mark.parametrize("steps", range(12))
def test_a_kill_between_two_moves_leaves_the_old_or_the_new(tmp_path, steps):
    """`trust.md` 2: eight of ten such kills left a model of one run and metrics of another."""
    folder = tmp_path / "out"
    code, found = ended_after(steps, folder)
    assert found in (["old"] * 3, ["new"] * 3)
    assert code in (0, -signal.SIGKILL)
    if code == 0:
        assert found == ["new"] * 3
    with output_folder(folder):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "c", "mine"]
    assert [(folder / name).read_text() for name in "abc"] in (["old"] * 3, ["new"] * 3)


@pytest.mark.parametrize("steps", range(0, 9, 2))
def test_moves_one_by_one_are_completed_by_the_next_run(tmp_path, steps):
    """Where a process is within the folder it cannot be exchanged."""
    folder = tmp_path / "out"
    ended_after(steps, folder, inside=True)
    with output_folder(folder):
        pass
    assert [(folder / name).read_text() for name in "abc"] in (["old"] * 3, ["new"] * 3)
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "c", "mine"]


def test_two_writers_of_one_folder(tmp_path):
    """`trust.md` 2: four of six pairs of trainings were mixed, with exit code 0."""
    with output_folder(tmp_path / "out") as staging:
        (staging / "a").write_text("first")
        with (
            pytest.raises(OutputError, match=r"another command writes its results to '.*out'"),
            output_folder(tmp_path / "out"),
        ):
            pass
    assert (tmp_path / "out" / "a").read_text() == "first"
    with output_folder(tmp_path / "out") as staging:
        (staging / "a").write_text("second")
    assert [(path.name, path.read_text()) for path in (tmp_path / "out").iterdir()] == [
        ("a", "second")
    ]


def test_two_trainings_at_once(folder):
    """One of them writes, the other says in one sentence that it does not."""
    words = [
        sys.executable,
        "-m",
        "multilode.cli.main",
        "train",
        "config.yaml",
        "-o",
        "out",
        "--overwrite",
    ]
    both = [subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.PIPE) for _ in range(2)]
    codes = {}
    for one in both:
        said = one.communicate(timeout=200)[1].decode()
        codes[one.returncode] = said
    if 2 in codes:  # else one ended before the other began
        assert "another command writes its results to 'out'" in codes[2]
    assert 0 in codes
    assert not [path for path in folder.rglob(".*")]
    load("out/model.safetensors")


def test_folders_within_results_and_links_survive(tmp_path):
    folder = tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "kept").write_text("kept")
    (folder / "link").symlink_to("sub/kept")
    for word in ("one", "two"):
        with output_folder(folder) as staging:
            (staging / "a").write_text(word)
        assert (folder / "a").read_text() == word
    assert (folder / "link").read_text() == "kept"
    assert (folder / "link").is_symlink()
    assert oct(folder.stat().st_mode) == oct((tmp_path / "out" / "sub").stat().st_mode)


def test_the_folder_keeps_its_permissions(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir(mode=0o750)
    with output_folder(folder) as staging:
        (staging / "a").write_text("a")
    assert oct(folder.stat().st_mode & 0o777) == oct(0o750)


def test_old_results_that_are_not_written_again_are_removed(folder):
    """Case 41: `test_predictions.xyz` of the old model stayed beside the new one."""
    assert run(["train", "config.yaml", "-o", "out", "--overwrite"]) == 0
    assert Path("out/test_predictions.xyz").exists()
    Path("out/notes.txt").write_text("mine")
    text = Path("config.yaml").read_text().replace("test: test.xyz, ", "")
    Path("config.yaml").write_text(text)
    assert run(["train", "config.yaml", "-o", "out", "--overwrite"]) == 0
    assert not Path("out/test_predictions.xyz").exists()
    assert Path("out/notes.txt").read_text() == "mine"


def state(folder):
    """Times of all results; those of one run are written together."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name in RESULTS}


def check_kill(folder, words, output, seed, longest):
    """A command that is killed at a random moment, then once more to its end."""
    generator = random.Random(seed)
    before = {path.name: path.read_bytes() for path in Path(output).glob("[!.]*.[!l]*")}
    process = subprocess.Popen(
        [sys.executable, "-m", "multilode.cli.main", *words],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(generator.uniform(0.2, longest))
    process.kill()
    process.wait()
    if Path(output, "model.safetensors").exists():
        load(Path(output, "model.safetensors"))
    names = {path.name for path in Path(output).glob("[!.]*")} if Path(output).exists() else set()
    assert not names or set(before) <= names
    code, _, said = command(*words)
    assert code == 0, said
    assert not [path for path in folder.rglob(".unfinished-*")]
    assert not [path for path in folder.rglob(".finished-*")]


def commands(model):
    return {
        "train": (["train", "config.yaml", "-o", "out", "--overwrite"], "out"),
        "predict": (["predict", model, "test.xyz", "-o", "o.xyz"], "."),
        "learning-curve": (
            ["learning-curve", "config.yaml", "-o", "curve", "--overwrite"],
            "curve",
        ),
        "features": (["features", "config.yaml", "test.xyz", "-o", "f.npz"], "."),
        "tune": (
            ["tune", "config.yaml", "-o", "found", "--overwrite", "--set", "tune.trials=3"],
            "found",
        ),
        "evaluate": (["evaluate", model, "test.xyz", "--report", "e.html"], "."),
        "export": (["export", model, "-o", "m.pt", "--overwrite"], "."),
        "init": (["init", "train.xyz", "-o", "new.yaml", "--overwrite"], "."),
        "schema": (["schema", "-o", "s.json"], "."),
    }


@pytest.mark.parametrize("name", ["train", "predict"])
def test_killed_commands_leave_nothing_behind(folder, model, name):
    words, output = commands(model)[name]
    check_kill(folder, words, output, 0, 4.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(commands("")))
@pytest.mark.parametrize("seed", range(20))
def test_commands_killed_at_random_moments(folder, model, name, seed):
    words, output = commands(model)[name]
    check_kill(folder, words, output, seed, 5.0)


def limited(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("kilobytes", [1, 3, 20])
def test_files_may_not_grow(folder, kilobytes):
    """`trust.md` 10: a limit on the size of files ended in a traceback."""
    assert run(["train", "config.yaml", "-o", "out", "--overwrite"]) == 0
    before = state(folder / "out")
    found = command(
        "train", "config.yaml", "-o", "out", "--overwrite", preexec_fn=limited(1024 * kilobytes)
    )
    assert "cannot write to 'out'" in refused(found)
    assert state(folder / "out") == before
    assert not list(folder.rglob(".unfinished-*"))


@pytest.mark.parametrize("output", ["/dev/full"])
def test_a_full_standard_output(folder, model, output):
    """`trust.md` 11."""
    program = [sys.executable, "-m", "multilode.cli.main"]
    for words in (
        ["evaluate", model, "test.xyz"],
        ["train", "config.yaml", "-o", "out", "--overwrite"],
    ):
        with Path(output).open("w") as full:
            found = subprocess.run(
                [*program, *words],
                env=ENVIRONMENT,
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=200,
            )
        said = found.stderr.decode()
        assert found.returncode == 2, said
        assert said.count("\n") == 1, said
        assert "standard output" in said
    load("out/model.safetensors")


def test_a_reader_that_has_seen_enough(folder, model):
    program = f"{sys.executable} -m multilode.cli.main evaluate {model} test.xyz | true"
    found = subprocess.run(program, shell=True, env=ENVIRONMENT, capture_output=True, timeout=100)
    assert not found.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "cp437", "ascii", "utf-8"])
def test_consoles_of_any_encoding(folder, model, encoding):
    """Case 42."""
    code, shown, said = command("evaluate", model, "test.xyz", env={"PYTHONIOENCODING": encoding})
    assert code == 0, said
    assert "RMSE" in shown.decode(encoding)
    assert not said


def test_warnings_as_errors(folder, model):
    found = command("predict", model, "test.xyz", "-o", "o.xyz", env={"PYTHONWARNINGS": "error"})
    assert found[0] == 0, found[2]


def test_a_folder_that_another_process_removes_is_made_once_more(tmp_path, monkeypatch):
    """One that was refused removes the folder that it made, between our lock and our first file."""
    folder, removed = tmp_path / "out", []
    make = tempfile.mkdtemp

    def after_others(*words, **options):
        if not removed:
            removed.append(folder)
            folder.rmdir()
        return make(*words, **options)

    monkeypatch.setattr(tempfile, "mkdtemp", after_others)
    with output_folder(folder) as staging:
        (staging / "a").write_text("1")
    assert removed
    assert [path.name for path in folder.iterdir()] == ["a"]
