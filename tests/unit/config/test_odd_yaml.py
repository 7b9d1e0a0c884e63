"""No text in the place of a configuration ends in anything but one sentence."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multilode.config.config import load_config
from multilode.config.errors import ConfigError
from multilode.config.yaml_text import read_yaml

START = "data: {train: a.xyz}\ntarget: {key: e}\n"
ODD = [
    "cutoff: 2001-13-45",
    "cutoff: 2001-01-01T25:61:61",
    "cutoff: 9999-99-99 99:99:99.9999999999 +99:99",
    f"cutoff: {10**400}",  # no real number has its size
    f"cutoff: -{10**400}",
    "cutoff: 0x_",
    "cutoff: 0b_",
    "cutoff: !!bool x",
    "cutoff: !!int x",
    "cutoff: !!int ''",
    "cutoff: !!float x",
    "cutoff: !!float ''",
    "cutoff: !!timestamp",
    "cutoff: !!timestamp x",
    "cutoff: !!null x",
    "cutoff: !!map n",
    "cutoff: !!set {a}",
    "cutoff: !!omap [a: 1]",
    "cutoff: !!omap x",
    "cutoff: !!pairs [a]",
    "cutoff: !!python/object/apply:os.system [ls]",
    "cutoff: 1:2:3",
    "cutoff: " + "9" * 5000,
    "cutoff: 0x" + "f" * 4000,
    "cutoff: " + "[" * 3000 + "]" * 3000,
    "cutoff: " + "{a: " * 3000 + "}" * 3000,
    "cutoff: &a [*a]",
    "cutoff: &a {b: *a}",
    "cutoff: *x",
    'cutoff: "\\ud800"',
    "!!binary x: 3",
    "!!binary aGk=: 3",
    "2001-01-01: 3",
    "!!timestamp 2001-01-01: 3",
    "!!set {a}: 3",
    "? [a, b]\n: 3",
    "<<: 3",
    "<<: [3]",
    "1.5: 3",
    "null: 3",
    "%TAG ! x",
]
BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 10)
)


def refusal(path):
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(str(path))
    assert len(said) < len(str(path)) + 600
    return said


@pytest.mark.parametrize("line", ODD, ids=[line[:30] for line in ODD])
def test_odd_values_are_refused(tmp_path, line):
    path = tmp_path / "c.yaml"
    path.write_text(START + line + "\n")
    refusal(path)


@pytest.mark.parametrize(
    "text",
    ["", "3", "- a", "\x00", "~", "---\n---\n", "a", "\ufeff", "!!str", "{}", "a: b: c", "\t"],
)
def test_what_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    refusal(path)


def test_values_that_repeat_each_other_take_no_time(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(BOMB + START)
    begun = time.process_time()
    assert "more than 100000 values" in refusal(path)
    assert time.process_time() - begun < 2


def test_aliases_may_be_used(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("data: {train: a.xyz}\ntarget: &t {key: e}\n")
    assert load_config(path).target.key == "e"
    path.write_text("a: &a {x: 1, y: [2, 3]}\nb: *a\nc: {<<: *a, x: 4}\n")
    assert read_yaml(path)["c"] == {"x": 4, "y": [2, 3]}


def test_other_files_are_refused(tmp_path):
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refusal(tmp_path / "b")
    assert "cannot be read" in refusal(tmp_path)
    assert "there is no such file" in refusal(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        ("-1.5e3", -1500.0),
        ("1_000", 1000),
        ("3", 3),
        (".5", 0.5),
        ("0x1f", 31),
        ("0o17", 15),
        ("017", "017"),
        ("2001-01-01", "2001-01-01"),
        ("1:30", "1:30"),
        ("no", False),
        ("1.", 1.0),
        ("+1", 1),
        (".inf", float("inf")),
    ],
)
def test_numbers_and_texts(tmp_path, text, value):
    (tmp_path / "v.yaml").write_text(f"v: {text}\n")
    found = read_yaml(tmp_path / "v.yaml")["v"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("data", ["a.xyz", "[a.xyz, b.xyz]"])
def test_data_may_be_the_training_set_alone(tmp_path, data):
    path = tmp_path / "c.yaml"
    path.write_text(f"data: {data}\ntarget: {{key: e, forces: f}}\n")
    config = load_config(path)
    assert config.data.train == tuple(str(tmp_path / name) for name in data.strip("[]").split(", "))
    assert config.forces.key == "f"
    path.write_text(f"data: {data}\ntarget: {{key: e, forces: true}}\n")
    assert load_config(path).forces.key == "forces"


NAMES = ["data", "train", "target", "key", "fields", "rho", "basis", "estimator", "kind", "cutoff"]
SIGNS = ["&a", "*a", "<<", ":", "-", "[", "]", "{", "}", ",", "|", ">", "'", "~", "#", "%", "?"]
VALUES = ["!!int", "!!map", "9" * 30, "1e-6", "0x", "2001-99-99", "\\", "@", "`", '"']
BREAKS = ["\n", "\n  ", "\x85", "\u2028"]
WORDS = st.sampled_from([*NAMES, *SIGNS, *VALUES, *BREAKS])


def check(path):
    """A configuration, or one sentence."""
    with suppress(ConfigError):
        load_config(path)
        return
    refusal(path)


@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_any_words_give_a_configuration_or_one_sentence(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "c.yaml"
    path.write_text(text, encoding="utf-8")
    check(path)


@given(st.integers(0, len(START) - 1), st.binary(min_size=1, max_size=4))
def test_mutated_bytes_give_a_configuration_or_one_sentence(tmp_path_factory, place, new):
    path = tmp_path_factory.mktemp("fuzz") / "c.yaml"
    data = START.encode()
    path.write_bytes(data[:place] + new + data[place + 1 :])
    check(path)
