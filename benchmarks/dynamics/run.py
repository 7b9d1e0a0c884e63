"""Dynamics that proves the engines: a molten salt, a layer at a charged wall, and water.

    python benchmarks/dynamics/run.py -o build/dynamics

Linear models learn classical ones (`classical.py`, `liquids.py`); then each engine that is
installed moves the same start: undisturbed, with two time steps, at constant pressure; and says
the energies of two cells, of layers in higher cells, and of displaced atoms. Every job is a process
of its own that writes `results/JOB.json`; the same command does what is missing and shows all.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import torch
from ase import Atoms, units
from ase.constraints import FixAtoms
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from barostats import BAROSTATS, timed
from distances import compared
from engines import ENGINES, Run
from liquids import KELVIN, MAKERS, STEP, WALL, heated, labelled, trained, water
from tables import figures, tables

import multilode as ml

PICOSECONDS = {"salt": 2.0, "layer": 2.0, "water": 2.0}
SHORT = 0.1  # ps of the runs with two time steps
CONSTANT = {"salt": 2.0, "water": 1.0}  # ps at constant pressure
PRESSURE = {"salt": 0.1, "water": 0.1}  # MPa
HEIGHTS = (60.0, 90.0)  # Å, of the cell of a layer
LIFTED = 0.01  # Å
WITHOUT_LAYERS = ("metatomic in i-PI",)  # i-PI hands over three periods


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/dynamics"))
    parser.add_argument("--job", help="do this one alone")
    parser.add_argument("--only", default="", help="jobs whose names contain this")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.output.resolve()
    (folder / "results").mkdir(parents=True, exist_ok=True)
    if arguments.job:
        done = perform(arguments.job, folder)
        path = written(folder, arguments.job)
        path.with_suffix(".new").write_text(json.dumps(done))
        path.with_suffix(".new").replace(path)
        return
    prepare(folder)
    for job in jobs():
        if arguments.only in job and not written(folder, job).exists():
            words = [sys.executable, "-W", "ignore", __file__, "-o", str(folder), "--job", job]
            with tempfile.TemporaryDirectory() as place:
                begun = time.time()
                code = subprocess.run(words, cwd=place, capture_output=True, text=True)
            print(f"{job}: {time.time() - begun:.0f} s", flush=True)
            if code.returncode:
                print(code.stderr[-2000:], flush=True)
    print(tables(folder / "results", list(ENGINES)))
    figures(folder / "results", list(ENGINES))


def jobs() -> list[str]:
    """Names of all, the cheapest first."""
    names = [f"cells:{kind}:{engine}" for kind in ("salt", "water") for engine in ENGINES]
    layered = [engine for engine in ENGINES if engine not in WITHOUT_LAYERS]
    names += [f"height:layer:{engine}" for engine in layered]
    for kind in MAKERS:
        known = layered if kind == "layer" else ENGINES
        names += [f"ratio:{kind}:{engine}" for engine in known]
        names += [f"nve:{kind}:{engine}" for engine in known]
        if kind in CONSTANT:
            names += [f"npt:{kind}:{engine}" for engine in BAROSTATS]
    return [*names, "distances:salt:both", *(f"errors:{kind}:both" for kind in MAKERS)]


def written(folder: Path, job: str) -> Path:
    return folder / "results" / f"{job.replace(':', '_').replace(' ', '-').replace(',', '')}.json"


def prepare(folder: Path) -> None:
    """Models, exported files and starts."""
    for kind in ("salt", "water"):
        path = folder / f"{kind}.safetensors"
        if not path.exists():
            ml.save(trained(kind, folder), path)
        fast = folder / f"{kind}_fast.safetensors"
        if not fast.exists():
            ml.save(ml.load(path).with_tolerance(1e-4), fast)
        if not fast.with_suffix(".pt").exists():
            from multilode.engines.metatomic import export

            export(fast, fast.with_suffix(".pt"))
    for kind in MAKERS:
        if not (folder / f"start_{kind}.xyz").exists():
            ase.io.write(folder / f"start_{kind}.xyz", warmed(kind, folder), format="extxyz")


def model_of(kind: str, folder: Path, *, exact: bool = False) -> Path:
    name = "water" if kind == "water" else "salt"
    return folder / (f"{name}.safetensors" if exact else f"{name}_fast.safetensors")


def warmed(kind: str, folder: Path) -> Atoms:
    """A start at the temperature, from 1.5 ps of Langevin dynamics of the model."""
    atoms, generator = MAKERS[kind](), np.random.default_rng(3)
    if kind == "water":  # heavy water allows of longer steps
        atoms.set_masses(np.where(atoms.numbers == 1, 2.014, atoms.get_masses()))
    atoms.calc = ml.PredictorCalculator(model_of(kind, folder))
    MaxwellBoltzmannDistribution(atoms, temperature_K=KELVIN[kind], rng=generator)
    step = 0.5 * STEP[kind] * units.fs
    moving = Langevin(
        atoms, step, temperature_K=KELVIN[kind], friction=0.02 / units.fs, rng=generator,
        fixcm=False,
    )  # fmt: skip
    moving.run(round(1500 * units.fs / step))
    speeds = atoms.get_velocities()
    if not atoms.constraints:
        masses = atoms.get_masses()[:, None]
        speeds -= (masses * speeds).sum(axis=0) / masses.sum()
    warm = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    warm.set_masses(atoms.get_masses())
    warm.set_velocities(speeds)
    return warm


def start_of(kind: str, folder: Path) -> Atoms:
    atoms = ase.io.read(folder / f"start_{kind}.xyz")
    assert isinstance(atoms, Atoms)
    if kind == "layer":
        atoms.set_constraint(FixAtoms(range(WALL)))
    return atoms


def perform(job: str, folder: Path) -> dict:
    """What a job is to find."""
    what, kind, engine = job.split(":")
    if what == "distances":
        return compared(kind, start_of(kind, folder), model_of(kind, folder))
    if what == "errors":
        return errors(kind, folder)
    if what == "cells":
        return {"energies": cells(kind, engine, folder)}
    start = start_of(kind, folder)
    step, n = STEP[kind], len(start)
    if what == "height":
        return height(start, engine, folder)
    if what == "npt":
        steps = round(1000 * CONSTANT[kind] / step)
        found = {}
        for part, time_step, length in (("long", step, steps), ("half", 0.5 * step, steps // 4)):
            run = Run(model_of(kind, folder, exact=True), start, time_step, length, 5)
            if part == "half":
                run = Run(run.model, start, time_step, length, 10)
                if engine == "OpenMM":
                    continue
            found[part] = timed(engine, run, KELVIN[kind], PRESSURE[kind])
        return {**found, "atoms": n, "step": step, "pressure": PRESSURE[kind]}
    model = model_of(kind, folder)
    if what == "ratio":
        steps = round(1000 * SHORT / step)
        runs = [Run(model, start, step, steps), Run(model, start, 0.5 * step, 2 * steps, 2)]
        return {"tracks": [ENGINES[engine](run).plain() for run in runs], "atoms": n}
    steps = round(1000 * PICOSECONDS[kind] / step)
    track = ENGINES[engine](Run(model, start, step, steps, 10))
    return {**track.plain(), "atoms": n, "step": step, "every": 10}


def resting(atoms: Atoms) -> Atoms:
    still = atoms.copy()
    still.set_velocities(np.zeros((len(atoms), 3)))
    return still


def energy_of(atoms: Atoms, engine: str, model: Path) -> float:
    """Of atoms at rest, before the first step."""
    return float(ENGINES[engine](Run(model, resting(atoms), 1e-3, 1, 1)).energies[0])


def cells(kind: str, engine: str, folder: Path) -> list[float]:
    """Energies of one cell, and of 27 of it, in eV per molecule or ion."""
    start, unit = water(6.4, 2), 3
    if kind == "salt":
        start, unit = ase.build.bulk("NaCl", "rocksalt", a=5.64, cubic=True), 1
        start.rattle(0.2, seed=1)
    wide = start * (3, 3, 3)
    return [
        energy_of(atoms, engine, model_of(kind, folder)) / (len(atoms) / unit)
        for atoms in (start, wide)
    ]


def height(start: Atoms, engine: str, folder: Path) -> dict:
    """Forces and energies in two cells, and forces across the layer beside differences."""
    model, found = model_of("layer", folder), {}
    for side in HEIGHTS:
        atoms = start.copy()
        atoms.cell[2, 2] = side
        atoms.positions[:, 2] += 0.5 * (side - HEIGHTS[0])
        still, step = resting(atoms), 2.0
        moved = ENGINES[engine](Run(model, still, step, 1, 1, early=1))
        path = (np.asarray(moved.early) - still.positions)[WALL:]
        found[f"energy {side:g}"] = float(moved.energies[0])
        forces = 2 * atoms.get_masses()[WALL:, None] * path / (step * units.fs) ** 2
        found[f"forces {side:g}"] = forces.tolist()
    for atom in (WALL, WALL + 16, len(start) - 1):
        sides = []
        for sign in (1, -1):
            lifted = start.copy()
            lifted.positions[atom, 2] += sign * LIFTED
            sides.append(energy_of(lifted, engine, model))
        found.setdefault("across", []).append([atom, -(sides[0] - sides[1]) / (2 * LIFTED)])
    return found


def errors(kind: str, folder: Path) -> dict:
    """Of energies and forces in another path of the classical model than was learned from."""
    atoms = MAKERS[kind]()
    moving, images = heated(atoms, kind, KELVIN[kind], 600.0, seed=100), []
    for _ in range(20):
        moving.run(round(40 * units.fs / moving.dt))
        images.append(labelled(atoms))
    found = ml.load(model_of(kind, folder)).predict(images, forces=True)
    assert found.forces is not None
    forces = np.concatenate([image.arrays["reference"] for image in images])
    energies = np.array([image.info["total_energy"] for image in images])
    return {
        "energy": float(np.sqrt(np.mean((found.values.numpy() - energies) ** 2)) / len(atoms)),
        "force": float(np.sqrt(np.mean((found.forces.numpy() - forces) ** 2))),
        "spread of forces": float(forces.std()),
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
