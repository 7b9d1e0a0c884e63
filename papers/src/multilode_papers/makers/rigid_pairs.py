"""Two rigid molecules at a minimum of their GFN2-xTB energy, and turned away from it."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from multilode_papers.makers.dimers import Pair, touching
from multilode_papers.makers.engines import (
    BOHR,
    EngineError,
    bohr_of,
    tblite_energy_and_gradient,
)
from multilode_papers.makers.fragments import Fragment

STATIONARY = 1e-4  # Hartree / Å, largest derivative with respect to a move
ARM = 2.0  # Å: a turn by an angle w is a move of ARM w
_ROUNDS = 3  # turns are counted from the orientation that the last round found
_STEPS = 60  # of one round


def drawn(a: Fragment, b: Fragment, rng: np.random.Generator) -> Pair:
    """Two molecules in random orientations, their van der Waals spheres in touch."""
    first, second = (Rotation.random(None, rng).apply(m.positions) for m in (a, b))
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    pair = Pair(a=a, b=b, first=first, second=second, direction=direction, contact=0.0, depth=0.0)
    return replace(pair, contact=touching(pair))


def relaxed(pair: Pair, solvent: str | None) -> Pair | None:
    """The pair at the nearest minimum of its energy as two rigid molecules.

    None where none is found: a derivative stays above `STATIONARY`, or the energy does not
    converge.

    Args:
        pair: where to begin.
        solvent: implicit solvent; None for vacuum.
    """
    for _ in range(_ROUNDS):
        try:
            found = minimize(
                lambda moves, start=pair: _objective(start, moves, solvent),
                np.zeros(6),
                jac=True,
                method="BFGS",
                options={"gtol": STATIONARY, "maxiter": _STEPS},
            )
        except EngineError:
            return None
        pair = replace(moved(pair, found.x), depth=float(found.fun))
        if np.abs(found.jac).max() < STATIONARY:
            return pair
    return None


def moved(pair: Pair, moves: Float[np.ndarray, "6"]) -> Pair:
    """The pair with its second molecule shifted and turned about its centre.

    Args:
        pair: the molecules.
        moves: shift (Å), and rotation vector (radian) times `ARM`.
    """
    center = pair.contact * pair.direction + moves[:3]
    contact = float(np.linalg.norm(center))
    second = Rotation.from_rotvec(moves[3:] / ARM).apply(pair.second)
    return replace(pair, second=second, direction=center / contact, contact=contact)


def turned(pair: Pair, degrees: float, rng: np.random.Generator) -> Pair:
    """Each molecule turned by an angle about an axis of its own through its centre."""
    turns = []
    for _ in range(2):
        axis = rng.normal(size=3)
        turns.append(Rotation.from_rotvec(np.deg2rad(degrees) * axis / np.linalg.norm(axis)))
    first, second = turns[0].apply(pair.first), turns[1].apply(pair.second)
    return replace(pair, first=first, second=second)


def rigid_energy(pair: Pair, solvent: str | None) -> tuple[float, Float[np.ndarray, "6"]]:
    """GFN2-xTB energy (Hartree), and its derivatives (Hartree / Å) with respect to `moved`.

    Raises:
        EngineError: if tblite is not installed or the energy does not converge.
    """
    positions = bohr_of(pair.at(pair.contact))
    charge = pair.a.charge + pair.b.charge
    energy, gradient = tblite_energy_and_gradient(pair.species, positions, charge, solvent=solvent)
    mine = gradient[len(pair.first) :]
    torque = np.cross(pair.second, mine).sum(axis=0) / ARM
    return energy, np.concatenate([mine.sum(axis=0), torque]) / BOHR


def _objective(start: Pair, moves: np.ndarray, solvent: str | None) -> tuple[float, np.ndarray]:
    energy, found = rigid_energy(moved(start, moves), solvent)
    found[3:] = _left_jacobian(moves[3:] / ARM).T @ found[3:]
    return energy, found


def _left_jacobian(turn: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Turn of the rotated frame for a change of a rotation vector (radian)."""
    angle = float(np.linalg.norm(turn))
    x, y, z = turn
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    if angle < 1e-4:
        return np.eye(3) + cross / 2 + cross @ cross / 6
    one = (1 - np.cos(angle)) / angle**2
    two = (angle - np.sin(angle)) / angle**3
    return np.eye(3) + one * cross + two * cross @ cross
