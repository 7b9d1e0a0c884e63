"""Bad input: exit code 2, one line that names file, frame, key and remedy, nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch

from multilode.cli.main import run
from multilode.config.store import FORMAT_VERSION

TRAIN = ["train", "config.yaml", "-o", "out"]


def refusal(arguments, capsys, *, code=2) -> str:
    """The one line on the standard error behind its notes; the folder holds the same files."""
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    assert run(arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines(keepends=True)
    found = [line for line in lines if not line.startswith("multilode: note: ")]
    assert len(found) == 1
    assert found[0].startswith("multilode: ")
    assert found == lines[-1:]
    assert sorted(Path().rglob("*")) == before
    return found[0]


def change(name, old, new, count=1):
    path = Path(name)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def changed_image(name, number, function):
    images = ase.io.read(name, ":")
    function(images[number])
    ase.io.write(name, images, format="extxyz")


def test_missing_property_in_some_frames(folder, capsys):
    changed_image("train.xyz", 3, lambda image: image.info.pop("gap"))
    said = refusal(TRAIN, capsys)
    assert "train.xyz, frame 3, key 'gap': the property is missing" in said
    assert "keys of this frame are: label" in said
    assert "add the property, or remove the frame" in said


@pytest.mark.parametrize("command", ["train", "learning-curve", "predict", "evaluate"])
def test_what_is_no_scheduler(folder, capsys, command):
    given = ["model.safetensors", "test.xyz"] if command in ("predict", "evaluate") else TRAIN[1:2]
    rest = [] if command == "evaluate" else ["-o", "out.xyz"]
    said = refusal([command, *given, *rest, "--scheduler", "local:0"], capsys)
    assert "the scheduler 'local:0' is none; give 'local:4' for four processes" in said


def test_misspelt_property(folder, capsys):
    change("config.yaml", "key: gap", "key: gpa")
    said = refusal(TRAIN, capsys)
    assert "train.xyz, frame 0, key 'gpa': " in said
    assert "did you mean 'gap'?" in said


@pytest.mark.parametrize("value", ["high", np.nan, np.inf, True])
def test_property_that_is_not_a_number(folder, capsys, value):
    changed_image("test.xyz", 2, lambda image: image.info.update(gap=value))
    said = refusal(TRAIN, capsys)
    assert "test.xyz, frame 2, key 'gap': the value" in said
    assert "correct it in the file or remove the frame" in said


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_positions_that_are_not_finite(folder, capsys, value):
    changed_image("train.xyz", 5, lambda image: image.positions.__setitem__((1, 0), value))
    said = refusal(TRAIN, capsys)
    assert "train.xyz, frame 5: the position of atom 1 is not finite" in said
    assert "remove the frame" in said


def test_two_atoms_in_the_same_place(folder, capsys):
    def collide(image):
        image.positions[2] = image.positions[0] + [0, 0, 1e-4]

    changed_image("train.xyz", 4, collide)
    said = refusal(TRAIN, capsys)
    assert "train.xyz, frame 4: atoms 0 and 2 are in the same place; remove one" in said


def test_two_atoms_in_the_same_place_of_a_crystal(folder, capsys):
    def collide(image):
        image.cell, image.pbc = np.diag([9.0, 9, 9]), True
        image.positions[2] = image.positions[0] + [9, 0, -18]

    changed_image("train.xyz", 4, collide)
    assert "frame 4: atoms 0 and 2 are in the same place" in refusal(TRAIN, capsys)


def test_periodic_flag_without_a_volume(folder, capsys):
    change("test.xyz", 'pbc="F F F"', 'pbc="T T T"')
    said = refusal(TRAIN, capsys)
    assert "test.xyz, frame 0: is periodic but its cell has no volume; set pbc=" in said


def test_a_slab_without_a_period(folder, model, capsys):
    def slab(image):
        image.set_cell([[9, 0, 0], [9, 0, 1e-9], [0, 0, 9]])
        image.pbc = (True, True, False)

    changed_image("test.xyz", 7, slab)
    said = 'test.xyz, frame 7: is periodic (pbc="T T F") along lattice vectors that are zero or'
    for arguments in (
        TRAIN,
        ["learning-curve", "config.yaml", "-o", "out"],
        ["features", "config.yaml", "test.xyz", "-o", "out.npz"],
        ["predict", model, "test.xyz", "-o", "out.xyz"],
        ["evaluate", model, "test.xyz"],
    ):
        assert said in refusal(arguments, capsys)


def test_a_slab_that_was_wrapped_across_its_vacuum(folder, model, capsys):
    """It can be computed, and one line says what it looks like."""

    def wrapped(image):
        image.set_cell([12, 12, 20])
        image.pbc = (True, True, False)
        image.positions[:, 2] = [0.2, 19.5, 18.0]

    changed_image("test.xyz", 2, wrapped)
    changed_image("test.xyz", 7, wrapped)
    capsys.readouterr()
    assert run(["predict", model, "test.xyz", "-o", "out.xyz"]) == 0
    said = capsys.readouterr().err
    assert said.startswith("multilode: note: test.xyz, frame 2 (and 1 more): along c, which")
    assert "in two parts, 17.8 Å between them and 0.7 Å around them" in said
    assert said.count("in two parts") == 1
    assert said.count("\n") <= 2  # the other line: far from all of the training


def test_unknown_species_at_prediction_time(folder, model, capsys):
    changed_image("test.xyz", 7, lambda image: image.set_chemical_symbols("NaBrC"))
    for arguments in (
        ["predict", model, "test.xyz", "-o", "out.xyz"],
        ["evaluate", model, "test.xyz"],
        ["features", "config.yaml", "test.xyz", "-o", "out.npz"],
        TRAIN,
    ):
        said = refusal(arguments, capsys)
        assert "test.xyz, frame 7: contains Br, which the model was not trained on" in said
        assert "it knows C, Na, Cl" in said


def test_empty_file(folder, capsys):
    Path("train.xyz").write_text("")
    assert "train.xyz: the file is empty" in refusal(TRAIN, capsys)
    Path("train.xyz").unlink()
    assert "train.xyz: there is no such file; check the path" in refusal(TRAIN, capsys)


def test_truncated_file(folder, capsys):
    text = Path("train.xyz").read_text()
    Path("train.xyz").write_text(text[: len(text) // 2 + 70])
    said = refusal(TRAIN, capsys)
    assert "train.xyz, frame 12: " in said or "train.xyz, frame 11: " in said
    assert "truncated" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cutoff", "cutof", "config.yaml: unknown setting 'cutof'; did you mean 'cutoff'?"),
        ("V: {basis", "V: {sgma: 1, basis", "unknown setting 'fields.V.sgma'; did you mean 'smear"),
        ("cutoff: 2.5", "cutoff: wide", "setting 'cutoff': input should be a valid number, got"),
        ("cutoff: 2.5", "cutoff: -2.5", "setting 'cutoff': input should be greater than 0"),
        (
            "regularization: 1e-8",
            "regularization: -1",
            "setting 'estimator': regularization is -1.0",
        ),
        ("n_radial: 2", "n_radial: 2.5", "setting 'fields.rho.basis.n_radial': input should be"),
        ("key: gap, ", "", "the setting 'target.key' is missing; add it"),
        ("data: {", "data: [", "config.yaml: is not valid YAML"),
    ],
)
def test_bad_configuration(folder, capsys, old, new, said):
    change("config.yaml", old, new)
    for command in (TRAIN, ["learning-curve", "config.yaml", "-o", "out"]):
        assert said in refusal(command, capsys)


def test_settings_that_the_data_do_not_allow(folder, capsys):
    change("config.yaml", "target: {key: gap", "target: {component: 4, key: gap")
    assert "key 'gap': has 1 numbers and no component 4" in refusal(TRAIN, capsys)
    change("config.yaml", "component: 4, ", "")
    change("config.yaml", "term_weights: [1.0, 1.0]", "term_weights: [1.0]")
    assert "'estimator.term_weights': has 1 values for 2 features" in refusal(TRAIN, capsys)
    change("config.yaml", "sizes: [8, 16]", "sizes: [8, 160]")
    change("config.yaml", "term_weights: [1.0]", "term_weights: [1.0, 1.0]")
    assert "160" in refusal(["learning-curve", "config.yaml", "-o", "out"], capsys)
    change("config.yaml", "test: test.xyz, ", "")
    said = refusal(["learning-curve", "config.yaml", "-o", "out"], capsys)
    assert "needs a test set; set data.test" in said


def test_truncated_model(folder, model, capsys):
    Path(model).write_bytes(Path(model).read_bytes()[:-100])
    for arguments in (
        ["inspect", model],
        ["evaluate", model, "test.xyz"],
        ["predict", model, "test.xyz", "-o", "out.xyz"],
    ):
        assert f"{model}: is truncated or not a model file" in refusal(arguments, capsys)


def test_model_of_a_future_version(folder, model, capsys):
    data = Path(model).read_bytes()
    word = rb"\"format_version\": "
    old, new = word + str(FORMAT_VERSION).encode(), word + b"9"
    assert data.count(old) == 1
    Path(model).write_bytes(data.replace(old, new))
    said = refusal(["predict", model, "test.xyz", "-o", "out.xyz"], capsys)
    assert "has format version 9" in said
    assert "update multilode" in said


def test_model_with_damaged_metadata(folder, model, capsys):
    data = Path(model).read_bytes()
    for old, new, said in [
        (rb"\"training\"", rb"\"trainimg\"", "its checksum is not that of its contents"),
        (
            rb"\"term_weights\"",
            rb"\"term_weighty\"",
            "its checksum is not that of its contents",
        ),
    ]:
        assert data.count(old) == 1
        Path(model).write_bytes(data.replace(old, new))
        assert said in refusal(["inspect", model], capsys)


def test_model_that_is_not_ours(folder, capsys):
    said = refusal(["predict", "train.xyz", "test.xyz", "-o", "out.xyz"], capsys)
    assert "train.xyz: is truncated or not a model file" in said
    said = refusal(["inspect", "none.safetensors"], capsys)
    assert "there is no such model file" in said


def test_output_that_cannot_be_written_to_is_refused_before_any_work(folder, model, capsys):
    Path("file").write_text("")
    Path("train.xyz").write_text("broken")  # reading it would be another error
    assert "cannot write to 'file'" in refusal(["train", "config.yaml", "-o", "file"], capsys)
    said = refusal(["train", "config.yaml", "-o", "file/below"], capsys)
    assert "cannot write to 'file/below'" in said
    assert "choose another place with -o" in said
    Path("test.xyz").write_text("broken")
    os.mkfifo("pipe")  # like a device, it must not be replaced by a file
    for output in ("none/out.xyz", ".", "file/out.xyz", "pipe"):
        said = refusal(["predict", model, "test.xyz", "-o", output], capsys)
        assert f"cannot write to '{output}'" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(folder, capsys):
    Path("locked").mkdir(mode=0o500)
    assert "cannot write to 'locked'" in refusal(["train", "config.yaml", "-o", "locked"], capsys)


def test_wrong_command_lines(folder, capsys):
    for arguments, said in [
        (["trian"], "trian"),
        (["train"], "CONFIG"),
        (["train", "config.yaml", "-o", "out", "--fast"], "--fast"),
        (["predict", "none", "test.xyz", "-o", "o.xyz"], "there is no such model file"),
    ]:
        assert said in refusal(arguments, capsys)


def test_uncertainty_of_a_model_that_has_none(folder, model, capsys):
    said = refusal(["predict", model, "test.xyz", "-o", "out.xyz", "--std"], capsys)
    assert "standard deviation" in said
    said = refusal(["predict", model, "test.xyz", "-o", "out.xyz", "--stress"], capsys)
    assert "test.xyz, frame 0: is not periodic" in said


def test_a_failed_run_leaves_earlier_results_alone(folder, capsys):
    assert run(TRAIN) == 0
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    changed_image("test.xyz", 0, lambda image: image.info.pop("gap"))
    refusal(TRAIN, capsys)
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before


def test_interrupted_run_in_the_process(folder, capsys, monkeypatch):
    import multilode.cli.train as command

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "write_report", interrupted)  # some files exist already then
    assert refusal(TRAIN, capsys, code=130) == "multilode: interrupted\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run(folder, number):
    """A real signal to a real process, in the middle of its work."""
    images = ase.io.read("train.xyz", ":") * 50
    ase.io.write("train.xyz", images, format="extxyz")
    before = sorted(Path().rglob("*"))
    process = subprocess.Popen(
        [sys.executable, "-m", "multilode.cli.main", *TRAIN],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # a shell that starts the tests in the background has interrupts ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not Path("out").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "multilode: interrupted\n"
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("auto", "nodes for 3 centers needs about"),
        ("mesh", "a mesh of "),
        ("reciprocal_sum", "a cell of 3e+04, 3e+04, 3e+04 Å needs up to"),
        ("pair_sum", "a sum over all pairs of a periodic structure does not end"),
    ],
)
def test_a_structure_that_a_method_cannot_do_is_named(folder, capsys, method, said):
    """Frame 4 and no other, whatever the method complains about."""

    def huge(image):
        image.set_cell([30000, 30000, 30000])
        image.pbc = True

    change("config.yaml", "cutoff: 2.5", f"cutoff: 2.5\nmethod: {method}")
    changed_image("test.xyz", 4, huge)
    found = refusal(["features", "config.yaml", "test.xyz", "-o", "out.npz"], capsys)
    assert found.startswith("multilode: test.xyz, frame 4: ")
    assert said in found
    changed_image("train.xyz", 23, huge)
    for arguments in (TRAIN, ["learning-curve", "config.yaml", "-o", "out"]):
        found = refusal(arguments, capsys)
        assert found.startswith("multilode: train.xyz, frame 23: ")
        assert said in found


def test_a_structure_that_needs_too_much_memory_is_named(folder, model, capsys):
    changed_image("test.xyz", 1, lambda image: image.set_cell([30000, 30000, 30000]))
    changed_image("test.xyz", 1, lambda image: image.set_pbc(True))
    for arguments in (
        ["predict", model, "test.xyz", "-o", "out.xyz"],
        ["predict", model, "test.xyz", "-o", "out.xyz", "--forces"],
        ["evaluate", model, "test.xyz"],
    ):
        said = refusal(arguments, capsys)
        assert said.startswith("multilode: test.xyz, frame 1: a mesh of ")
        assert "use a larger tolerance or smearing, float32, or fewer centers" in said


def test_memory_that_does_not_suffice(folder, capsys, monkeypatch):
    import multilode.cli.train as command

    monkeypatch.setattr(command, "run_training", lambda *args, **kwargs: torch.empty(2**58))
    assert "the memory of this machine does not suffice" in refusal(TRAIN, capsys)


def test_a_bug_keeps_its_traceback(folder, monkeypatch):
    import multilode.cli.train as command

    def broken(*args, **kwargs):
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(command, "run_training", broken)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        run(TRAIN)
    assert not Path("out").exists()
