"""What the energies, forces and stresses of any calculator of ASE must satisfy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from jaxtyping import Float

# Å, or relative, of differences of fourth order; the second where the first crosses an edge of a
# cutoff, at which forces have a kink
_STEPS = (1e-3, 1e-4)
_FAR = 1e5  # Å, between structures that should not feel each other
_DIRECTIONS = 3  # along which all atoms are displaced


@final
@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one check.

    Args:
        check: its name.
        deviation: the largest; infinite if the calculator failed.
        allowed: the largest that is right.
        unit: of both.
        remark: what was compared, or the message of the calculator.
    """

    check: str
    deviation: float
    allowed: float
    unit: str
    remark: str

    @property
    def passed(self) -> bool:
        """Whether the deviation is allowed."""
        return bool(self.deviation <= self.allowed)

    def __str__(self) -> str:
        word = "passed" if self.passed else "FAILED"
        numbers = f"{self.deviation:.2g} {self.unit}, allowed {self.allowed:.2g}"
        return f"{self.check}: {word}, {numbers} ({self.remark})"


@final
@dataclass(frozen=True, kw_only=True)
class _Subject:
    """A calculator, a structure, and what is asked of them."""

    make: Callable[[], Any]
    calculator: Any
    atoms: Any
    energy: float
    force: float
    stress: float

    def evaluated(self, atoms: Any) -> tuple[float, np.ndarray]:
        """Energy and forces."""
        moved = atoms.copy()
        moved.calc = self.calculator
        return float(moved.get_potential_energy()), moved.get_forces(apply_constraint=False)

    def of_energy(self, check: str, found: float, expected: float, n: int, remark: str) -> Outcome:
        """Energies of n atoms that should be the same."""
        return Outcome(
            check=check,
            deviation=_finite(abs(found - expected) / n),
            allowed=self.energy,
            unit="eV/atom",
            remark=f"energy, {remark}",
        )

    def of_forces(
        self, check: str, found: np.ndarray, expected: np.ndarray, remark: str
    ) -> Outcome:
        """Forces that should be the same."""
        return Outcome(
            check=check,
            deviation=_finite(np.abs(found - expected).max()),
            allowed=self.force,
            unit="eV/Å",
            remark=f"forces, {remark}",
        )

    def same(
        self,
        check: str,
        changed: Any,
        remark: str,
        forces: Callable[[np.ndarray], np.ndarray] = np.asarray,
    ) -> list[Outcome]:
        """Another description of the structure: the energy, and forces as they should change."""
        (energy, own), (found, others) = self.evaluated(self.atoms), self.evaluated(changed)
        return [
            self.of_energy(check, found, energy, len(self.atoms), remark),
            self.of_forces(check, others, forces(own), remark),
        ]


def check_calculator(
    make_calculator: Callable[[], Any],
    atoms: Any,
    *,
    skip: Sequence[str] = (),
    energy: float = 1e-6,
    force: float = 1e-5,
    stress: float = 1e-6,
) -> list[Outcome]:
    """A calculator of ASE gives what physics demands of energies, forces and stresses.

    `repeat`: the same numbers again, whatever was computed before. `translation`, `rotation` (and a
    reflection), `permutation`, `wrapping` (atoms in other cells): the energy stays, forces go
    along. `gradients`: forces are those of differences of the energy. `strain`: so is the stress,
    of layers and wires along their periods. `supercell`: twice the cell, twice the energy.
    `extensivity`: two copies without end between them have twice the energy; `dissociation`: atoms
    without end between them that of each alone; both extrapolated from distances of 10^5 Å and
    twice that, which an interaction of 1/R passes. Checks that the periodicity rules out are left
    out.

    Args:
        make_calculator: makes a new calculator.
        atoms: structure of ASE with all that the calculator needs, not one at a minimum.
        skip: names of checks to leave out.
        energy: allowed deviation in eV per atom.
        force: in eV/Å, of any component.
        stress: in eV/Å^3.

    Returns:
        All outcomes, which say by how much, also of what passes.

    Raises:
        AssertionError: if a check fails, with a line for each.
        ValueError: if there is no check of a name in `skip`.
    """
    unknown = [name for name in skip if name not in CALCULATOR_CHECKS]
    if unknown:
        raise ValueError(f"no check is called {unknown[0]!r}; use {', '.join(CALCULATOR_CHECKS)}")
    limits = {"energy": energy, "force": force, "stress": stress}
    calculator = make_calculator()
    subject = _Subject(make=make_calculator, calculator=calculator, atoms=atoms, **limits)
    outcomes: list[Outcome] = []
    for name, check in CALCULATOR_CHECKS.items():
        if name in skip:
            continue
        try:
            outcomes += check(subject)
        # whatever a stranger's calculator raises is what the check has found
        except Exception as error:
            remark = f"{type(error).__name__}: {error}"
            failed = Outcome(check=name, deviation=np.inf, allowed=0.0, unit="", remark=remark)
            outcomes.append(failed)
            subject = replace(subject, calculator=make_calculator())  # that one may be spoiled
    wrong = [outcome for outcome in outcomes if not outcome.passed]
    if wrong:
        lines = "\n".join(f"  {outcome}" for outcome in wrong)
        raise AssertionError(f"{len(wrong)} of {len(outcomes)} checks of a calculator:\n{lines}")
    return outcomes


