"""The setting `memory`: amounts with and without a unit, and what is none."""

import pytest

from multilode.config.config import config_from_dict, plain_config
from multilode.config.errors import ConfigError

ENERGIES = {"data": {"train": "train.xyz"}, "target": {"key": "energy"}}


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (None, None),
        (8, 8e9),
        (0.5, 5e8),
        ("8 GB", 8e9),
        ("500 MB", 5e8),
        ("2GiB", 2.0**31),
        ("1e3 kB", 1e6),
    ],
)
def test_amounts_are_read_and_written(given, size):
    config = config_from_dict({**ENERGIES, "memory": given})
    assert config.memory == size
    again = config_from_dict(plain_config(config))
    assert again.memory == (None if size is None else pytest.approx(size, rel=1e-5))


@pytest.mark.parametrize("given", [0, -1, "much", "8 apples", True, "1.2.3 GB", "inf", [8]])
def test_what_is_no_amount_is_refused(given):
    with pytest.raises(ConfigError, match="memory"):
        config_from_dict({**ENERGIES, "memory": given})


def test_a_network_weights_stresses_itself():
    target = {"key": "energy", "forces": {"key": "forces"}, "stress": {"key": "stress"}}
    config = config_from_dict({**ENERGIES, "target": target})
    assert (config.stress.key, config.regression.stress_weight) == ("stress", 1.0)
    weighted = {**target, "stress": {"key": "stress", "weight": 2.0}}
    with pytest.raises(ConfigError, match=r"target\.stress\.weight.*estimator\.stress_weight"):
        config_from_dict({**ENERGIES, "target": weighted})
