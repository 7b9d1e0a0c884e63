"""The data of the study of tensors: structures, tensors and splits into training and test."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from jaxtyping import Float
from torch import Tensor

from multilode.data.dataset import Dataset, concatenate, random_split
from multilode.data.io import read
from multilode.prediction.evaluation import target_values
from multilode.structures.batch import Structures

WATER_SEED = 1


@final
@dataclass(frozen=True, kw_only=True)
class Property:
    """A tensor of each structure.

    Args:
        tensor: its kind, a name in `multilode.cartesian.TENSORS`.
        unit: for tables.
        values: flattened.
    """

    tensor: str
    unit: str
    values: Float[Tensor, "structure cartesian"]


@final
@dataclass(frozen=True, kw_only=True)
class Data:
    """Structures and their tensors.

    Args:
        structures: those of all splits.
        properties: by name.
        splits: training and test structures, one pair or several.
        note: how the splits were made.
    """

    structures: Structures
    properties: Mapping[str, Property]
    splits: tuple[tuple[list[int], list[int]], ...]
    note: str


def water_clusters(folder: Path, name: str, tensors: Mapping[str, str]) -> Data:
    """1000 geometries of one cluster."""
    found = read(folder / "water_clusters" / f"water_{name}.xyz.gz")
    return Data(
        structures=found.structures,
        properties=_properties(found, tensors, "a.u."),
        splits=(_random(len(found), WATER_SEED),),
        note=f"800 training, 200 test structures at random, seed {WATER_SEED}",
    )


def bulk_water(folder: Path) -> Data:
    """1000 boxes of 32 molecules."""
    found = read(folder / "bulk_water" / "bulk_water.xyz.gz")
    sides = found.labels("split")
    train, test = ([i for i, s in enumerate(sides) if s == x] for x in ("train", "test"))
    properties = _properties(found, {"epsilon": "symmetric"}, "")
    properties |= _properties(found, {"alpha": "symmetric"}, "Å^3")
    return Data(
        structures=found.structures,
        properties=properties,
        splits=((train, test),),
        note=f"{len(train)} training, {len(test)} test boxes (key split of the file)",
    )


def qm7x(folder: Path, name: str, seeds: Iterable[int]) -> Data:
    """100 small molecules."""
    found = read(folder / "qm7x_polarizability" / f"qm7x_{name}.xyz")
    numbers = list(seeds)
    return Data(
        structures=found.structures,
        properties=_properties(found, {"alpha": "symmetric"}, "a.u."),
        splits=tuple(_random(len(found), seed) for seed in numbers),
        note=f"80 training, 20 test molecules at random, seeds {numbers[0]} to {numbers[-1]}",
    )


def dipeptides(folder: Path) -> Data:
    """550 polar dipeptides."""
    parts = [read(folder / "dipeptides" / f"{name}.xyz.gz") for name in ("train", "val")]
    found, n = concatenate(parts), len(parts[0])
    return Data(
        structures=found.structures,
        properties=_properties(found, {"mu": "vector"}, "e Å"),
        splits=((list(range(n)), list(range(n, len(found)))),),
        note=f"{n} training, {len(found) - n} test molecules (files train and val of the source)",
    )


def _properties(found: Dataset, tensors: Mapping[str, str], unit: str) -> dict[str, Property]:
    return {
        key: Property(tensor=tensor, unit=unit, values=target_values(found, key, tensor=tensor))
        for key, tensor in tensors.items()
    }


def _random(n: int, seed: int) -> tuple[list[int], list[int]]:
    train, test = random_split(n, 0.2, seed=seed)
    return train.tolist(), test.tolist()
