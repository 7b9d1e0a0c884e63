"""What a search may change: every key and every end of a range is looked at beforehand."""

import re
from pathlib import Path

import pytest
import yaml

from multilode.config.config import config_from_dict, plain_config
from multilode.config.errors import ConfigError
from multilode.config.moved_paths import with_moved_paths
from multilode.config.proposed_ranges import proposed_settings
from multilode.config.search_space import SearchSpace

RAW = {"data": "a.xyz", "target": {"key": "energy", "unit": "eV"}}
LENGTHS = {"cutoff": {"low": 3, "high": 6}}


def space(settings, **more):
    return SearchSpace.of({**RAW, **more, "tune": {"settings": settings}}, source="c.yaml")


def refusal(settings, **more):
    with pytest.raises(ConfigError) as caught:
        space(settings, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("c.yaml: ")
    return message


@pytest.mark.parametrize(
    ("key", "given", "said"),
    [
        ("cutof", {"low": 3, "high": 6}, "did you mean 'cutoff'"),
        ("cutoff", {"low": 3, "high": 200}, "200 cannot be used"),
        ("cutoff", {"low": 0.0, "high": 5}, "0 cannot be used"),
        ("cutoff", {"low": 6, "high": 3}, "low must be smaller"),
        ("cutoff", {"low": 3}, "give low and high, or choices"),
        ("cutoff", {"low": -1, "high": 3, "log": True}, "must be larger than 0"),
        ("cutoff", {"low": 3, "high": 6, "choices": [3, 4]}, "choices stand alone"),
        ("cutoff", {"choices": [3]}, "at least 2 items"),
        ("cutoff", {"choices": [3, 3.0]}, "twice"),
        ("cutoff", {"lo": 3, "high": 6}, "did you mean 'low'"),
        ("cutoff", 3.0, "mapping of settings"),
        ("cutoff.", {"low": 3, "high": 6}, "names no setting"),
        ("cutoff.a", {"low": 3, "high": 6}, "cannot be used"),
        ("fields.V.exponent", {"choices": [1, "one"]}, "one cannot be used"),
        ("fields.W.exponent", {"choices": [1, 3]}, "fields.W.kind"),
        ("fields.V.basis.n_radial", {"low": 2.5, "high": 8}, "2.5 cannot be used"),
        ("estimator.weight_decay", {"low": 1e-4, "high": 1e-1}, "unknown setting"),
        ("memory", {"low": 1, "high": 8}, "changes nothing"),
        ("learning_curve.repeats", {"low": 1, "high": 8}, "changes nothing"),
        ("preset", {"choices": ["fast", "balanced"]}, "changes nothing"),
        ("estimator.seed", {"low": 0, "high": 9}, "what the error of a trial is measured on"),
        ("estimator.folds", {"low": 3, "high": 9}, "what the error of a trial is measured on"),
        ("target.unit", {"choices": ["eV", "meV"]}, "what the error of a trial is measured on"),
        ("data.train", {"choices": ["a.xyz", "b.xyz"]}, "what the error of a trial is measured"),
        (
            "estimator",
            {"choices": [{"kind": "ridge"}, {"kind": "network"}]},
            "what the error of a trial is measured on",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_by_its_key(key, given, said):
    message = refusal({key: given})
    assert "tune.settings" in message
    assert key in message
    assert said in message


def test_the_ranges_of_the_guide_can_be_searched():
    text = (Path(__file__).parents[3] / "docs" / "tuning.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    found = SearchSpace.of({**RAW, **yaml.safe_load(block)})
    assert len(found.settings) == 5


def test_a_setting_that_nothing_follows_from_is_refused():
    """All radii are given, so that the cutoff changes nothing; V is not multiplied."""
    assert "changes nothing" in refusal(
        {"fields.V.exponent": {"choices": [1, 6]}}, features=[["rho", "rho"]]
    )
    given = {"neighbor_cutoff": 3.0, "basis": {"radius": 3.0}}
    assert "changes nothing" in refusal(LENGTHS, features=[["rho", "rho"]], fields={"rho": given})
    assert space(LENGTHS, features=[["rho", "rho"]]).settings[0].key == "cutoff"


@pytest.mark.parametrize(
    ("key", "given", "whole", "size"),
    [
        ("cutoff", {"low": 3, "high": 6}, False, None),
        ("fields.V.basis.n_radial", {"low": 2, "high": 8}, True, 7),
        ("estimator.zeta", {"low": 1, "high": 3}, True, 3),  # no setting of its class
        ("estimator.regularization", {"low": 1, "high": 3}, False, None),  # null by itself
        ("fields.V.exponent", {"choices": [1, 3, 6]}, False, 3),
        ("features", {"choices": [[["rho", "rho"]], [["rho", "V"]]]}, False, 2),
        ("target.baseline", {"choices": ["none", "composition"]}, False, 2),
    ],
)
def test_values_are_whole_where_the_setting_is(key, given, whole, size):
    (one,) = space({key: given}, estimator={"kind": "kernel"}).settings
    assert (one.whole, one.size) == (whole, size)
    assert one.choices is None or one.allows(one.value(0))
    if one.choices is None:
        assert one.allows(one.low)
        assert one.allows(one.high)
        assert not one.allows(one.high + 1)
        assert isinstance(one.low, int) == whole


def test_the_start_is_known_in_the_words_of_the_choices():
    settings = {
        "estimator": {"choices": [{"kind": "kernel"}, {"kind": "ridge"}]},
        "fields.V.exponent": {"choices": [3, 1]},
        "cutoff": {"low": 3, "high": 6},
    }
    found = space(settings)
    assert found.start_values == {
        "estimator": {"kind": "ridge"},
        "fields.V.exponent": 1,
        "cutoff": 4.0,
    }
    assert plain_config(found.config(found.start_values)) == plain_config(config_from_dict(RAW))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"estimator": {"kind": "sparse"}},
        {"estimator": {"kind": "network"}},
        {"features": [["rho", "rho"]], "cutoff": 1.5},
        {"fields": {"V": {"kind": "yukawa", "screening_length": 2.0, "smearing": 1.0}}},
        {"estimator": {"kind": "kernel", "kernel": {"kind": "gaussian", "width": 1.0}}},
    ],
)
def test_what_is_proposed_can_be_searched_and_contains_the_start(more):
    found = proposed_settings(space({}, **more))
    assert {"cutoff"} <= {one.key for one in found}
    assert 2 <= len(found) <= 6
    for one in found:
        assert one.allows(one.start), one
    again = space(
        {
            one.key: {"choices": list(one.choices)}
            if one.choices
            else {"low": one.low, "high": one.high}
            for one in found
        },
        **more,
    )
    assert [one.key for one in again.settings] == [one.key for one in found]


def test_paths_are_written_for_another_folder(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there" / "run"
    raw = {
        "data": {"train": ["runs/*.xyz", "/absolute.xyz"], "test": "test.xyz"},
        "fields": {"V": {"sources": {"kind": "trained", "model": "m.safetensors"}}, "rho": None},
    }
    moved = with_moved_paths(raw, here, there)
    assert moved["data"]["train"] == ["../../here/runs/*.xyz", "/absolute.xyz"]
    assert moved["data"]["test"] == "../../here/test.xyz"
    assert moved["fields"]["V"]["sources"]["model"] == "../../here/m.safetensors"
    assert raw["data"]["test"] == "test.xyz"
    assert with_moved_paths({"data": "a.xyz"}, here, Path(here))["data"] == "a.xyz"
