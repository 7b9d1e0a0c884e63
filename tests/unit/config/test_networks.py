"""Settings that a network does not have are refused, with a remedy."""

import pytest

from multilode.config import ConfigError, config_from_dict
from multilode.config.config import plain_config

FORCES = {"key": "energy", "forces": {"key": "forces"}}


def configuration(**more) -> dict:
    return {"data": {"train": "train.xyz"}, "target": FORCES, **more}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"target": {"key": "energy", "forces": {"weight": 2.0}}},
            r"'target\.forces\.weight'.*estimator\.energy_weight",
        ),
        (
            {"target": {"key": "energy", "forces": {"directions": 2}}},
            r"'target\.forces\.directions'.*every component",
        ),
        ({"centers": ["H"]}, "'centers'.*all atoms are centers"),
        ({"channels": 3}, "'channels'.*set estimator.channels"),
        ({"contraction": {"max_features": 3}}, "'contraction'.*leave it out"),
        ({"features": [["rho", "V"]], "estimator": {"kind": "network"}}, "'features'.*leave"),
    ],
)
def test_a_setting_of_linear_models_is_refused(more: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_dict(configuration(**more))
    linear = configuration(**{"features": [["rho", "V"]], **more, "estimator": {"kind": "ridge"}})
    config_from_dict(linear)


def test_fields_of_a_network_are_chosen_by_name() -> None:
    local = configuration(features=[["rho"]], estimator={"kind": "network"})
    config = config_from_dict(local)
    assert list(config.recipe.fields) == ["rho"]
    assert config_from_dict(plain_config(config)) == config


def test_the_complete_configuration_is_accepted_again() -> None:
    config = config_from_dict(configuration())
    assert config_from_dict(plain_config(config)) == config
