"""The schema for editors says what configurations say: both accept, and both refuse."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
import yaml

from multilode.cli.main import run
from multilode.config.codec_errors import CodecError
from multilode.config.config import config_from_dict, plain_config
from multilode.config.errors import ConfigError
from multilode.config.schema import config_schema
from multilode.fields import FIELDS
from multilode.models import KERNELS

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
DATA = {"data": "a.xyz", "target": {"key": "energy"}}
RIGHT = [
    {},
    {"data": ["a.xyz", "b.xyz"]},
    {"data": {"train": ["a.xyz"], "test": None, "group": "g"}, "preset": "fast"},
    {"target": {"key": "e", "forces": True, "stress": "s"}, "memory": "8 GB"},
    {"target": {"key": "e", "forces": {"key": "f", "directions": 4}}, "preset": "fast"},
    {"target": {"key": "e", "baseline": {"column": "lj"}, "unit": None}},
    {"target": {"key": "d", "tensor": "vector"}, "centers": ["O"], "tolerance": 1e-6},
    {"fields": {"rho": None, "V": {"exponent": 6, "basis": {"n_radial": 2}}}},
    {"fields": {"V": {"kind": "yukawa", "screening_length": 3.0, "smearing": 1.0}}},
    {
        "fields": {"W": {"kind": "potential", "exponent": 3, "smearing": 0.5}},
        "features": [["rho", "W"], ["W"]],
    },
    {"fields": {"V": {"range": "far", "sources": "responding"}}},
    {"fields": {"rho": {"cutoff_function": {"width": 0.3}, "basis": {"kind": "laplacian"}}}},
    {"estimator": {"regularization": 1e-6, "committee": {"n_members": 4}}, "channels": "none"},
    {"estimator": {"kind": "sparse", "zeta": 3, "n_active": 50}},
    {"estimator": {"kind": "kernel", "kernel": {"kind": "gaussian", "width": 1}}},
    {
        "estimator": {
            "kind": "kernel",
            "kernel": {
                "kind": "sum",
                "weights": [1, 0.5],
                "kernels": [{"kind": "polynomial"}, {"kind": "gaussian"}],
            },
        }
    },
    {"target": {"key": "e", "forces": "f"}, "estimator": {"kind": "network", "epochs": 5}},
    {"contraction": {"selection": "cur", "atoms": 100}, "features": [["rho", "rho", "V"]]},
    {"learning_curve": {"sizes": [8, 16]}, "method": "mesh", "cutoff": 3},
]
WRONG = [
    {"target": {}},
    {"target": {"key": 3}},
    {"data": {"train": []}},
    {"data": {"test": "a.xyz"}},
    {"data": {"train": "a.xyz", "test_fraction": 1.0}},
    {"data": {"train": "a.xyz", "seed": -1}},
    {"cut_off": 4.0},
    {"cutoff": 0},
    {"cutoff": "4 A"},
    {"preset": "best"},
    {"method": "fft"},
    {"channels": 0},
    {"tolerance": 0.5},
    {"features": "rho*V"},
    {"features": [[]]},
    {"centers": []},
    {"target": {"key": "e", "reduce": "max"}},
    {"target": {"key": "e", "tensor": "matrices"}},
    {"target": {"key": "e", "baseline": "zero"}},
    {"target": {"key": "e", "forces": {"key": "f", "weight": 0}}},
    {"fields": {"rho": {"smear": 0.3}}},
    {"fields": {"V": {"range": "middle"}}},
    {"fields": {"V": {"basis": {"kind": "gaussian"}}}},
    {"fields": {"V": {"basis": {"radius": 101}}}},
    {"fields": {"W": {"exponent": 6}}, "features": [["rho", "W"]]},
    {"fields": {"V": {"sources": "guessed"}}},
    {"estimator": {"kind": "forest"}},
    {"estimator": {"folds": 2.5}},
    {"estimator": {"kind": "ridge", "kernel": {"kind": "gaussian"}}},
    {"estimator": {"kind": "kernel", "kernel": {"kind": "gaussian", "sigma": 1}}},
    {"estimator": {"kind": "network", "channels": "many"}},
    {"contraction": {"selection": "best"}},
    {"learning_curve": {"sizes": [1]}},
    {"memory": 0},
]


@pytest.fixture(scope="module")
def validator():
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("part", RIGHT, ids=str)
def test_both_accept_what_is_right_and_its_complete_form(part, validator):
    raw = {**DATA, **part}
    validator.validate(raw)
    complete = plain_config(config_from_dict(raw))
    validator.validate(json.loads(json.dumps(complete)))


@pytest.mark.parametrize("part", WRONG, ids=str)
def test_both_refuse_what_is_wrong(part, validator):
    raw = {**DATA, **part}
    assert not validator.is_valid(raw)
    with pytest.raises((ConfigError, CodecError)):
        config_from_dict(raw)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_examples_are_accepted(path, monkeypatch):
    """Those with classes of their own once these are in the tables, as in their scripts."""

    @dataclass(frozen=True)
    class Slater:
        """A field."""

        smearing: float
        length: float

    @dataclass(frozen=True)
    class RationalQuadratic:
        """A kernel."""

        width: float = 1.0
        alpha: float = 1.0

    monkeypatch.setitem(FIELDS, "slater", Slater)
    monkeypatch.setitem(KERNELS, "rational quadratic", RationalQuadratic)
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), config_schema())


def test_every_setting_is_described(validator):
    properties = validator.schema["properties"]
    assert all(part["description"] for part in properties.values())
    data = properties["data"]["anyOf"][-1]["properties"]
    assert data["test_fraction"]["description"].startswith("Part of `train`")
    assert data["test_fraction"]["exclusiveMaximum"] == 1


def test_the_command_prints_it_or_writes_it(tmp_path, capsys):
    assert run(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    path = tmp_path / "schema.json"
    assert run(["schema", "-o", str(path)]) == 0
    assert json.loads(path.read_text(encoding="utf-8")) == printed == config_schema()
    assert run(["schema", "-o", str(tmp_path)]) == 2


def test_the_reference_is_current():
    file = ROOT / "docs" / "configuration_reference.py"
    spec = importlib.util.spec_from_file_location("configuration_reference", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run `make docs`"
