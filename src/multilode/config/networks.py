"""Configurations of networks: which settings of other models they do not have."""

from collections.abc import Mapping
from typing import Any

from multilode.config.build import mapping
from multilode.config.codec import decode
from multilode.config.codec_errors import CodecError
from multilode.config.settings import Products
from multilode.representation.feature_recipe import default_fields

_PRODUCTS = (
    "a network multiplies fields itself: name them one by one, as in [[rho]], or leave features "
    "out for all"
)
_LINEAR = "or learn a linear model (estimator: {kind: ridge})"
_REFUSED = {
    "channels": "a network mixes channels itself; set estimator.channels instead",
    "contraction": f"a network has no products of features to contract; leave it out, {_LINEAR}",
    "centers": f"all atoms are centers of a network; leave centers out, {_LINEAR}",
}
_REFUSED_OF_STRESS = {
    "weight": f"a network weights stresses itself; set estimator.stress_weight, {_LINEAR}",
}
_REFUSED_OF_FORCES = {
    "weight": f"a network weights its energies instead; set estimator.energy_weight, {_LINEAR}",
    "directions": f"a network learns every component of forces; leave it out, {_LINEAR}",
}


def network_features(raw: Mapping[str, Any]) -> list[list[str]]:
    """The part `features` of the configuration of a network: fields, each by itself.

    By default these are all.

    Raises:
        CodecError: for a setting that a network would have to ignore.
    """
    target = mapping(raw.get("target"), "target")
    forces = target.get("forces")
    given = {"target.forces": forces, "target.stress": target.get("stress"), "": raw}
    refused = {
        "target.forces": _REFUSED_OF_FORCES,
        "target.stress": _REFUSED_OF_STRESS,
        "": _REFUSED,
    }
    for place, reasons in refused.items():
        for key, reason in reasons.items():
            part = given[place]
            if isinstance(part, Mapping) and part.get(key) is not None:
                raise CodecError(f"{place}.{key}" if place else key, reason)
    if raw.get("features") is not None:
        named = decode(Products, raw["features"], where="features")
        if any(len(names) > 1 for names in named) or len({*named}) < len(named):
            raise CodecError("features", _PRODUCTS)
        return [list(names) for names in named]
    fields = mapping(raw.get("fields"), "fields")
    return [[name] for name in {**dict.fromkeys(default_fields()), **fields}]
