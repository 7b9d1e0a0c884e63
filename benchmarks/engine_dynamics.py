"""One model of water in ASE, LAMMPS and OpenMM: do the engines agree, and is energy conserved?

    python benchmarks/engine_dynamics.py -o build/engines

A small linear model with a long-ranged field learns energies and forces of some boxes (third-party:
MULTILODE_DATA, water_rpbe). The first of them moves on from the same positions and velocities in
each engine that is installed. Where forces are those of the energy, the
total energy fluctuates with the square of the time step: the ratio of two of them is 4. At constant
pressure the conserved quantity of LAMMPS needs the virial too; virials of the run are compared with
differences of the energy of deformed boxes. Last, energies per molecule of 1x1x1 and 3x3x3 cells.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms, units
from ase.build import molecule
from ase.md.velocitydistribution import Stationary
from ase.md.verlet import VelocityVerlet

import multilode as ml
from multilode.data.units import factor

KELVIN = 300.0
STEPS = (0.5, 0.25)  # fs
SIDE = 6.3  # Å
LAMMPS_SPEED = 1000 * units.fs  # Å/ps in ASE's unit of velocities
ENGINES = {"ASE": "ase", "LAMMPS": "lammps", "OpenMM": "openmm"}
Track = tuple[np.ndarray, np.ndarray]  # total energies in eV, last positions in Å


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/engines"))
    parser.add_argument("--boxes", type=int, default=2, help="that are learned from")
    parser.add_argument("--femtoseconds", type=float, default=50.0, help="of each run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "model.safetensors"
    if not path.exists():
        ml.save(trained(arguments.boxes), path)
    start = started()
    present = [name for name, module in ENGINES.items() if find_spec(module)]
    runs: dict[str, Callable[[Path, Atoms, float, float], Track]] = {
        "ASE": in_ase,
        "LAMMPS": in_lammps,
        "OpenMM": in_openmm,
    }
    found: dict[str, dict] = {}
    reference = None
    for name in present:
        begun = time.process_time()
        tracks = [runs[name](path, start, step, arguments.femtoseconds) for step in STEPS]
        spent = (time.process_time() - begun) / sum(arguments.femtoseconds / step for step in STEPS)
        waves = [1e3 * np.ptp(energies) / len(start) for energies, _ in tracks]
        reference = tracks[0][1] if reference is None else reference
        found[name] = {
            "fluctuation (meV/atom)": waves[0],
            "ratio of fluctuations": waves[0] / waves[1],
            "change of the mean (meV/atom)": drift(tracks[1][0], len(start)),
            "end of the path beside ASE (Å)": float(np.abs(tracks[0][1] - reference).max()),
            "processor time of a step (ms)": 1e3 * spent,
        }
        print(name, json.dumps(found[name]), flush=True)
    if "LAMMPS" in present:
        found["LAMMPS, NPT"] = at_constant_pressure(path, start, arguments.femtoseconds)
    found["cells"] = supercells(path)
    print(json.dumps(found, indent=1))
    (arguments.output / "engines.json").write_text(json.dumps(found, indent=1))


def drift(energies: np.ndarray, n_atoms: int) -> float:
    """Mean of the second half less that of the first, in meV per atom."""
    first, second = np.array_split(energies, 2)
    return float(1e3 * (second.mean() - first.mean()) / n_atoms)


def trained(n_boxes: int) -> ml.Predictor:
    boxes = learned_from(n_boxes)
    basis = ml.GaussianTypeOrbitals(2, 3.5)
    near = ml.FieldExpansion(ml.GaussianDensity(0.4), basis, 1, neighbor_cutoff=3.5)
    far = ml.FieldExpansion(ml.SmearedPotential(1.0, 1.0), basis, 1)
    recipe = ml.FeatureRecipe(
        fields={"rho": near, "V": far}, products=(("rho", "rho"), ("rho", "V"))
    )
    values = np.concatenate([box.arrays["ref_forces"] for box in boxes])
    forces = ml.Forces(values=values, directions=200)
    return ml.train(
        recipe,
        boxes,
        ml.Target(key="total_energy", unit="eV"),
        forces=forces,
        estimator=ml.Ridge(regularization=1e-4, term_weights=(1.0, 0.1)),
    )


def learned_from(n_boxes: int) -> list[Atoms]:
    path = Path(os.environ["MULTILODE_DATA"]) / "water_rpbe" / "water_rpbe.xyz.gz"
    return list(ase.io.iread(path, index=f":{n_boxes}"))


def started() -> Atoms:
    """The first box, moving."""
    box = learned_from(1)[0]
    atoms = Atoms(box.numbers, box.positions, cell=box.cell, pbc=True)
    speeds = np.random.default_rng(0).normal(size=(len(atoms), 3))
    atoms.set_velocities(speeds * np.sqrt(units.kB * KELVIN / atoms.get_masses())[:, None])
    Stationary(atoms)
    return atoms


def small_box() -> Atoms:
    """Eight molecules, turned at random."""
    generator = np.random.default_rng(0)
    atoms = Atoms(cell=[SIDE] * 3, pbc=True)
    for corner in np.ndindex(2, 2, 2):
        one = molecule("H2O")
        one.rotate(generator.uniform(0, 360), generator.normal(size=3), center="COM")
        one.translate(SIDE / 2 * np.array(corner) - one.get_center_of_mass())
        atoms += one
    return atoms


def in_ase(path: Path, start: Atoms, step: float, duration: float) -> Track:
    atoms = start.copy()
    atoms.calc = ml.PredictorCalculator(path)
    dynamics, energies = VelocityVerlet(atoms, step * units.fs), []
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
    dynamics.run(round(duration / step))
    return np.array(energies), atoms.positions.copy()


def lammps_of(path: Path, start: Atoms, tolerance: float | None = 1e-4):
    from multilode.engines.lammps import attach
    from multilode.engines.lammps import start as start_lammps

    lmp = start_lammps(["-log", "none", "-screen", "none"])
    sides = " ".join(f"0 {length:.15g}" for length in start.cell.lengths())
    lmp.commands_string(
        f"""
        units metal
        atom_modify map yes
        region box block {sides} units box
        create_box 2 box
        mass 1 {start.get_masses()[start.numbers == 8][0]}
        mass 2 {start.get_masses()[start.numbers == 1][0]}
        """
    )
    lmp.create_atoms(
        len(start),
        None,
        [{8: 1, 1: 2}[int(z)] for z in start.numbers],
        start.get_positions(wrap=True).flatten().tolist(),
        (start.get_velocities() * LAMMPS_SPEED).flatten().tolist(),
    )
    attach(lmp, ml.PredictorCalculator(path, tolerance=tolerance), {1: "O", 2: "H"})
    lmp.command("thermo_style custom step pe ke etotal econserve vol pxx pyy pzz")
    return lmp


def in_lammps(path: Path, start: Atoms, step: float, duration: float) -> Track:
    lmp = lammps_of(path, start)
    lmp.commands_string(f"timestep {step / 1000}\nfix move all nve\nrun 0")
    energies = [lmp.get_thermo("etotal")]
    for _ in range(round(duration / step)):
        lmp.command("run 1 pre no post no")
        energies.append(lmp.get_thermo("etotal"))
    box = start.cell.lengths()
    moved = np.reshape(lmp.gather_atoms("x", 1, 3), (-1, 3)) - start.positions
    return np.array(energies), start.positions + moved - box * np.round(moved / box)


def in_openmm(path: Path, start: Atoms, step: float, duration: float) -> Track:
    import openmm

    from multilode.engines.openmm import add_force

    system = openmm.System()
    for mass in start.get_masses():
        system.addParticle(mass)
    system.setDefaultPeriodicBoxVectors(*(0.1 * np.asarray(start.cell)))
    add_force(system, list(start.symbols), path, periodic=True)
    verlet = openmm.CustomIntegrator(step / 1000)
    for name, change in (("v", "v+0.5*dt*f/m"), ("x", "x+dt*v"), ("v", "v+0.5*dt*f/m")):
        verlet.addComputePerDof(name, change)
    context = openmm.Context(system, verlet, openmm.Platform.getPlatform("Reference"))
    context.setPositions(0.1 * start.positions)
    context.setVelocities(0.1 * LAMMPS_SPEED * start.get_velocities())
    energies = []
    for k in range(round(duration / step) + 1):
        verlet.step(1 if k else 0)
        state = context.getState(getEnergy=True, getPositions=True)
        total = state.getPotentialEnergy() + state.getKineticEnergy()
        energies.append(total._value * factor("kJ/mol", "eV"))
    return np.array(energies), 10 * state.getPositions(asNumpy=True)._value


def at_constant_pressure(path: Path, start: Atoms, duration: float) -> dict:
    """The conserved quantity, and virials of moving boxes beside differences of the energy."""
    found = {}
    for step in STEPS:
        # differences of energies feel that the number of waves changes with the box, else
        lmp = lammps_of(path, start, tolerance=None)
        lmp.commands_string(
            f"timestep {step / 1000}\n"
            "compute virial all pressure NULL virial\n"
            f"fix move all npt temp {KELVIN} {KELVIN} 0.02 aniso 1 1 0.1\n"
            "run 0"
        )
        conserved, volumes, deviations = [lmp.get_thermo("econserve")], [], []
        for k in range(round(duration / step)):
            lmp.command("run 1 pre no post no")
            conserved.append(lmp.get_thermo("econserve"))
            volumes.append(lmp.get_thermo("vol"))
            if step == STEPS[0] and k % 20 == 7:
                deviations.append(virial_beside_differences(lmp, path))
        found[f"fluctuation of the conserved quantity, {step} fs (meV/atom)"] = float(
            1e3 * np.ptp(conserved) / len(start)
        )
        if deviations:
            found["volumes (Å^3)"] = [min(volumes), max(volumes)]
            found["virial, largest deviation (eV)"] = max(d for d, _ in deviations)
            found["virial, largest component (eV)"] = max(size for _, size in deviations)
    return found


def virial_beside_differences(lmp, path: Path) -> tuple[float, float]:
    """What LAMMPS has of the virial at this step, beside -dE/dstrain of ASE's calculator."""
    low, high, *_ = lmp.extract_box()
    box = np.subtract(high, low)
    positions = np.reshape(lmp.gather_atoms("x", 1, 3), (-1, 3))
    types = np.array(lmp.gather_atoms("type", 0, 1))
    pressures = np.array(lmp.extract_compute("virial", 0, 1)[:6])
    lmp_virial = pressures * np.prod(box) * factor("bar", "eV/Å^3")
    atoms = Atoms(np.where(types == 1, 8, 1), positions, cell=box, pbc=True)
    atoms.calc = ml.PredictorCalculator(path, tolerance=None)
    slopes = []
    for first, second in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        strain, energies = np.zeros((3, 3)), []
        strain[first, second] += 0.5e-4
        strain[second, first] += 0.5e-4
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = atoms.calc
            moved.set_cell(np.diag(box) @ (np.eye(3) + sign * strain), scale_atoms=True)
            energies.append(moved.get_potential_energy())
        slopes.append(-(energies[0] - energies[1]) / 2e-4)
    return float(np.abs(lmp_virial - slopes).max()), float(np.abs(slopes).max())


def supercells(path: Path) -> dict:
    """Energies per molecule of 1x1x1 and 3x3x3 cells of eight molecules, in eV: the difference."""
    found = {}
    for name, tolerance in (("tolerance 1e-4, of dynamics", 1e-4), ("that of the model", None)):
        energies = []
        for times in (1, 3):
            atoms = small_box() * (times, times, times)
            atoms.calc = ml.PredictorCalculator(path, tolerance=tolerance)
            energies.append(atoms.get_potential_energy() / (len(atoms) / 3))
        found[name] = energies[1] - energies[0]
    return found


if __name__ == "__main__":
    main()
