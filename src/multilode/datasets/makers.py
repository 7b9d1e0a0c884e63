"""Who makes which data set; modules are imported when they are needed."""

from collections.abc import Callable
from pathlib import Path

from multilode.data.dataset import Dataset
from multilode.progress import Progress

# make(folder, *, count, workers, progress): parts that are done are kept in the folder
Maker = Callable[..., Dataset]


def _point_charges(
    folder: Path, *, count: int | None, workers: int, progress: Progress | None
) -> Dataset:
    from multilode.datasets.point_charges import make

    return make(folder, count=count, workers=workers, progress=progress)


def _water_co2(
    folder: Path, *, count: int | None, workers: int, progress: Progress | None
) -> Dataset:
    from multilode.datasets.water_co2 import make

    return make(folder, count=count, workers=workers, progress=progress)


def _dimers(folder: Path, *, count: int | None, workers: int, progress: Progress | None) -> Dataset:
    from multilode.datasets.dimers import make

    return make(folder, count=count, workers=workers, progress=progress)


def _neutral_dimers(
    folder: Path, *, count: int | None, workers: int, progress: Progress | None
) -> Dataset:
    from multilode.datasets.neutral_dimers import make

    return make(folder, count=count, workers=workers, progress=progress)


def _lithium_water(
    folder: Path, *, count: int | None, workers: int, progress: Progress | None
) -> Dataset:
    from multilode.datasets.lithium_water import make

    return make(folder, count=count, workers=workers, progress=progress)


def _polypeptides(
    folder: Path, *, count: int | None, workers: int, progress: Progress | None
) -> Dataset:
    from multilode.datasets.polypeptides import make

    return make(folder, count=count, workers=workers, progress=progress)


def _water_dielectric(
    folder: Path, *, count: int | None, workers: int, progress: Progress | None
) -> Dataset:
    from multilode.datasets.water_dielectric import make

    return make(folder, count=count, workers=workers, progress=progress)


MAKERS: dict[str, Maker] = {
    "point-charges": _point_charges,
    "water-co2": _water_co2,
    "dimers": _dimers,
    "neutral-dimers": _neutral_dimers,
    "lithium-water": _lithium_water,
    "polypeptides": _polypeptides,
    "water-dielectric": _water_dielectric,
}
