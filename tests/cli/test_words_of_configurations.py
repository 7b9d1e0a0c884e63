"""Words of a configuration that mean something else to YAML, to units or to a machine."""

from pathlib import Path

import pytest
import torch

from multilode.cli.main import run
from multilode.config.yaml_text import parse_yaml

TEXT = "data: {{train: a.xyz}}\ncutoff: 3\nestimator: {{kind: ridge}}\ntarget: {{key: energy{}}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = (
        f"2\nenergy={(k - 7) ** 2} No=x{k % 6}\nO 0 0 0\nH 0 {1 + 0.02 * k} 0.5\n"
        for k in range(20)
    )
    Path("a.xyz").write_text("".join(frames))


def refusal(capsys, text):
    Path("c.yaml").write_text(text)
    assert run(["train", "c.yaml", "-o", "out"]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("word", ["010", "0777", "1:30"])
def test_numbers_that_are_no_decimal_ones_are_text(capsys, word):
    """`cutoff: 010` was 8."""
    assert parse_yaml(f"a: {word}", source="x") == {"a": word}
    said = refusal(capsys, TEXT.format("").replace("cutoff: 3", f"cutoff: {word}"))
    assert f"valid number, got '{word}'" in said


def test_words_that_are_true_or_false_to_yaml(capsys):
    text = TEXT.format("").replace("train: a.xyz", "train: a.xyz, group: No")
    assert "unless they are quoted" in refusal(capsys, text)
    Path("c.yaml").write_text(text.replace("No", "'No'"))
    assert run(["train", "c.yaml", "-o", "out"]) == 0


@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
@pytest.mark.parametrize("command", ["train", "check"])
def test_a_device_that_is_not_there(capsys, monkeypatch, device, command):
    """It ended in a traceback of PyTorch."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    text = TEXT.format("").replace("kind: ridge", f"kind: network, device: '{device}'")
    Path("c.yaml").write_text(text)
    assert run([command, "c.yaml"]) == 2
    said = capsys.readouterr().err
    assert f"estimator.device is '{device}'" in said
    assert "use 'cpu'" in said


def test_a_device_that_is_no_device(capsys):
    text = TEXT.format("").replace("kind: ridge", "kind: network, device: 'cuda:first'")
    assert "use 'cpu' or 'cuda'" in refusal(capsys, text)


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("kcal", "did you mean kcal/mol"),
        ("GPa", "which is no unit of what is named 'energy'"),
        ("kJ/mol", ""),
        ("eV", ""),
    ],
)
def test_units_that_cannot_be_those_of_an_energy(capsys, unit, said):
    Path("c.yaml").write_text(TEXT.format(f", unit: {unit}"))
    assert run(["train", "c.yaml", "-o", "out"]) == 0
    found = [x for x in capsys.readouterr().err.splitlines() if "target.unit" in x]
    assert len(found) == bool(said)
    assert not said or said in found[0]
