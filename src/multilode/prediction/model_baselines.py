"""Baselines that are other models: columns of the data, or a calculator of ASE.

Their values are subtracted from the data before anything is fitted, and added to predictions. The
baseline that suits the target is fitted to what they leave.
"""

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.data.dataset import DataError, Dataset
from multilode.errors import DataWarning
from multilode.models.targets import Reduce, Target
from multilode.prediction.baseline import (
    BASELINES,
    AbstractBaseline,
    CompositionBaseline,
    FittedBaseline,
    IsotropicBaseline,
    MeanBaseline,
)
from multilode.prediction.reference_values import force_values, stress_values, target_values
from multilode.structures.batch import Structures


@final
@dataclass(frozen=True, kw_only=True)
class ModelValues:
    """What another model says of structures, in the units of the target.

    Args:
        values: one row per structure, or atom.
        forces: if they were asked for.
        stress: if it was asked for.
    """

    values: Float[Tensor, "row target"]
    forces: Float[Tensor, "atom 3"] | None = None
    stress: Float[Tensor, "structure 3 3"] | None = None


class AbstractModelBaseline(AbstractBaseline):
    """Another model, whose values are subtracted from the data and added to predictions."""

    live: Any  # the calculator that computes it for any atoms; None if there is none at hand

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called in errors."""

    @abstractmethod
    def check(self, target: Target, *, forces: bool) -> None:
        """Raise a ValueError if it cannot be the baseline of the target, or of its forces."""

    @abstractmethod
    def values(
        self, dataset: Dataset, target: Target, *, forces: bool = False, stress: bool = False
    ) -> ModelValues:
        """Its values for a data set.

        Raises:
            DataError: if they are missing in the data, or cannot be computed.
            ValueError: if the model has no such property, or its calculator is not given.
        """

    @abstractmethod
    def computed_by(self, calculator: Any) -> "CalculatorBaseline":
        """The same model, computed by a calculator.

        Raises:
            ValueError: if it is known to be another model.
        """

    def fit(
        self,
        structures: Structures,
        y: Float[Tensor, "structure target"],
        *,
        reduce: Reduce,
        species: tuple[int, ...] | None = None,
    ) -> FittedBaseline:
        """The composition, or the mean of intensive targets, of what this model leaves.

        Args:
            y: targets from which its values are subtracted already.
        """
        own = CompositionBaseline() if reduce == "sum" else MeanBaseline()
        return replace(own.fit(structures, y, reduce=reduce, species=species), model=self)


@final
@dataclass(frozen=True, kw_only=True)
class ColumnBaseline(AbstractModelBaseline):
    """Columns of the data, with what another model predicts.

    Args:
        column: key of its values of the target.
        forces: key of its forces.
        stress: key of its stress: 3x3, or 6 numbers in the order xx, yy, zz, yz, xz, xy.
    """

    column: str
    forces: str | None = None
    stress: str | None = None
    live: None = field(init=False, default=None, repr=False)

    @property
    def name(self) -> str:
        """That of the column."""
        return f"whose values are in the column '{self.column}'"

    def check(
        self,
        target: Target,  # noqa: ARG002 - the interface of these baselines
        *,
        forces: bool,
    ) -> None:
        """Forces can be learned if there is a column of forces."""
        if forces:
            self._key(self.forces, "forces")

    def values(
        self, dataset: Dataset, target: Target, *, forces: bool = False, stress: bool = False
    ) -> ModelValues:
        """The columns of the data set."""
        keys = [self._key(self.forces, "forces")] if forces else []
        pressed = [self._key(self.stress, "stress")] if stress else []
        own, others = ([self.column], keys) if target.per == "structure" else ([], [self.column])
        for key in (*own, *pressed):
            _require(dataset, key, dataset.columns.get(key), target)
        for key in others:
            _require(dataset, key, dataset.atom_columns.get(key), target)
        return ModelValues(
            # of atoms that are no centers there need be none
            values=target_values(dataset, self.column, None, target.tensor, target.per, ()),
            forces=force_values(dataset, keys[0]) if keys else None,
            stress=stress_values(dataset, pressed[0]) if pressed else None,
        )

    def computed_by(self, calculator: Any) -> "CalculatorBaseline":
        """With the calculator that is said to have made the columns."""
        return CalculatorBaseline(calculator)

    def _key(self, key: str | None, name: str) -> str:
        if key is None:
            raise ValueError(
                f"the baseline is the column '{self.column}', for whose {name} no key was given; "
                f"give it as '{name}' of the baseline and train again"
            )
        return key


@final
@dataclass(frozen=True)
class CalculatorBaseline(AbstractModelBaseline):
    """Energies, forces and stresses of a calculator of ASE.

    A model file keeps the name and the plain parameters of the calculator, never more: nothing is
    imported or run because a file says so, and whoever loads the model gives the calculator again.

    Args:
        calculator: a calculator of ASE, which is kept as `live`, or the import path of its class.
        arguments: of its constructor; of a calculator, its plain parameters.

    Raises:
        ValueError: if it is no calculator.
    """

    calculator: object
    arguments: Mapping[str, Any] = field(default_factory=dict)
    live: Any = field(init=False, default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = self.calculator
        if isinstance(given, str):
            return
        if not callable(getattr(given, "get_potential_energy", None)):
            raise ValueError(
                f"the baseline is {given!r}, which is no calculator of ASE; give one, or the "
                "import path of its class"
            )
        own = type(given)
        object.__setattr__(self, "live", given)  # the class is frozen
        object.__setattr__(self, "calculator", f"{own.__module__}.{own.__qualname__}")
        object.__setattr__(self, "arguments", _plain(getattr(given, "parameters", None) or {}))

    @property
    def name(self) -> str:
        """Name of the calculator's class."""
        return str(self.calculator).rpartition(".")[2]

    def made(self) -> "CalculatorBaseline":
        """The same with a calculator made from the import path.

        Raises:
            ValueError: if there is no such class, or it refuses the arguments.
        """
        from multilode.data.ase_calculator import make_calculator  # ASE takes long to import

        made = CalculatorBaseline(self.calculator, self.arguments)
        live = make_calculator(str(self.calculator), self.arguments)
        object.__setattr__(made, "live", live)
        return made

    def check(self, target: Target, *, forces: bool) -> None:  # noqa: ARG002
        """Calculators have energies in eV and their derivatives."""
        if target.per != "structure" or target.reduce != "sum" or target.tensor is not None:
            raise ValueError(
                f"a calculator gives energies, and '{target.key}' is none; give the values of "
                "another model as a column"
            )
        if target.unit not in ("", "eV"):
            raise ValueError(
                f"calculators of ASE give eV, '{target.key}' is in {target.unit}; convert the data"
            )

    def values(
        self, dataset: Dataset, target: Target, *, forces: bool = False, stress: bool = False
    ) -> ModelValues:
        """One call of the calculator for each structure."""
        if self.live is None:
            raise ValueError(
                f"this model predicts only what the calculator {self.name} leaves of "
                f"'{target.key}'; give that calculator: PredictorCalculator(model, baseline="
                "calculator), predictor.with_calculator(calculator), or --baseline config.yaml on "
                "the command line"
            )
        from multilode.data.ase_calculator import calculated

        said = calculated(dataset, self.live, forces=forces, stress=stress)
        return ModelValues(
            values=torch.from_numpy(said.energies)[:, None],
            forces=None if said.forces is None else torch.from_numpy(said.forces),
            stress=None if said.stresses is None else torch.from_numpy(said.stresses),
        )

    def computed_by(self, calculator: Any) -> "CalculatorBaseline":
        """With the calculator of the same class.

        Warns:
            DataWarning: if a parameter differs from that of the training.
        """
        given = calculator
        if not isinstance(calculator, CalculatorBaseline):
            given = CalculatorBaseline(calculator)
        if given.name != self.name:
            raise ValueError(
                f"the model was trained on what the calculator {self.name} leaves, and got a "
                f"{given.name}; give a calculator of that class"
            )
        both = set(given.arguments) & set(self.arguments)
        changed = sorted(k for k in both if given.arguments[k] != self.arguments[k])
        if changed:
            said = ", ".join(
                f"{k} {given.arguments[k]!r} (trained on {self.arguments[k]!r})" for k in changed
            )
            note = f"the calculator {self.name} of the baseline has other parameters: {said}"
            warnings.warn(DataWarning(note), stacklevel=3)
        return given


