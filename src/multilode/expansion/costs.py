"""Measured costs of the units of work that expansion methods are made of."""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import final


@final
@dataclass(frozen=True)
class Costs:
    """Nanoseconds of one unit of work of each kind, measured by `benchmarks/calibrate.py`.

    Only ratios matter for the choice of a method. With derivatives each unit includes its part of
    the backward pass: what is arithmetic then takes about three times as long, what is memory more.
    """

    start: float  # of a structure, whatever its size
    phase: float  # cosine and sine of an atom and a wave, and their products
    product: float  # multiplication in a large matrix product
    wave: float  # column of a weight
    touched: float  # node around an atom, and channel
    derivative: float  # atom, channel and coefficient
    node: float  # mesh node and channel: transforms
    pair: float  # pair, apart from its channels
    pair_channel: float  # pair and radial channel


def costs_path() -> Path:
    """The file of measured costs that comes with the library."""
    return Path(str(files("multilode.expansion") / "costs.json"))


def read_costs(path: Path) -> tuple[Costs, Costs]:
    """Costs of values alone, and of values with their derivatives in the positions."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return Costs(**found["values"]), Costs(**found["derivatives"])


COSTS, DERIVATIVE_COSTS = read_costs(costs_path())
