"""Measure the constants of the cost model (`COSTS`), and what `auto` loses against the best method.

The model is linear in its constants, so that the cost under constants that are all zero but one is
how many units of that work a case takes; the constants then follow from the measured times.
"""

import argparse
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from problem import RADIUS, SPECIES
from scipy.optimize import nnls
from systems import differentiable, liquid, to_structures
from timing import in_turn, quantity

from multilode.expansion import (
    EwaldSplit,
    FieldExpansion,
    Mesh,
    PairSum,
    ReciprocalSum,
    auto,
    expand,
)
from multilode.expansion.lattice.cell_cache import CELL_CACHE
from multilode.fields import SmearedPotential
from multilode.radial import GaussianTypeOrbitals
from multilode.structures.batch import Structures

NAMES = tuple(field.name for field in fields(auto.Costs))
_LONGEST = 0.5  # seconds by the model; slower cases are not run


@dataclass(frozen=True)
class Case:
    name: str
    structures: Structures
    expansion: FieldExpansion
    tolerance: float

    def coefficients(self, structures: Structures, method: auto.Method) -> list[torch.Tensor]:
        blocks = expand(self.expansion, structures, species=SPECIES, method=method).blocks
        return list(blocks.values())

    def values(self, method: auto.Method) -> Callable[[], None]:
        """Of a cell that was never seen, as those of a data set are."""

        def call() -> None:
            CELL_CACHE.clear()
            with torch.no_grad():
                self.coefficients(self.structures, method)

        return call

    def backward(self, method: auto.Method) -> Callable[[], None]:
        moving = differentiable(self.structures)

        def call() -> None:
            total = sum(b.sum() for b in self.coefficients(moving, method))
            torch.autograd.grad(total, (moving.positions, moving.cell))

        return call

    def costs(self) -> dict[auto.Method, float]:
        """Nanoseconds of each method by the model as it stands."""
        expansion, count = self.expansion, self.structures.n_atoms
        box = auto._box(expansion, self.tolerance, self.structures, slice(0, count), 0)
        given = (expansion, self.tolerance, box, count, len(SPECIES))
        found: dict[auto.Method, float] = {
            ReciprocalSum(self.tolerance): auto._reciprocal_cost(*given)
        }
        if not any(box.pbc):
            found[PairSum(self.tolerance)] = auto._pair_cost(expansion, count**2)
        mesh = auto._mesh_cost(*given)
        if mesh is not None:
            found[Mesh(self.tolerance)] = mesh
            found |= {method: cost for cost, method in auto._splits(*given, mesh)}
        return found

    def work(self, method: auto.Method) -> np.ndarray:
        """Units of work of each kind."""
        measured, row = auto.COSTS, []
        try:
            for name in NAMES:
                auto.COSTS = auto.Costs(**{n: float(n == name) for n in NAMES})
                row.append(self.costs()[method])
        finally:
            auto.COSTS = measured
        return np.array(row)


def cases(*, small: bool) -> Iterator[Case]:
    """Crystals, slabs and molecules of several sizes, smearings, bases and tolerances."""
    sizes = (1, 2) if small else (1, 2, 3)
    smearings = (0.5, 1.0) if small else (0.4, 0.7, 1.2)
    bases = ((6, 4),) if small else ((6, 4), (3, 1))
    periodicities = ((True, True, True), (True, True, False), (False, False, False))
    for pbc, repeat, smearing, (n, l) in itertools.product(periodicities, sizes, smearings, bases):
        atoms = liquid(repeat)
        atoms.pbc = pbc
        expansion = FieldExpansion(
            SmearedPotential(smearing, 1.0), GaussianTypeOrbitals(n, RADIUS), l
        )
        for tolerance in (1e-4, 1e-8):
            name = f"{len(atoms)} atoms, {sum(pbc)} periods, smearing {smearing}, {n} x l <= {l}"
            yield Case(f"{name}, {tolerance:.0e}", to_structures(atoms), expansion, tolerance)


def fit(threads: int) -> dict[str, float]:
    """Least squares of relative deviations, of the methods that the model is linear in."""
    rows = []
    for case in cases(small=False):
        for method, cost in case.costs().items():
            if isinstance(method, EwaldSplit) or cost > 1e9 * _LONGEST:
                continue
            (seconds,) = in_turn((case.values(method),), rounds=2)
            rows.append(case.work(method) / (1e9 * seconds))
            print(f"{case.name:58} {type(method).__name__:14} {1e3 * seconds:8.1f} ms"
                  f" {cost / 1e9 / seconds:6.2f} of it by the model", flush=True)  # fmt: skip
    matrix = np.array(rows)
    found, _ = nnls(matrix, np.ones(len(matrix)))
    left = np.log(matrix @ found)
    print(f"{len(rows)} cases, {threads} threads: the fit is off by a factor of "
          f"{math.exp(left.std()):.2f}, at most {math.exp(np.abs(left).max()):.2f}")  # fmt: skip
    return dict(zip(NAMES, found.tolist(), strict=True))


def losses(threads: int, *, small: bool) -> list[dict]:
    """Time of the chosen method over that of the fastest one, case by case."""
    entries = []
    for what, make in (("values", Case.values), ("values + derivatives", Case.backward)):
        ratios, names = [], []
        for case in cases(small=small):
            costs = case.costs()
            chosen = min(costs, key=costs.__getitem__)
            options = {m: c for m, c in costs.items() if c <= 6 * costs[chosen]}
            if costs[chosen] > 1e9 * _LONGEST:
                continue
            seconds = in_turn([make(case, m) for m in options], 3)
            times = dict(zip(options, seconds, strict=True))
            best = min(times, key=times.__getitem__)
            ratios.append(times[chosen] / times[best])
            names.append(case.name)
            print(f"{what:20} {names[-1]:62} {_label(chosen):18} {ratios[-1]:5.2f} times "
                  f"{_label(best)}", flush=True)  # fmt: skip
        worst = int(np.argmax(ratios))
        entries += [
            quantity(f"auto over the fastest method, {what}, geometric mean",
                     float(np.exp(np.log(ratios).mean())), "", cases=len(ratios), threads=threads),
            quantity(f"auto over the fastest method, {what}, worst", ratios[worst], "",
                     worst=names[worst], threads=threads),
        ]  # fmt: skip
    return entries


def _label(method: auto.Method) -> str:
    name = type(method).__name__
    return f"{name}({method.screening:g})" if isinstance(method, EwaldSplit) else name


def run(threads: int) -> list[dict]:
    return losses(threads, small=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="only what auto loses")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not arguments.check:
        constants = fit(arguments.threads)
        print("\n".join(f"    {name}={value:.4g}," for name, value in constants.items()))
        auto.COSTS = auto.Costs(**constants)
    for entry in losses(arguments.threads, small=False):
        print(entry)


if __name__ == "__main__":
    main()