# beside those in `baseline.py`; the names stand in `target.baseline` and in model files
BASELINES |= {"column": ColumnBaseline, "calculator": CalculatorBaseline}


def model_of(baseline: AbstractBaseline | None) -> AbstractModelBaseline | None:
    """The other model of a baseline, if it has one."""
    if isinstance(baseline, IsotropicBaseline):
        return model_of(baseline.baseline)
    return baseline if isinstance(baseline, AbstractModelBaseline) else None


def _require(dataset: Dataset, key: str, found: tuple | None, target: Target) -> None:
    """Raise unless every structure has something under the key of a baseline."""
    values = found or (None,) * len(dataset)
    missing = [number for number, value in enumerate(values) if value is None]
    if missing:
        file, frame = dataset.source[missing[0]]
        raise DataError(
            f"is missing, and the model predicts only what its baseline leaves of '{target.key}'",
            remedy="give every structure this value of the other model, or the model itself, "
            "predictor.with_calculator(calculator)",
            file=file or None,
            frame=frame,
            key=key,
        )


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that a file can keep: numbers, words and lists of them."""

    def is_plain(value: Any) -> bool:
        if isinstance(value, list | tuple):
            return all(map(is_plain, value))
        return value is None or isinstance(value, bool | int | float | str)

    kept = {str(k): v for k, v in dict(parameters).items() if is_plain(v)}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in kept.items()}
