"""Presets: documented sets of fields, bases, products and models under one word.

They were chosen by validation on parts of the training sets of 495 dipeptides and of 32 boxes of
water.
A setting that a configuration gives itself replaces that of the preset.
"""

from collections.abc import Mapping
from typing import Any

from multilode.config.codec_errors import CodecError

Plain = dict[str, Any]

DEFAULT = "balanced"
NAMES = ("fast", "balanced", "accurate")

# Bases of networks: channels are mixed before they are multiplied, so that a few functions do
_NETWORK_BASES: Plain = {
    "rho": {"basis": {"n_radial": 8, "max_angular": 3}},
    "V": {"basis": {"n_radial": 4, "max_angular": 2}},
}
_NETWORKS: dict[str, Plain] = {
    "balanced": {
        "cutoff": 3.5,
        "fields": _NETWORK_BASES,
        "estimator": {"kind": "network"},
    },
    "accurate": {
        "cutoff": 3.5,
        "fields": _NETWORK_BASES,
        "estimator": {
            "kind": "network",
            "dipoles": 8,
            "epochs": 450,
            "learning_rate": 0.006,
            "weight_decay": 0.02,
            "energy_weight": 2.0,
            "validation": 0.05,
        },
    },
}


def with_preset(raw: Mapping[str, Any]) -> Plain:
    """The configuration with the settings of its preset where it gives none itself.

    Energies with forces are learned by networks unless the preset is `fast` or the estimator is
    given; everything else by linear models.

    Raises:
        CodecError: if there is no such preset.
    """
    given = {key: value for key, value in raw.items() if key != "preset"}
    name = raw.get("preset", DEFAULT)
    if name not in NAMES:
        raise CodecError("preset", f"is {name!r}; allowed are {', '.join(map(repr, NAMES))}")
    target, estimator = given.get("target"), given.get("estimator")
    forces = isinstance(target, Mapping) and target.get("forces") is not None
    kind = estimator.get("kind") if isinstance(estimator, Mapping) else None
    if kind == "network" or (kind is None and forces and "features" not in given):
        chosen = _NETWORKS.get(name) if kind is None else _NETWORKS.get(name, _NETWORKS[DEFAULT])
        if chosen is not None:
            return _merged(chosen, given)
    return given


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> Plain:
    """Nested settings; those that are given come first, and another kind takes no defaults."""
    result = dict(given)
    for key, value in defaults.items():
        own = result.get(key)
        if key not in result:
            result[key] = value
        elif isinstance(own, Mapping) and isinstance(value, Mapping):
            if "kind" in own and own["kind"] != value.get("kind", own["kind"]):
                continue
            result[key] = _merged(value, own)
    return result