def _finite(deviation: Any) -> float:
    return float(deviation) if np.isfinite(deviation) else np.inf


def _repeat(subject: _Subject) -> list[Outcome]:
    """A calculator that has seen another structure, beside a new one."""
    atoms = subject.atoms
    other = atoms.copy()
    other.positions += 0.05 * _random(atoms.positions.shape, seed=1)
    subject.evaluated(other)
    again, others = subject.evaluated(atoms)
    energy, forces = replace(subject, calculator=subject.make()).evaluated(atoms)
    remark = "after another structure, beside a new calculator"
    return [
        subject.of_energy("repeat", again, energy, len(atoms), remark),
        subject.of_forces("repeat", others, forces, remark),
    ]


def _translation(subject: _Subject) -> list[Outcome]:
    moved = subject.atoms.copy()
    moved.positions += (1.37, -0.41, 2.93)
    return subject.same("translation", moved, "all atoms moved")


def _rotation(subject: _Subject) -> list[Outcome]:
    proper, _ = np.linalg.qr(_random((3, 3), seed=2))
    proper *= np.sign(np.linalg.det(proper))
    outcomes = []
    for matrix, remark in ((proper, "rotated"), (-proper, "rotated and reflected")):
        outcomes += subject.same(
            "rotation", _turned(subject.atoms, matrix), remark, lambda f, m=matrix: f @ m.T
        )
    return outcomes


def _turned(atoms: Any, matrix: Float[np.ndarray, "3 3"]) -> Any:
    turned = atoms.copy()
    turned.set_cell(np.asarray(atoms.cell) @ matrix.T)
    turned.positions[:] = atoms.positions @ matrix.T
    return turned


def _permutation(subject: _Subject) -> list[Outcome]:
    order = np.roll(np.arange(len(subject.atoms)), 1)
    changed = subject.atoms[order]
    return subject.same("permutation", changed, "atoms in another order", lambda f: f[order])


def _wrapping(subject: _Subject) -> list[Outcome]:
    atoms = subject.atoms
    if not atoms.pbc.any():
        return []
    shifts = np.random.default_rng(4).integers(-2, 3, (len(atoms), 3)) * atoms.pbc
    shifts[0] = np.where(atoms.pbc, (1, -2, 1), 0)  # at least this one
    moved = atoms.copy()
    moved.positions += shifts @ np.asarray(atoms.cell)
    return subject.same("wrapping", moved, "atoms in other cells")


def _gradients(subject: _Subject) -> list[Outcome]:
    atoms, generator = subject.atoms, np.random.default_rng(5)
    forces = subject.evaluated(atoms)[1]
    worst = 0.0
    for _ in range(_DIRECTIONS):
        signs = generator.choice((-1.0, 1.0), size=forces.shape)

        def displaced(step: float, signs: np.ndarray = signs) -> Any:
            moved = atoms.copy()
            moved.positions += step * signs
            return moved

        sum_of_all = -float((forces * signs).sum())
        worst = max(worst, _from_slope(subject, displaced, sum_of_all, subject.force))
    return [
        Outcome(
            check="gradients",
            deviation=worst,
            allowed=subject.force,
            unit="eV/Å",
            remark="sums of forces with random signs, beside differences of the energy",
        )
    ]


