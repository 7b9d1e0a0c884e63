"""Models in OpenMM: energies and forces through its `PythonForce`.

from multilode.engines.openmm import add_force

system = openmm.System()  # with the masses of the particles, and other forces if wanted
add_force(system, pdb.topology, "model.safetensors")
context = openmm.Context(system, openmm.LangevinMiddleIntegrator(300, 1, 0.0005))
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator

from multilode.data.units import factor
from multilode.engines.evaluation import (
    EngineError,
    Model,
    calculator_of,
    element_number,
    evaluate,
    installed,
)

_ENERGY, _LENGTH = "kJ/mol", "nm"  # the units of OpenMM


def add_force(
    system: Any,
    atoms: Any,
    model: Model,
    *,
    particles: Sequence[int] | None = None,
    periodic: bool | Sequence[bool] | None = None,
) -> Any:
    """Add energy and forces of a model to a system of OpenMM.

    Make the context afterwards. Where a model cannot be computed, OpenMM raises its own exception
    with the message. A system with this force cannot be written as XML.

    Args:
        system: with all its particles.
        atoms: the topology, or the chemical symbol of each particle of the system.
        model: a trained model, its file, or a calculator of ASE; `PredictorCalculator` has the
            settings.
        particles: numbers of those that the model describes, counted from 0; by default all. They
            do not feel the others, beside what other forces do.
        periodic: whether there are periods along the box vectors, one answer or three; by default
            as the topology says.

    Returns:
        The force, which the system has now.

    Raises:
        EngineError: if OpenMM is not installed, symbols, particles or periods do not fit, or the
            model has no energy or does not know an element.
        ModelFileError: if the file cannot be used.
        UnitError: if the energy of the model cannot be converted.
    """
    openmm = installed("openmm", "openmm")
    if not hasattr(openmm, "PythonForce"):
        raise EngineError(
            f"OpenMM {openmm.__version__} has no PythonForce; pip install 'multilode[openmm]'"
        )
    pbc = _periods(atoms, periodic=periodic)
    chosen = _chosen(system.getNumParticles(), particles)
    numbers = _numbers_of(atoms, system.getNumParticles(), chosen)
    calculator = calculator_of(model, sorted(set(numbers.tolist())))
    force = openmm.PythonForce(_computation(calculator, numbers, pbc))
    if particles is not None:
        force.setParticles(chosen)
    force.setUsesPeriodicBoundaryConditions(bool(pbc.any()))
    system.addForce(force)
    return force


def _computation(
    calculator: Calculator, numbers: np.ndarray, pbc: np.ndarray
) -> Callable[[Any], tuple[float, np.ndarray]]:
    """What OpenMM calls: energy and forces of a state, in its units."""
    length, energy = factor(_LENGTH, "Å"), factor("eV", _ENERGY)

    def compute(state: Any) -> tuple[float, np.ndarray]:
        positions = length * np.array(state.getPositions(asNumpy=True)._value)
        cell = np.zeros((3, 3))
        if pbc.any():
            cell = length * np.array(state.getPeriodicBoxVectors(asNumpy=True)._value)
        found = evaluate(calculator, numbers, positions, cell, pbc, virial=False)
        return energy * found.energy, energy * length * found.forces

    return compute  # a closure, which OpenMM cannot pickle: it would copy the model


def _periods(atoms: Any, *, periodic: bool | Sequence[bool] | None) -> np.ndarray:
    if periodic is None:
        if not hasattr(atoms, "getPeriodicBoxVectors"):
            raise EngineError(
                "symbols do not say whether there are periods; add periodic=True, False, or one "
                "answer for each box vector"
            )
        periodic = atoms.getPeriodicBoxVectors() is not None
    given = np.asarray(periodic, dtype=bool)
    if given.shape not in ((), (3,)):
        raise EngineError(f"periodic is {periodic!r}; give one answer, or one for each box vector")
    return np.broadcast_to(given, 3).copy()


def _chosen(n: int, particles: Sequence[int] | None) -> list[int]:
    if particles is None:
        return list(range(n))
    chosen = [int(k) for k in particles]
    wrong = [k for k in chosen if not 0 <= k < n]
    if wrong:
        raise EngineError(f"particle {wrong[0]} is none of the system, which has 0 to {n - 1}")
    if not chosen or len(set(chosen)) < len(chosen):
        raise EngineError("particles must be at least one, and none of them twice")
    return chosen


def _numbers_of(atoms: Any, n: int, chosen: Sequence[int]) -> np.ndarray:
    """Atomic numbers of the chosen particles."""
    if hasattr(atoms, "atoms"):
        symbols = [atom.element.symbol if atom.element else None for atom in atoms.atoms()]
    else:
        symbols = list(atoms)
    if len(symbols) != n:
        raise EngineError(
            f"there are {len(symbols)} symbols for the {n} particles of the system; give one for "
            "each, also of those that the model does not describe"
        )
    for k in chosen:
        if symbols[k] is None:
            raise EngineError(f"particle {k} is no atom; leave it out of particles=[...]")
    return np.array([element_number(symbols[k]) for k in chosen], dtype=np.int64)
