"""Measure the constants of the cost model (`costs.json`), and what `auto` loses by its choices.

The model is linear in its constants, so that the cost under constants that are all zero but one is
how many units of that work a case takes; the constants then follow from the measured times.
"""

import argparse
import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from problem import RADIUS, SPECIES
from scipy.optimize import nnls
from systems import liquid, to_structures
from timing import in_turn, quantity

from multilode.expansion import (
    COSTS,
    DERIVATIVE_COSTS,
    METHODS,
    AbstractMethod,
    Costs,
    EwaldSplit,
    FieldExpansion,
    Problem,
    Workload,
    costs_path,
    expand,
)
from multilode.expansion.auto import workload_of
from multilode.expansion.ewald_split import SCREENING_RATIOS
from multilode.expansion.lattice.cell_cache import CELL_CACHE
from multilode.fields import SmearedPotential
from multilode.numerics.special import number
from multilode.radial import GaussianTypeOrbitals
from multilode.structures.batch import Structures

NAMES = tuple(field.name for field in fields(Costs))
_LONGEST = 0.5  # seconds by the model; slower cases are not run


@dataclass(frozen=True)
class Case:
    name: str
    structures: Structures
    expansion: FieldExpansion
    tolerance: float

    def coefficients(self, structures: Structures, method: AbstractMethod) -> list[torch.Tensor]:
        given = {"species": SPECIES, "method": method, "tolerance": self.tolerance}
        blocks = expand(self.expansion, structures, **given).blocks
        return list(blocks.values())

    def values(self, method: AbstractMethod) -> Callable[[], None]:
        """Of a cell that was never seen, as those of a data set are."""

        def call() -> None:
            CELL_CACHE.clear()
            with torch.no_grad():
                self.coefficients(self.structures, method)

        return call

    def backward(self, method: AbstractMethod) -> Callable[[], None]:
        """Derivatives in the positions, of a cell that stays, as in dynamics."""
        moving = replace(
            self.structures, positions=self.structures.positions.clone().requires_grad_()
        )

        def call() -> None:
            total = [b.sum() for b in self.coefficients(moving, method)]
            torch.autograd.grad(torch.stack(total).sum(), moving.positions)

        return call

    def costs(self, costs: Costs) -> dict[AbstractMethod, float]:
        """Nanoseconds of each method that can do it, by the model with these constants."""
        workload = self.workload(costs)
        methods = [method() for method in METHODS.values() if method is not EwaldSplit]
        smearing = number(self.expansion.field.smearing)
        methods += [EwaldSplit(screening=ratio * smearing) for ratio in SCREENING_RATIOS]
        estimates = [method.estimate(workload) for method in methods]
        return {e.method: e.nanoseconds for e in estimates if e is not None}

    def workload(self, costs: Costs) -> Workload:
        """The structure, as methods see it."""
        given = (self.expansion, self.structures, SPECIES, None, self.tolerance)
        return workload_of(Problem.checked(*given), 0, slice(0, self.structures.n_atoms), costs)

    def work(self, method: AbstractMethod) -> np.ndarray:
        """Units of work of each kind."""
        units = [Costs(**{n: float(n == name) for n in NAMES}) for name in NAMES]
        found = [method.estimate(self.workload(unit)) for unit in units]
        return np.array([estimate.nanoseconds for estimate in found if estimate is not None])


# what is timed, with the name of its rows
TIMED = {"values": Case.values, "values + derivatives": Case.backward}


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


def fit(make: Callable[[Case, AbstractMethod], Callable[[], None]], model: Costs) -> dict:
    """Least squares of relative deviations, of the methods that the model is linear in.

    Args:
        make: what is timed, `Case.values` or `Case.backward`.
        model: constants by which cases that would take too long are left out.
    """
    rows = []
    for case in cases(small=False):
        for method, cost in case.costs(model).items():
            if isinstance(method, EwaldSplit) or cost > 1e9 * _LONGEST:
                continue
            (seconds,) = in_turn((make(case, method),), rounds=2)
            rows.append(case.work(method) / (1e9 * seconds))
            print(f"{case.name:58} {type(method).__name__:14} {1e3 * seconds:8.1f} ms"
                  f" {cost / 1e9 / seconds:6.2f} of it by the model", flush=True)  # fmt: skip
    matrix = np.array(rows)
    found, _ = nnls(matrix, np.ones(len(matrix)))
    left = np.log(matrix @ found)
    print(f"{len(rows)} cases, {torch.get_num_threads()} threads: the fit is off by a factor of "
          f"{math.exp(left.std()):.2f}, at most {math.exp(np.abs(left).max()):.2f}")  # fmt: skip
    return {n: float(f"{value:.4g}") for n, value in zip(NAMES, found.tolist(), strict=True)}


def losses(threads: int, models: tuple[Costs, Costs], *, small: bool) -> list[dict]:
    """Time of the chosen method over that of the fastest one, case by case."""
    entries = []
    for (what, make), model in zip(TIMED.items(), models, strict=True):
        ratios, names = [], []
        for case in cases(small=small):
            costs = case.costs(model)
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


def _label(method: AbstractMethod) -> str:
    name = type(method).__name__
    return f"{name}({method.screening:g})" if isinstance(method, EwaldSplit) else name


def run(threads: int) -> list[dict]:
    return losses(threads, (COSTS, DERIVATIVE_COSTS), small=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--fit", nargs="+", choices=("values", "derivatives"), default=["values", "derivatives"],
        help="constants to measure again; both by default",
    )  # fmt: skip
    parser.add_argument("--check", action="store_true", help="only what auto loses")
    parser.add_argument(
        "--write", type=Path, help=f"file for the constants; the library reads {costs_path().name}"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = {"values": COSTS, "derivatives": DERIVATIVE_COSTS}
    if not arguments.check:
        for name in arguments.fit:
            make = Case.values if name == "values" else Case.backward
            models[name] = Costs(**fit(make, models[name]))
        text = json.dumps({name: asdict(costs) for name, costs in models.items()}, indent=2) + "\n"
        print(text)
        if arguments.write is not None:
            arguments.write.write_text(text, encoding="utf-8")
    for entry in losses(arguments.threads, (models["values"], models["derivatives"]), small=False):
        print(entry)


if __name__ == "__main__":
    main()