def _strain(subject: _Subject) -> list[Outcome]:
    atoms = subject.atoms
    if not atoms.pbc.any() or atoms.cell.rank != 3:
        return []
    strained = atoms.copy()
    strained.calc = subject.calculator
    stress = strained.get_stress(voigt=False, apply_constraint=False)
    cell, inside = np.asarray(atoms.cell), _along_periods(atoms)
    worst, volume = 0.0, atoms.get_volume()
    for first, second in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        direction = np.zeros((3, 3))
        direction[first, second] += 0.5
        direction[second, first] += 0.5
        direction = inside @ direction @ inside

        def deformed(step: float, direction: np.ndarray = direction) -> Any:
            moved = atoms.copy()
            moved.set_cell(cell + step * cell @ direction)
            moved.positions[:] = atoms.positions + step * atoms.positions @ direction
            return moved

        along = volume * float((stress * direction).sum())
        worst = max(worst, _from_slope(subject, deformed, along, volume * subject.stress))
    return [
        Outcome(
            check="strain",
            deviation=float(worst / volume),
            allowed=subject.stress,
            unit="eV/Å^3",
            remark="stress, beside differences of the energy",
        )
    ]


def _from_slope(
    subject: _Subject, moved: Callable[[float], Any], found: float, allowed: float
) -> float:
    """By how much a derivative of the energy differs from four differences."""
    deviation = np.inf
    for step in _STEPS:
        a, b, c, d = (subject.evaluated(moved(n * step))[0] for n in (-2, -1, 1, 2))
        slope = (a - 8 * b + 8 * c - d) / (12 * step)
        deviation = min(deviation, _finite(abs(slope - found)))
        if deviation <= allowed:
            break
    return deviation


def _supercell(subject: _Subject) -> list[Outcome]:
    atoms, outcomes = subject.atoms, []
    energy, forces = subject.evaluated(atoms)
    for axis in np.flatnonzero(atoms.pbc):
        times = [2 if k == axis else 1 for k in range(3)]
        double = atoms * times
        found, others = subject.evaluated(double)
        remark = f"{'x'.join(map(str, times))} cells"
        outcomes += [
            subject.of_energy("supercell", found, 2 * energy, len(double), remark),
            subject.of_forces("supercell", others, np.tile(forces, (2, 1)), remark),
        ]
    return outcomes


def _extensivity(subject: _Subject) -> list[Outcome]:
    atoms, outward = subject.atoms, _outward(subject.atoms)
    if outward is None:
        return []
    energy, forces = subject.evaluated(atoms)

    def copies(distance: float) -> Any:
        other = atoms.copy()
        other.positions += distance * outward
        return atoms + other

    both, pair = _limit(subject, copies)
    remark = "two copies far apart"
    return [
        subject.of_energy("extensivity", both, 2 * energy, 2 * len(atoms), remark),
        subject.of_forces("extensivity", pair, np.tile(forces, (2, 1)), remark),
    ]


def _dissociation(subject: _Subject) -> list[Outcome]:
    atoms = subject.atoms
    if atoms.pbc.any():
        return []
    alone = sum(subject.evaluated(atoms[[k]])[0] for k in range(len(atoms)))
    line = np.arange(len(atoms))[:, None] * np.array([0.6, 0.0, 0.8])

    def parts(distance: float) -> Any:
        moved = atoms.copy()
        moved.positions += distance * line
        return moved

    energy, forces = _limit(subject, parts)
    remark = "all atoms far apart"
    return [
        subject.of_energy("dissociation", energy, alone, len(atoms), remark),
        subject.of_forces("dissociation", forces, np.zeros_like(forces), remark),
    ]


def _limit(subject: _Subject, at: Callable[[float], Any]) -> tuple[float, np.ndarray]:
    """Energy and forces at an infinite distance, where they differ as 1/R or less."""
    (near, first), (far, second) = (subject.evaluated(at(d)) for d in (_FAR, 2 * _FAR))
    return 2 * far - near, 2 * second - first


def _along_periods(atoms: Any) -> Float[np.ndarray, "3 3"]:
    """The projector onto the directions with periods."""
    periods = np.asarray(atoms.cell)[atoms.pbc]
    return np.linalg.pinv(periods) @ periods if len(periods) else np.zeros((3, 3))


def _outward(atoms: Any) -> Float[np.ndarray, "3"] | None:
    """A direction across all periods; None in crystals."""
    across = np.eye(3) - _along_periods(atoms)
    direction = across @ np.array([0.48, 0.6, 0.64])
    length = np.linalg.norm(direction)
    return direction / length if length > 1e-6 else None


def _random(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


CALCULATOR_CHECKS: Mapping[str, Callable[[_Subject], list[Outcome]]] = {
    "repeat": _repeat,
    "translation": _translation,
    "rotation": _rotation,
    "permutation": _permutation,
    "wrapping": _wrapping,
    "gradients": _gradients,
    "strain": _strain,
    "supercell": _supercell,
    "extensivity": _extensivity,
    "dissociation": _dissociation,
}
