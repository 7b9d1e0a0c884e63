"""Large systems: the mesh beside torch-pme's scalar potential, its scaling, and its memory."""

import numpy as np
import pme
from bench_lode import cheapest_tolerance
from problem import backward, error_of, exact, measured_centers, values
from systems import liquid, to_structures
from timing import in_child, in_turn, quantity, result

SMEARING, TOLERANCE = 1.0, 1e-4
SIZES = {1152: (2, 2, 3), 3456: (3, 3, 4), 9600: (5, 5, 4), 28224: (7, 7, 6)}
LARGE_SIZES = {96000: (10, 10, 10)}


def run(threads: int) -> list[dict]:
    return beside_pme(threads) + scaling(SIZES, threads)


def run_large(threads: int) -> list[dict]:
    return scaling(SIZES | LARGE_SIZES, threads) + memory(threads)


def beside_pme(threads: int) -> list[dict]:
    """300 channels of ours, two of the peer, both with values and derivatives."""
    atoms = liquid(4)
    structures = to_structures(atoms)
    centers = measured_centers(structures)
    reference = exact(structures, SMEARING, centers)
    potential = pme.converged(atoms)
    entries = []
    for tolerance, settings in pme.SETTINGS.items():
        peer = pme.Pme(atoms, settings)
        peer_error = pme.error(peer, potential)
        if peer_error > tolerance:
            raise RuntimeError(f"{settings} has an error of {peer_error:.1e}")
        measured, _ = cheapest_tolerance(structures, SMEARING, tolerance, reference, centers)
        calls = [
            peer.values, peer.backward, peer.backward_with_neighbors,
            values(structures, SMEARING, tolerance), backward(structures, SMEARING, tolerance),
            values(structures, SMEARING, measured), backward(structures, SMEARING, measured),
        ]  # fmt: skip
        theirs, their_back, their_all, *ours = in_turn(calls, rounds=5)
        for what, requested, (mine, mine_back) in (
            ("requested", tolerance, ours[:2]), ("measured", measured, ours[2:])
        ):  # fmt: skip
            error = error_of(structures, SMEARING, requested, reference, centers)
            settings_of_row = {
                "tolerance": tolerance, "threads": threads, "peer_threads": threads,
                "ours_requested": requested, "ours_error": error, "peer_error": peer_error,
            }  # fmt: skip
            name = f"6144-atom water, equal {what} tolerance"
            entries += [
                result(f"{name}, {case}", "torch-pme", seconds, **settings_of_row)
                for case, seconds in (
                    ("values", (mine, theirs)),
                    ("values + derivatives", (mine_back, their_back)),
                    ("values + derivatives, its neighbor list included", (mine_back, their_all)),
                )
            ]
    return entries


def scaling(sizes: dict[int, tuple[int, int, int]], threads: int) -> list[dict]:
    """Exponents of a power law through the times of all sizes, which take turns."""
    calls = []
    for repeat in sizes.values():
        structures = to_structures(liquid(repeat))
        calls.append(values(structures, SMEARING, TOLERANCE, "mesh"))
        calls.append(backward(structures, SMEARING, TOLERANCE, "mesh"))
    seconds = np.array(in_turn(calls, rounds=3)).reshape(-1, 2).T
    entries = []
    for what, times in zip(("values", "values + derivatives"), seconds, strict=True):
        slope = np.polyfit(np.log(list(sizes)), np.log(times), 1)[0]
        entries.append(
            quantity(
                f"scaling exponent, {min(sizes)} to {max(sizes)} atoms, {what}", float(slope), "",
                tolerance=TOLERANCE, threads=threads, dtype="float64", target="at most 1.1",
                atoms=list(sizes), seconds=times.tolist(),
            )
        )  # fmt: skip
    return entries


def memory(threads: int) -> list[dict]:
    """Of the largest size, each in a process of its own."""
    peaks = {}
    for what in ("start", "values", "values + derivatives"):
        peaks[what] = float(in_child("peak_memory.py", what, "--threads", str(threads)))
    atoms = max(LARGE_SIZES)
    forward, whole = (peaks[w] - peaks["start"] for w in ("values", "values + derivatives"))
    settings = {"tolerance": TOLERANCE, "dtype": "float64", "threads": threads}
    return [
        quantity(f"peak memory, {atoms} atoms, values", peaks["values"] / 1e9, "GB", **settings),
        quantity(
            f"peak memory, {atoms} atoms, values + derivatives",
            peaks["values + derivatives"] / 1e9, "GB", target="below 20", **settings,
        ),
        quantity(
            f"memory of values + derivatives over values, {atoms} atoms", whole / forward, "",
            target="at most 4", start_gb=peaks["start"] / 1e9, **settings,
        ),
    ]  # fmt: skip
