"""Whether a run agrees with the results that are kept with the package."""

import json
import math
from collections.abc import Iterable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from multilode.errors import UserError

# Another processor, thread count or version of a library may shift a choice of cross-validation to
# a neighbour on its grid. Anything beyond that is a change of results.
TOLERANCE = 0.10
_LARGEST = 1e300  # of a number that a comparison can take
_FLOOR = 1e-9  # absolute, in the unit of a row


class CheckError(UserError):
    """The results differ from those that are kept; the message is one line."""


def expected_metrics(system: str, *, quick: bool, seed: int | None = None) -> dict[str, Any]:
    """The metrics that are kept for a system.

    Args:
        system: its name.
        quick: those of the short form.
        seed: of the run that is to be compared; by default any.

    Raises:
        CheckError: if there are none, or they are damaged or belong to another seed.
    """
    name = f"{system}.quick.json" if quick else f"{system}.json"
    path = files("multilode_papers.expected") / name
    if not path.is_file():
        raise CheckError(f"no results of '{system}' are kept under {name}; run it without --check")
    expected = _read(path, name)
    if seed not in (None, expected["seed"]):
        raise CheckError(
            f"the results of '{system}' are kept for seed {expected['seed']}, this run has seed "
            f"{seed}; check without --seed"
        )
    return expected


def differences(
    expected: Mapping[str, Any], found: Mapping[str, Any], tolerance: float = TOLERANCE
) -> list[str]:
    """Differences of results, one sentence each; nothing if they agree.

    Rows of data sets that this run did not have are left out.

    Args:
        expected: metrics that are kept.
        found: metrics of this run.
        tolerance: relative, of every RMSE and number.
    """
    present = {data["name"] for data in found["data"]}
    ours = {_key(row): row["rmse"] for row in found["rows"]}
    said = []
    for row in expected["rows"]:
        if row["data"] not in present:
            continue
        name = f"{row['model']}, {row['data']}, {row['subset']}, {row['n_train']} structures"
        said += _compare(name, row["rmse"], ours.get(_key(row)), tolerance)
    for name, value in expected["numbers"].items():
        said += _compare(name, value, found["numbers"].get(name), tolerance)
    return said


def check(system: str, found: Mapping[str, Any]) -> int:
    """Compare with the results that are kept; the number of rows compared.

    Raises:
        CheckError: if the seeds differ, or a row is missing or differs by more than the tolerance.
    """
    expected = expected_metrics(system, quick=found["quick"], seed=found["seed"])
    said = differences(expected, found)
    if said:
        more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        raise CheckError(f"'{system}' differs from the results that are kept: {said[0]}{more}")
    present = {data["name"] for data in found["data"]}
    return sum(row["data"] in present for row in expected["rows"])


def _read(path: Traversable, name: str) -> dict[str, Any]:
    """What is kept, if it has all that a comparison needs."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        whole = isinstance(found["seed"], int) and _are_numbers(found["numbers"].values())
        for row in found["rows"]:
            texts = isinstance(row["data"], str) and hash(_key(row)) is not None
            whole = whole and texts and _are_numbers([row["rmse"]])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise _damaged(name) from error
    if not whole:
        raise _damaged(name)
    return found


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(type(x) in (int, float) and abs(x) < _LARGEST for x in values)


def _damaged(name: str) -> CheckError:
    return CheckError(
        f"the kept results {name} are damaged; install multilode-papers again, or run without "
        "--check"
    )


def _key(row: Mapping[str, Any]) -> tuple:
    return row["model"], row["data"], row["subset"], row["n_train"]


def _compare(name: str, expected: float, found: float | None, tolerance: float) -> list[str]:
    if found is None:
        return [f"{name} is missing"]
    if math.isclose(found, expected, rel_tol=tolerance, abs_tol=_FLOOR):
        return []
    return [f"{name}: {found:.4g} instead of {expected:.4g}"]
