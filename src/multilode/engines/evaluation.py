"""A model as engines ask for it: energy, forces and virial of arrays, in eV and Å."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, final

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers
from ase.stress import voigt_6_to_full_3x3_stress
from jaxtyping import Bool, Float, Int

from multilode.engines.calculator import PredictorCalculator
from multilode.engines.energy_target import EngineError
from multilode.errors import UserError
from multilode.prediction.predictor import Predictor

Model = Predictor | str | Path | Calculator


@final
@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What a model says of a structure.

    Args:
        energy: in eV.
        forces: in eV/Å.
        virial: minus the derivative of the energy with respect to strain, in eV: the sum of r F of
            all atoms. Along axes without a period it is this sum itself. None if not asked for.
        results: everything that the calculator says, by the names of ASE.
    """

    energy: float
    forces: Float[np.ndarray, "atom 3"]
    virial: Float[np.ndarray, "3 3"] | None
    results: Mapping[str, Any]


def evaluate(
    calculator: Calculator,
    numbers: Int[np.ndarray, " atom"],
    positions: Float[np.ndarray, "atom 3"],
    cell: Float[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, "3"],
    *,
    virial: bool,
) -> Evaluated:
    """Energy, forces and virial of one structure.

    Args:
        calculator: from `calculator_of`.
        numbers: atomic numbers.
        positions: in Å.
        cell: rows are lattice vectors, in Å.
        pbc: periodicity along each of them.

    Raises:
        EngineError: if a number is not finite.
    """
    atoms = Atoms(numbers, positions, cell=cell, pbc=pbc)
    strained = virial and bool(pbc.any())
    wanted = ["energy", "forces", "stress"] if strained else ["energy", "forces"]
    calculator.calculate(atoms, wanted, all_changes)
    results = calculator.results
    energy, forces = float(results["energy"]), np.asarray(results["forces"], dtype=np.float64)
    found = None
    if virial:
        along = np.zeros((3, 3))
        if strained:
            along = -atoms.get_volume() * voigt_6_to_full_3x3_stress(results["stress"])
        found = _whole_virial(along, forces, atoms)
    for name, value in (("energy", energy), ("force", forces), ("virial", found)):
        if value is not None and not np.isfinite(value).all():
            raise EngineError(
                f"the model gives an {name} that is not finite; look at the structure, and at the "
                "model with 'multilode check'"
            )
    return Evaluated(energy=energy, forces=forces, virial=found, results=results)


def _whole_virial(
    along: Float[np.ndarray, "3 3"], forces: Float[np.ndarray, "atom 3"], atoms: Atoms
) -> Float[np.ndarray, "3 3"]:
    """With the components across axes without a period, which strain moves atoms along only."""
    periods = np.asarray(atoms.cell)[atoms.pbc]
    inside = np.linalg.pinv(periods) @ periods if len(periods) else np.zeros((3, 3))
    across = forces.T @ atoms.positions @ (np.eye(3) - inside)
    outer = inside @ across
    rest = across - outer
    return inside @ along @ inside + outer + outer.T + (rest + rest.T) / 2


def calculator_of(model: Model, elements: Sequence[int]) -> Calculator:
    """The calculator of a model, if it is one of an energy and knows the elements.

    Args:
        model: a trained model, the file that holds one, or a calculator of ASE.
        elements: atomic numbers that it will be asked about.

    Raises:
        EngineError: if it is none of these, has no energy, does not know an element, or needs
            numbers of atoms that engines do not have.
        ModelFileError: if the file cannot be used.
        UnitError: if the energy of the model cannot be converted.
    """
    if isinstance(model, Predictor | str | Path):
        model = _predictor_calculator(model)
    if not isinstance(model, Calculator):
        raise EngineError(
            f"the model is {type(model).__name__}; give a trained model, its file, or a calculator "
            "of ASE"
        )
    if isinstance(model, PredictorCalculator):
        _check_known(model.predictor, elements)
    return model


def _predictor_calculator(model: Predictor | str | Path) -> PredictorCalculator:
    try:
        return PredictorCalculator(model)
    except UserError:
        raise
    except ValueError as error:
        raise EngineError(f"{error}; other settings: PredictorCalculator(model, ...)") from error


def _check_known(predictor: Predictor, elements: Sequence[int]) -> None:
    known = predictor.representation.species
    missing = [symbol for symbol, z in atomic_numbers.items() if z in elements and z not in known]
    if missing:
        names = [symbol for symbol, z in atomic_numbers.items() if z in known]
        raise EngineError(
            f"the model does not know {', '.join(missing)}, only {', '.join(names)}; train it on "
            "structures that have it"
        )
    arrays = tuple(predictor.representation.arrays)
    if arrays:
        raise EngineError(
            f"the model needs '{arrays[0]}' of the atoms, which engines do not hand over; use it "
            "in ASE, with an array of this name"
        )


def element_number(symbol: object) -> int:
    """The atomic number of a chemical symbol.

    Raises:
        EngineError: if there is no such element.
    """
    number = atomic_numbers.get(symbol, 0) if isinstance(symbol, str) else 0
    if number == 0:
        raise EngineError(f"{symbol!r} is no chemical symbol; use those such as 'H' or 'Na'")
    return number


def installed(module: str, extra: str) -> ModuleType:
    """The Python module of an engine, imported when it is first needed.

    Args:
        module: its name.
        extra: of this package, that installs it.

    Raises:
        EngineError: if it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise EngineError(
            f"{module} cannot be imported ({error}); pip install 'multilode[{extra}]'"
        ) from error
