"""What a search may change: settings by dotted key, each with the values that it may have.

A setting is looked at from both ends, or with all of its choices, before anything is computed: each
must be a valid configuration, change the model, and leave alone what its error is measured on.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from multilode.config.changes import value_at, with_values
from multilode.config.codec import encode
from multilode.config.config import Config, config_from_dict, plain_config
from multilode.config.errors import ConfigError
from multilode.config.settings import RangeSettings
from multilode.models import Network

Values = Mapping[str, Any]
_INSIDE = 0.382  # where a range is looked at between its ends
# which change no model by themselves; what follows from the cutoff stands in the fields
_BESIDE = ("cutoff", "learning_curve", "memory", "tune")


@final
@dataclass(frozen=True, kw_only=True)
class SearchedSetting:
    """One setting, and its values.

    Args:
        key: dotted.
        given: the range, or the choices.
        whole: whether the values of a range are whole numbers.
        start: value in the configuration that is given; None if it has none of its own.
    """

    key: str
    given: RangeSettings
    whole: bool = False
    start: Any = None

    @property
    def low(self) -> float:
        """Smallest value of a range."""
        return self._end(self.given.low)

    @property
    def high(self) -> float:
        """Largest value of a range."""
        return self._end(self.given.high)

    def _end(self, value: float | None) -> float:
        if value is None:
            raise ValueError(f"'{self.key}' has choices, and no range")
        return int(value) if self.whole else value

    @property
    def choices(self) -> tuple[Any, ...] | None:
        """Values of a list; None of a range."""
        return self.given.choices

    @property
    def size(self) -> int | None:
        """Number of values; None of a range that is not of whole numbers."""
        if self.choices is not None:
            return len(self.choices)
        return int(self.high) - int(self.low) + 1 if self.whole else None

    def value(self, number: int) -> Any:
        """The value with this number, of those that can be counted."""
        return int(self.low) + number if self.choices is None else self.choices[number]

    def allows(self, value: Any) -> bool:
        """Whether a search may try this value."""
        if self.choices is not None:
            return value in self.choices
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high

    def __str__(self) -> str:
        if self.choices is not None:
            return " | ".join(shown_value(value) for value in self.choices)
        log = ", logarithmic" if self.given.log else ""
        return f"{self.low:g} to {self.high:g}{log}"


@final
@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """A configuration, and the settings of it that are searched.

    Args:
        raw: the configuration as nested dictionaries, with its section `tune`.
        source: its name in errors.
        folder: that its paths are relative to.
        start: the configuration that is given.
        settings: at least one.
    """

    raw: Mapping[str, Any]
    source: str
    folder: Path
    start: Config
    settings: tuple[SearchedSetting, ...]

    @staticmethod
    def of(
        raw: Any,
        given: Mapping[str, RangeSettings] | None = None,
        *,
        source: str = "configuration",
        folder: str | Path = "",
    ) -> "SearchSpace":
        """Checked settings of a configuration.

        Args:
            raw: the configuration as nested dictionaries.
            given: ranges by key; by default those of its section `tune`.
            source: its name in errors.
            folder: that its paths are relative to.

        Raises:
            ConfigError: naming `tune.settings.KEY`, if a key or a value of it cannot be used.
        """
        start = config_from_dict(raw, source=source, folder=folder)
        space = SearchSpace(raw=raw, source=source, folder=Path(folder), start=start, settings=())
        ranges = start.tune.settings if given is None else given
        found = tuple(space.checked(key, one) for key, one in ranges.items())
        return replace(space, settings=found)

    @property
    def start_values(self) -> dict[str, Any]:
        """Of the configuration that is given."""
        return {one.key: one.start for one in self.settings}

    def plain(self, values: Values) -> dict[str, Any]:
        """The configuration with other values as nested dictionaries, without its section `tune`.

        Raises:
            ConfigError: if a key goes through something that has no settings.
        """
        changed = with_values(self.raw, values)
        return {key: part for key, part in changed.items() if key != "tune"}

    def config(self, values: Values) -> Config:
        """The configuration with other values.

        Raises:
            ConfigError: if they cannot be used, or not together.
        """
        return config_from_dict(self.plain(values), source=self.source, folder=self.folder)

    def checked(self, key: str, given: RangeSettings) -> SearchedSetting:
        """A setting, if it can be searched.

        Raises:
            ConfigError: naming `tune.settings.KEY`.
        """
        plain, whole = plain_config(self.start), False
        start = value_at(plain, key)
        if given.choices is None:
            whole = self._is_whole(key, given, start)
        one = SearchedSetting(key=key, given=given, whole=whole, start=start)
        values = one.given.choices or (one.low, one.high)
        built = [self._built(key, value) for value in values]
        for value, config in zip(values, built, strict=True):
            if measured_on(config) != measured_on(self.start):
                raise self._refusal(
                    key,
                    f"{shown_value(value)} changes what the error of a trial is measured on, so "
                    "that trials cannot be compared; leave it out of the search",
                )
        if all(_of_model(config) == _of_model(built[0]) for config in built):
            raise self._refusal(
                key,
                "changes nothing in this configuration; leave it out, or use what it belongs to",
            )
        if given.choices is not None:  # which may say the same in other words
            same = (_of_model(config) == _of_model(self.start) for config in built)
            start = next((v for v, own in zip(given.choices, same, strict=True) if own), start)
        return replace(one, start=start)

    def _is_whole(self, key: str, given: RangeSettings, start: Any) -> bool:
        """Whether a setting takes whole numbers only, as its class says or refuses others."""
        low, high = given.low or 0.0, given.high or 0.0
        if not (low.is_integer() and high.is_integer()):
            return False
        if isinstance(start, int | float):
            return isinstance(start, int) and not isinstance(start, bool)
        try:
            inside = low + _INSIDE * (high - low)
            self.config({key: inside if not inside.is_integer() else inside + 0.25})
        except ConfigError:
            return True
        return False

    def _built(self, key: str, value: Any) -> Config:
        try:
            return self.config({key: value})
        except ConfigError as error:
            said = str(error).removeprefix(f"{self.source}: ")
            raise self._refusal(key, f"{shown_value(value)} cannot be used ({said})") from error

    def _refusal(self, key: str, problem: str) -> ConfigError:
        return ConfigError(f"{self.source}: setting 'tune.settings.{key}': {problem}")


def measured_on(config: Config) -> tuple[Any, ...]:
    """What errors of two configurations must share to be compared: data, target, and folds."""
    own, _ = encode(config.regression)
    network = isinstance(config.regression, Network)
    forces = None if config.forces is None else replace(config.forces, weight=None)
    parts = ("seed", "validation") if network else ("seed", "folds")
    return (
        config.data,
        config.target,
        config.component,
        forces,
        None if config.stress is None else config.stress.key,
        config.centers if config.target.per == "atom" else None,
        network,
        *(own.get(name) for name in parts),
    )


def _of_model(config: Config) -> dict[str, Any]:
    """All that a model is made of."""
    return {key: part for key, part in plain_config(config).items() if key not in _BESIDE}


def shown_value(value: Any) -> str:
    """A value as in a configuration, numbers with six digits."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)
