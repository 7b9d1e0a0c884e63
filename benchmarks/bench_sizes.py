"""Time of each method for sizes, and error for tolerances: what the plots show."""

from problem import backward, error_of, exact, measured_centers, values
from systems import liquid, to_structures
from timing import in_turn, quantity

from multilode.expansion import EwaldSplit, Mesh, ReciprocalSum
from multilode.structures.batch import Structures

SIZES = (1, (2, 1, 1), (2, 2, 1), 2, (3, 3, 2), 3, 4)
METHODS = {
    "sum over waves": lambda tolerance, _: ReciprocalSum(tolerance),
    "mesh": lambda tolerance, _: Mesh(tolerance),
    "Ewald split": lambda tolerance, smearing: EwaldSplit(tolerance, 2 * smearing),
}


def run(threads: int) -> list[dict]:
    return times(threads) + errors(threads)


def times(threads: int) -> list[dict]:
    entries = []
    for smearing in (1.0, 0.5):
        for repeat in SIZES:
            structures = to_structures(liquid(repeat))
            calls = {
                (name, what): build(structures, smearing, 1e-4, method(1e-4, smearing))
                for name, method in METHODS.items()
                if _affordable(name, structures, smearing)
                for what, build in (("values", values), ("values + derivatives", backward))
            }
            for (name, what), seconds in zip(calls, in_turn(list(calls.values()), 3), strict=True):
                entries.append(
                    quantity(
                        f"time per atom, {name}, smearing {smearing}, {structures.n_atoms} atoms, "
                        f"{what}", 1e6 * seconds / structures.n_atoms, "us", method=name, what=what,
                        smearing=smearing, atoms=structures.n_atoms, tolerance=1e-4,
                        dtype="float64", threads=threads,
                    )
                )  # fmt: skip
    return entries


def _affordable(name: str, structures: Structures, smearing: float) -> bool:
    """Minutes at most: waves and nodes go with the inverse cube of the smearing."""
    most = {"sum over waves": 2600, "mesh": 10000, "Ewald split": 10000}[name]
    return structures.n_atoms <= (most if smearing == 1.0 else most / 3)


def errors(threads: int) -> list[dict]:
    entries = []
    structures = to_structures(liquid(2))
    centers = measured_centers(structures)
    for smearing in (1.0, 0.5):
        reference = exact(structures, smearing, centers)
        for tolerance in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8):
            for name, method in METHODS.items():
                found = error_of(
                    structures, smearing, tolerance, reference, centers, method(tolerance, smearing)
                )
                entries.append(
                    quantity(
                        f"error, {name}, smearing {smearing}, tolerance {tolerance:.0e}", found, "",
                        method=name, smearing=smearing, tolerance=tolerance, dtype="float64",
                        threads=threads,
                    )
                )  # fmt: skip
    return entries
