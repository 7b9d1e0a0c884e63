"""Settings that the command line changes, and patterns of files."""

import pytest

from multilode.config.changes import with_changes
from multilode.config.config import config_from_dict
from multilode.config.errors import ConfigError

RAW = {"data": {"train": ["a.xyz"]}, "target": {"key": "energy"}}


def test_values_are_yaml_and_the_settings_themselves_stay_as_they_are():
    changes = [
        "estimator.regularization=1e-6",
        "target.forces.key=f",
        "features=[[rho, rho]]",
        "data.group=null",
        "target.unit=",
    ]
    found = with_changes(RAW, changes)
    assert found["estimator"] == {"regularization": 1e-6}
    assert found["target"] == {"key": "energy", "forces": {"key": "f"}, "unit": None}
    assert found["features"] == [["rho", "rho"]]
    assert found["data"] == {"train": ["a.xyz"], "group": None}
    assert RAW == {"data": {"train": ["a.xyz"]}, "target": {"key": "energy"}}


def test_short_forms_become_settings():
    raw = {"data": "a.xyz", "target": {"key": "e", "forces": "f", "stress": True}}
    found = with_changes(raw, ["data.seed=3", "target.forces.seed=1", "target.stress.key=s"])
    assert found["data"] == {"train": "a.xyz", "seed": 3}
    assert found["target"]["forces"] == {"key": "f", "seed": 1}
    assert found["target"]["stress"] == {"key": "s"}
    assert config_from_dict(found).data.seed == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("cutoff", "--set 'cutoff' names no setting"),
        ("=3", "names no setting"),
        ("a..b=3", "names no setting"),
        ("cutoff=[1", "--set cutoff: is not valid YAML"),
        ("cutoff.x=1", "'cutoff' is 3.0 and has no settings of its own"),
    ],
)
def test_what_cannot_be_set_is_said_with_its_key(change, words):
    with pytest.raises(ConfigError, match="--set") as error:
        with_changes({**RAW, "cutoff": 3.0}, [change])
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_value_names_its_key():
    with pytest.raises(ConfigError, match=r"setting 'estimator\.folds'"):
        config_from_dict(with_changes(RAW, ["estimator.folds=many"]))
    with pytest.raises(ConfigError, match=r"unknown setting 'estimator.fold'.*'folds'"):
        config_from_dict(with_changes(RAW, ["estimator.fold=4"]))


@pytest.fixture
def files(tmp_path):
    for name in ("b.xyz", "a.xyz", "test.xyz", "more/c.xyz", "odd[1].xyz", "odd1.xyz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def sets(folder, **data):
    found = config_from_dict({**RAW, "data": data}, folder=folder).data
    return tuple(
        [str(folder.__class__(f).relative_to(folder)) for f in names]
        for names in (found.train, found.test)
    )


def test_patterns_are_files_in_the_order_of_their_names(files):
    train, test = sets(files, train="[ab].xyz")
    assert (train, test) == (["a.xyz", "b.xyz"], [])
    assert sets(files, train=["**/c.xyz", "b.xyz"])[0] == ["more/c.xyz", "b.xyz"]
    assert sets(files, train="odd[1].xyz")[0] == ["odd[1].xyz"]  # it exists


def test_a_pattern_leaves_out_the_test_set_and_a_name_does_not(files):
    train, test = sets(files, train="[abt]*.xyz", test="t*.xyz")
    assert (train, test) == (["a.xyz", "b.xyz"], ["test.xyz"])
    assert sets(files, train=["test.xyz", "a*.xyz"], test="test.xyz")[0] == ["test.xyz", "a.xyz"]


def test_patterns_that_match_nothing_are_refused(files):
    with pytest.raises(ConfigError, match=r"'data.test': no file matches 'z\*\.xyz' in"):
        sets(files, train="a.xyz", test="z*.xyz")
    with pytest.raises(ConfigError, match="all files that match"):
        sets(files, train="t*.xyz", test="test.xyz")
