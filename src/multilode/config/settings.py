"""Groups of settings that are read as they are; `config` builds objects from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, final

from multilode.config.codec_errors import Bounds
from multilode.data.stated_units import unit_of_forces, unit_of_stress
from multilode.data.units import factor

Seed = Annotated[int, Bounds(at_least=0, below=2**63)]
Radius = Annotated[float, Bounds(above=0, at_most=100)]  # Å; larger tables exhaust the memory
AtLeastOne = Annotated[int, Bounds(at_least=1)]
Names = Annotated[tuple[str, ...], Bounds(items=(1, None))]
Products = Annotated[
    tuple[Annotated[tuple[str, ...], Bounds(items=(1, 6))], ...], Bounds(items=(1, None))
]


@final
@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Files with the structures, and their split into training and test sets.

    Args:
        train: files; paths are relative to the configuration file.
        test: files that are never trained on.
        test_fraction: part of `train` that is set aside at random for the test.
        split: key whose value, `train` or `test`, says where a structure of `train` belongs.
        seed: seed of the random test set.
        group: key that keeps structures together in cross-validation, and by which errors are
            listed.
        weights: key of how much the squared errors of a structure count in the fit.

    Raises:
        ValueError: if the test set is given in two ways.
    """

    train: Names
    test: tuple[str, ...] = ()
    test_fraction: Annotated[float, Bounds(at_least=0, below=1)] = 0.0
    split: str | None = None
    seed: Seed = 0
    group: str | None = None
    weights: str | None = None

    def __post_init__(self) -> None:
        if sum([bool(self.test), self.test_fraction > 0, self.split is not None]) > 1:
            raise ValueError("use only one of test, test_fraction and split")


@final
@dataclass(frozen=True, kw_only=True)
class ForceSettings:
    """Forces to learn from beside the energies.

    Args:
        key: name of the forces in the files, of each atom.
        weight: Å; an error of 1 unit/Å in a component counts as much as one of `weight` units in an
            energy. By default all forces together count as much as all energies together.
        directions: number of directions per structure, drawn at random, along which forces are
            learned; by default every component.
        seed: of the directions.
        unit: of the forces in the files, such as `Hartree/bohr`, which are converted to that of the
            energy per Å; by default they are in it.
    """

    key: str = "forces"
    weight: Annotated[float, Bounds(above=0)] | None = None
    directions: AtLeastOne | None = None
    seed: Seed = 0
    unit: str | None = None

    def factor(self, energy: str) -> float:
        """What the forces are multiplied with to be in a unit of energy per Å.

        Raises:
            ValueError: if the unit is not known, or none of forces.
        """
        return _factor(self.unit, energy, unit_of_forces(energy))

    def given_unit(self, energy: str) -> str:
        """The unit of the forces in the files; empty if that of the energy is not known."""
        return self.unit or unit_of_forces(energy)


@final
@dataclass(frozen=True, kw_only=True)
class StressSettings:
    """Stresses to learn from beside the energies.

    Args:
        key: name of the stress in the files: 3x3, or 6 numbers in the order xx, yy, zz, yz, xz, xy.
            Values of a key that ends in `virial` or `virials` are divided by minus the volume.
        weight: Å^3; an error of 1 unit/Å^3 in a component counts as much as one of `weight` units
            in an energy. By default all stresses together count as much as all energies together.
        unit: of the stresses in the files, such as `GPa`, which are converted to that of the energy
            per Å^3; by default they are in it. Of virials a unit of energy.
    """

    key: str = "stress"
    weight: Annotated[float, Bounds(above=0)] | None = None
    unit: str | None = None

    def factor(self, energy: str) -> float:
        """What the stresses are multiplied with to be in a unit of energy per Å^3.

        Raises:
            ValueError: if the unit is not known, or none of stresses (of virials, energies).
        """
        return _factor(self.unit, energy, unit_of_stress(self.key, energy))

    def given_unit(self, energy: str) -> str:
        """The unit of the stresses in the files; empty if that of the energy is not known."""
        return self.unit or unit_of_stress(self.key, energy)


def _factor(given: str | None, energy: str, wanted: str) -> float:
    if given is None:
        return 1.0
    if not energy:
        raise ValueError(f"{given} has nothing to be converted to; give target.unit as well")
    return factor(given, wanted)


@final
@dataclass(frozen=True, kw_only=True)
class CommitteeSettings:
    """Members of a committee; the ranges are those of `models.Committee`.

    Args:
        n_members: their number.
        fraction: part of the data that each sees.
        seed: of these parts.
    """

    n_members: int = 8
    fraction: float = 0.8
    seed: Seed = 0


@final
@dataclass(frozen=True, kw_only=True)
class CurveSettings:
    """A learning curve.

    Args:
        sizes: numbers of training structures; by default five, doubling up to all.
        repeats: random subsets of each size.
        seed: of the subsets.
    """

    sizes: tuple[Annotated[int, Bounds(at_least=2)], ...] | None = None
    repeats: AtLeastOne = 4
    seed: Seed = 0


@final
@dataclass(frozen=True, kw_only=True)
class RangeSettings:
    """Values that a search may give to one setting: a range, or a list.

    Args:
        low: smallest value of a range; of a setting that is a whole number all values are.
        high: largest value.
        log: whether a range is searched evenly in its logarithm.
        choices: values of any kind, in the place of a range.

    Raises:
        ValueError: if it is neither a range nor a list of different values.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: Annotated[tuple[Any, ...], Bounds(items=(2, None))] | None = None

    def __post_init__(self) -> None:
        ends = (self.low, self.high)
        if self.choices is not None:
            if ends != (None, None) or self.log:
                raise ValueError("choices stand alone; leave out low, high and log")
            if any(value in self.choices[:k] for k, value in enumerate(self.choices)):
                raise ValueError("choices has a value twice; give each once")
            return
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if not self.low < self.high:
            raise ValueError(f"low is {self.low:g} and high {self.high:g}; low must be smaller")
        if self.log and not self.low > 0:
            raise ValueError(f"low is {self.low:g}; of a logarithm it must be larger than 0")


@final
@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """A search for better settings.

    Args:
        trials: number of configurations that are tried, the one that is given among them.
        seed: of what is tried.
        settings: values to try by dotted key, as in `estimator.scaling`; by default what follows
            from the configuration.
    """

    trials: AtLeastOne = 30
    seed: Seed = 0
    settings: Mapping[str, RangeSettings] = field(default_factory=dict)
