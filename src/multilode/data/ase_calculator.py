"""Energies, forces and stresses that a calculator of ASE gives for the structures of a data set."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, final

import numpy as np
from ase.calculators.calculator import BaseCalculator
from jaxtyping import Float

from multilode.data.ase_atoms import to_ase
from multilode.data.dataset import DataError, Dataset


@final
@dataclass(frozen=True, kw_only=True)
class Calculated:
    """What a calculator says of structures.

    Args:
        energies: in eV.
        forces: in eV/Å, if they were asked for.
        stresses: in eV/Å^3, if they were asked for.
    """

    energies: Float[np.ndarray, " structure"]
    forces: Float[np.ndarray, "atom 3"] | None
    stresses: Float[np.ndarray, "structure 3 3"] | None


def calculated(dataset: Dataset, calculator: Any, *, forces: bool, stress: bool) -> Calculated:
    """Ask a calculator about one structure after the other.

    Args:
        dataset: whose columns are `info` and `arrays` of what the calculator sees.
        calculator: of ASE.

    Raises:
        DataError: if it fails, or has no such property, or gives a number that is not finite.
    """
    energies, all_forces, stresses = [], [], []
    for number, image in enumerate(to_ase(dataset)):
        image.calc = calculator
        try:
            energies.append(image.get_potential_energy())
            if forces:  # also those of atoms that ASE is told to hold in place
                all_forces.append(image.get_forces(apply_constraint=False))
            if stress:
                stresses.append(image.get_stress(voigt=False, apply_constraint=False))
        # whatever a stranger's calculator raises is an answer about this structure
        except Exception as error:
            raise _error(dataset, number, calculator, f"failed ({error})") from error
        said = [energies[-1], *all_forces[-1:], *stresses[-1:]]
        if not all(np.isfinite(value).all() for value in said):
            raise _error(dataset, number, calculator, "gave a number that is not finite")
    return Calculated(
        energies=np.array(energies, dtype=np.float64),
        forces=np.concatenate(all_forces).astype(np.float64) if forces else None,
        stresses=np.array(stresses, dtype=np.float64) if stress else None,
    )


def make_calculator(path: str, arguments: Mapping[str, Any]) -> Any:
    """A calculator from the import path of its class; nothing but classes of calculators is called.

    Args:
        path: such as `ase.calculators.lj.LennardJones`.
        arguments: of its constructor, by name.

    Raises:
        ValueError: if there is no such class, it is no calculator of ASE, or refuses the arguments.
    """
    module, _, name = path.rpartition(".")
    advice = "give the import path of a class, such as ase.calculators.lj.LennardJones"
    if not module:
        raise ValueError(f"'{path}' has no module; {advice}")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"'{path}' cannot be imported ({error}); {advice}") from error
    if not (isinstance(found, type) and issubclass(found, BaseCalculator)):
        raise ValueError(f"'{path}' is no class of ASE's calculators; {advice}")
    try:
        return found(**arguments)
    except Exception as error:
        raise ValueError(f"'{path}' refuses its arguments ({error}); correct them") from error


def _error(dataset: Dataset, number: int, calculator: Any, problem: str) -> DataError:
    file, frame = dataset.source[number]
    return DataError(
        f"the calculator {type(calculator).__name__}, which is the baseline, {problem}",
        remedy="remove the structure, or use another calculator",
        file=file or None,
        frame=frame,
    )
