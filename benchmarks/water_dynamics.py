"""Dynamics of liquid water with a trained model: drift of the energy, distances of oxygens.

    python benchmarks/water_dynamics.py run/model.safetensors --picoseconds 20

The first box of 64 molecules (third-party: MULTILODE_DATA, water_rpbe) with random velocities is
brought to 300 K for half a picosecond (Langevin) and then left alone (velocity Verlet). The
distribution of distances between oxygens stands beside that of the boxes of the data. What is done
is written to the output every 500 steps, and the same command goes on from there.
"""

import argparse
import json
import os
import time
from pathlib import Path

import ase.io
import matplotlib as mpl
import numpy as np
import torch
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet

import multilode as ml

KELVIN, FRICTION = 300.0, 0.01  # 1/fs
EQUILIBRATION = 0.5  # ps
EVERY = 10  # steps between two samples of distances
WRITTEN = 500
WIDTH, REACH = 0.05, 6.0  # Å, of the bins of distances
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "water_dynamics.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--picoseconds", type=float, default=20.0)
    parser.add_argument("--step", type=float, default=0.5, help="fs")
    parser.add_argument("--dtype", default="float64", help="float32 is faster")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/water_dynamics"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    boxes = _boxes()
    found = dynamics(arguments.model, boxes[0], arguments)
    found["data"] = sum(counted(box) for box in boxes).tolist()
    found["data_boxes"] = len(boxes)
    _write(arguments.output / "dynamics.json", found)
    plot(found, boxes[0])
    print(json.dumps(summary(found, boxes[0]), indent=1))


def _boxes() -> list[Atoms]:
    path = Path(os.environ["MULTILODE_DATA"]) / "water_rpbe" / "water_rpbe.xyz.gz"
    return list(ase.io.iread(path, index=":"))


def dynamics(model: Path, box: Atoms, arguments: argparse.Namespace) -> dict:
    """Energies and counts of distances; goes on from what is written."""
    state, path = arguments.output / "state.traj", arguments.output / "state.json"
    step = arguments.step * units.fs
    known = {"step": arguments.step, "energies": [], "kinetic": [], "counts": None, "seconds": 0.0}
    atoms = Atoms(box.numbers, box.positions, cell=box.cell, pbc=True)
    calculator = ml.PredictorCalculator(model, dtype=arguments.dtype)
    if path.exists():
        known, atoms = json.loads(path.read_text()), ase.io.read(state)
    atoms.calc = calculator
    if not known["energies"]:
        generator = np.random.default_rng(0)
        MaxwellBoltzmannDistribution(atoms, temperature_K=KELVIN, rng=generator)
        Stationary(atoms)
        heated = Langevin(
            atoms, step, temperature_K=KELVIN, friction=FRICTION / units.fs, rng=generator
        )
        heated.run(round(1000 * EQUILIBRATION / arguments.step))
        Stationary(atoms)
    free = VelocityVerlet(atoms, step)
    total = round(1000 * arguments.picoseconds / arguments.step)
    counts = np.zeros(_bins()) if known["counts"] is None else np.array(known["counts"])
    begun, before = time.process_time(), known["seconds"]
    while EVERY * len(known["energies"]) < total:
        free.run(EVERY)
        known["energies"].append(float(atoms.get_potential_energy()))
        known["kinetic"].append(float(atoms.get_kinetic_energy()))
        counts += counted(atoms)
        done = EVERY * len(known["energies"])
        if done % WRITTEN == 0 or done >= total:
            known["counts"] = counts.tolist()
            known["seconds"] = before + time.process_time() - begun
            ase.io.write(state, atoms)
            _write(path, known)
            print(f"{done} of {total} steps, {known['seconds'] / done:.4f} s each", flush=True)
    return known


def counted(atoms: Atoms) -> np.ndarray:
    """Numbers of pairs of oxygens by distance."""
    oxygens = atoms[atoms.numbers == 8]
    distances = oxygens.get_all_distances(mic=True)[np.triu_indices(len(oxygens), 1)]
    return np.histogram(distances, bins=_bins(), range=(0, WIDTH * _bins()))[0].astype(float)


def _bins() -> int:
    return round(REACH / WIDTH)


def distribution(counts: np.ndarray, samples: int, box: Atoms) -> np.ndarray:
    """g(r) from counts of pairs."""
    n = int((box.numbers == 8).sum())
    edges = WIDTH * np.arange(_bins() + 1)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    return counts / samples / (n * (n - 1) / 2) * box.get_volume() / shells


def summary(found: dict, box: Atoms) -> dict:
    """Drift, fluctuation and temperature."""
    total = np.array(found["energies"]) + np.array(found["kinetic"])
    times = found["step"] * EVERY * np.arange(1, len(total) + 1) / 1000
    slope = np.polyfit(times, total, 1)[0]
    kelvin = 2 * np.array(found["kinetic"]) / (3 * len(box) - 3) / units.kB
    own = distribution(np.array(found["counts"]), len(total), box)
    known = distribution(np.array(found["data"]), found["data_boxes"], box)
    return {
        "picoseconds": float(times[-1]),
        "drift (meV/atom/ps)": float(1e3 * slope / len(box)),
        "fluctuation of the energy (meV/atom)": float(1e3 * np.std(total) / len(box)),
        "temperature (K)": float(kelvin.mean()),
        "seconds of a step": found["seconds"] / (EVERY * len(total)),
        "first peak of g_OO, ours and data (Å)": [
            float(_radii()[g.argmax()]) for g in (own, known)
        ],
        "its height": [float(own.max()), float(known.max())],
        "mean deviation of g_OO from the data": float(np.abs(own - known)[40:].mean()),
    }


def _radii() -> np.ndarray:
    return WIDTH * (np.arange(_bins()) + 0.5)


def plot(found: dict, box: Atoms) -> None:
    """Both distributions, and the energy in the course of time."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    own = distribution(np.array(found["counts"]), len(found["energies"]), box)
    known = distribution(np.array(found["data"]), found["data_boxes"], box)
    total = np.array(found["energies"]) + np.array(found["kinetic"])
    times = found["step"] * EVERY * np.arange(1, len(total) + 1) / 1000
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.step(_radii(), known, where="mid", color="0.6", label=f"data, {found['data_boxes']} boxes")
    left.plot(_radii(), own, color="#1f77b4", label=f"dynamics, {times[-1]:.0f} ps")
    left.set(xlabel="distance of oxygens (Å)", ylabel="g(r)", xlim=(2, REACH))
    left.legend(frameon=False)
    right.plot(times, 1e3 * (total - total[0]) / len(box), color="#1f77b4", linewidth=0.8)
    right.set(xlabel="time (ps)", ylabel="energy less the first (meV/atom)")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FIGURE, dpi=120)


def _write(path: Path, found: dict) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(found))
    temporary.replace(path)


if __name__ == "__main__":
    main()
