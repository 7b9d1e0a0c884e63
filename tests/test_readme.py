"""What the README and the examples show must run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from multilode.config.config import config_from_dict, load_config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(README, "python"):
        exec(block, names)
    assert names["prediction"].forces.shape == names["data"].structures.positions.shape
    assert (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("block", [*blocks(README, "yaml")])
def test_yaml_of_the_readme_is_accepted(block):
    config_from_dict(yaml.safe_load(block))


def test_documented_defaults_are_the_defaults():
    documented = yaml.safe_load(blocks(CONFIGURATION, "yaml")[0])
    documented["data"]["train"] = ["train.xyz"]
    del documented["data"]["test"]
    minimal = {"data": {"train": "train.xyz"}, "target": {"key": "energy"}}
    assert config_from_dict(documented) == config_from_dict(minimal)


def test_example_configuration_is_accepted():
    load_config(ROOT / "examples" / "h2o_co2" / "water_co2.yaml")


def test_demo_extrapolates(tmp_path):
    command = [sys.executable, ROOT / "examples" / "h2o_co2" / "demo.py", "-o", tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    rows = json.loads((tmp_path / "metrics.json").read_text())["rows"]
    far = {r["model"]: r["rmse_percent"] for r in rows if r["split"] == "extrapolation"}
    assert far["rho x rho (local)"] > 95  # blind beyond its cutoff
    assert far["rho x V1, l <= 2"] < 45
    assert far["rho x (V1, V6), l <= 2"] < 4
