"""What is worth searching where a configuration does not say it: few settings that matter most."""

from collections.abc import Iterator
from typing import Any

from multilode.config.codec import encode
from multilode.config.config import Config
from multilode.config.errors import ConfigError
from multilode.config.search_space import SearchedSetting, SearchSpace
from multilode.config.settings import RangeSettings
from multilode.models import Network, Ridge

_WIDER, _NARROWER = 1.5, 0.7  # of a length
_SHORTEST, _LONGEST = 2.0, 10.0  # Å; of a cutoff
_EXPONENTS = (1, 2, 3, 6)  # charges, dipoles, induction, dispersion
_ZETAS = (1, 2, 3)


def proposed_settings(space: SearchSpace) -> tuple[SearchedSetting, ...]:
    """Settings of the start of a space, those that change something in it.

    Args:
        space: whose own settings do not matter.
    """
    found = []
    for key, given in _proposals(space.start):
        try:
            found.append(space.checked(key, given))
        except ConfigError:  # of another kind of field or model, or given otherwise
            continue
    return tuple(found)


def _proposals(config: Config) -> Iterator[tuple[str, RangeSettings]]:
    """Lengths and exponents of fields, and what belongs to each kind of model."""
    low, high = _NARROWER * config.cutoff, _WIDER * config.cutoff
    low, high = max(low, min(_SHORTEST, config.cutoff)), min(high, max(_LONGEST, config.cutoff))
    yield "cutoff", RangeSettings(low=_round(low), high=_round(high))
    network = isinstance(config.regression, Network)
    for name, part in config.recipe.fields.items():
        own, _ = encode(part.field)
        if "smearing" in own and not network:
            low, high = _round(own["smearing"] / 2), _round(own["smearing"] * 2)
            yield f"fields.{name}.smearing", RangeSettings(low=low, high=high, log=True)
        if "exponent" in own:
            yield f"fields.{name}.exponent", RangeSettings(choices=_with(own["exponent"]))
    yield from _of_model(config.regression)


def _of_model(estimator: Any) -> Iterator[tuple[str, RangeSettings]]:
    if isinstance(estimator, Network):
        rate, decay = estimator.learning_rate, estimator.weight_decay or 1e-3
        yield "estimator.learning_rate", RangeSettings(low=rate / 4, high=rate * 4, log=True)
        yield "estimator.weight_decay", RangeSettings(low=decay / 10, high=decay * 10, log=True)
    elif isinstance(estimator, Ridge):
        yield "estimator.scaling", RangeSettings(choices=("none", "root", "standard"))
    else:
        yield "estimator.zeta", RangeSettings(choices=_ZETAS)


def _with(exponent: float) -> tuple[Any, ...]:
    """The usual exponents, and the one that is there."""
    return tuple(sorted({*_EXPONENTS, int(exponent) if exponent == int(exponent) else exponent}))


def _round(value: float) -> float:
    """Two digits, which is what a range needs."""
    return float(f"{value:.2g}")
