"""Baselines of a configuration that are other models."""

import pytest
import yaml

from multilode.config.config import config_from_dict, plain_config
from multilode.config.errors import ConfigError
from multilode.prediction import CalculatorBaseline, ColumnBaseline

LJ = "ase.calculators.lj.LennardJones"


def configured(baseline, **target):
    part = {"key": "energy", "baseline": yaml.safe_load(baseline), **target}
    return config_from_dict({"data": {"train": "a.xyz"}, "target": part})


@pytest.mark.parametrize(
    "text",
    [
        "{column: mace_energy, forces: mace_forces}",
        "{kind: column, column: mace_energy, forces: mace_forces, stress: null}",
    ],
)
def test_columns(text):
    config = configured(text, forces={"key": "forces"})
    expected = ColumnBaseline(column="mace_energy", forces="mace_forces")
    assert config.plain_baseline == config.baseline == expected
    assert config_from_dict(plain_config(config)) == config


def test_a_calculator_is_made_of_its_class_and_arguments():
    config = configured(f"{{calculator: {LJ}, arguments: {{sigma: 2.5}}}}")
    assert config.plain_baseline == CalculatorBaseline(LJ, {"sigma": 2.5})
    assert config.plain_baseline.live.parameters.sigma == 2.5
    written = plain_config(config)["target"]["baseline"]
    assert written == {"kind": "calculator", "calculator": LJ, "arguments": {"sigma": 2.5}}
    assert config_from_dict(plain_config(config)).plain_baseline.live.parameters.sigma == 2.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{calculator: os.system, arguments: {command: 'false'}}", "no class of ASE's calculators"),
        ("{calculator: subprocess.Popen}", "no class of ASE's calculators"),
        ("{calculator: LennardJones}", "has no module; give the import path of a class, such as"),
        ("{calculator: ase.calculators.lj.Lennard}", "cannot be imported"),
        ("{calculator: no_such_package.Potential}", "cannot be imported"),
        ("{calculator: ase.calculators.mixing.SumCalculator}", "refuses its arguments"),
        ("{calculator: 3}", "no calculator of ASE"),
        ("{column: 3}", "input should be a valid string"),
        ("{column: a, force: b}", "unknown setting .* did you mean"),
    ],
)
def test_what_is_no_baseline_is_refused(text, said):
    with pytest.raises(ConfigError, match=said) as found:
        configured(text)
    assert "target.baseline" in str(found.value)


def test_forces_need_the_forces_of_the_baseline():
    with pytest.raises(ConfigError, match=r"target.baseline.*whose forces no key was given"):
        configured("{column: a}", forces={"key": "forces"})
    with pytest.raises(ConfigError, match="'energy' is in kcal"):
        configured(f"{{calculator: {LJ}}}", unit="kcal/mol")
