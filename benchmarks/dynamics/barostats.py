"""Dynamics at constant pressure in each engine that has it.

Volumes in Å^3, the conserved quantity in eV where there is one, pressures in MPa, and at some steps
what the engine has of the virial, beside differences of the energy of deformed boxes.
"""

import time
from collections.abc import Callable

import numpy as np
from ase import Atoms, units
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from engines import Run, ipi_simulation, lammps_of, openmm_context, openmm_system

import multilode as ml
from multilode.data.units import factor

MPA = 1e6 * units.Pascal  # eV/Å^3
THERMOSTAT, BAROSTAT = 100.0, 400.0  # fs
LOOKED_AT = 6  # frames whose virials are compared


def own(run: Run) -> ml.PredictorCalculator:
    """At the tolerance of the model: the number of waves changes with the box."""
    return ml.PredictorCalculator(run.model, tolerance=None)


def measured() -> dict[str, list]:
    return {"conserved": [], "volumes": [], "pressures": [], "virials": []}


def looks(run: Run, k: int) -> bool:
    """Whether virials are compared at this sample."""
    return k % max(1, run.samples // LOOKED_AT) == 1


def in_ase(run: Run, kelvin: float, pressure: float) -> dict:
    atoms, found = run.start.copy(), measured()
    atoms.calc = own(run)
    moving = IsotropicMTKNPT(
        atoms,
        run.step * units.fs,
        temperature_K=kelvin,
        pressure_au=pressure * MPA,
        tdamp=THERMOSTAT * units.fs,
        pdamp=BAROSTAT * units.fs,
    )
    for k in range(run.samples):
        moving.run(run.every)
        found["conserved"].append(moving.get_conserved_energy())
        found["volumes"].append(atoms.get_volume())
        stress = atoms.get_stress(include_ideal_gas=True)
        found["pressures"].append(-stress[:3].mean() / MPA)
        if looks(run, k):
            virial = -atoms.get_volume() * atoms.get_stress()[[0, 1, 2, 5, 4, 3]]
            found["virials"].append(beside_differences(run, atoms, virial))
    return found


def in_lammps(run: Run, kelvin: float, pressure: float) -> dict:
    lmp, found = lammps_of(run, own(run)), measured()
    bar = 10 * pressure
    lmp.commands_string(
        f"timestep {run.step / 1000:.12g}\n"
        "compute virial all pressure NULL virial\n"
        f"fix move all npt temp {kelvin} {kelvin} {THERMOSTAT / 1000} "
        f"iso {bar} {bar} {BAROSTAT / 1000}\nrun 0"
    )
    for k in range(run.samples):
        lmp.command(f"run {run.every} pre no post no")
        found["conserved"].append(lmp.get_thermo("econserve"))
        found["volumes"].append(lmp.get_thermo("vol"))
        found["pressures"].append(0.1 * lmp.get_thermo("press"))
        if looks(run, k):
            low, high, *_ = lmp.extract_box()
            box = np.subtract(high, low)
            places = np.reshape(lmp.gather_atoms("x", 1, 3), (-1, 3))
            atoms = Atoms(run.start.numbers, places - low, cell=box, pbc=True)
            bars = np.array(lmp.extract_compute("virial", 0, 1)[:6])
            virial = bars * np.prod(box) * factor("bar", "eV/Å^3")
            found["virials"].append(beside_differences(run, atoms, virial))
    return found


IPI_DYNAMICS = """<dynamics mode='npt'>
  <barostat mode='isotropic'> <tau units='femtosecond'> {barostat} </tau>
    <thermostat mode='langevin'> <tau units='femtosecond'> {barostat} </tau> </thermostat>
  </barostat>
  <thermostat mode='svr'> <tau units='femtosecond'> {thermostat} </tau> </thermostat>
  <timestep units='femtosecond'> {step} </timestep> </dynamics>"""


def in_ipi(run: Run, kelvin: float, pressure: float) -> dict:
    dynamics = IPI_DYNAMICS.format(barostat=BAROSTAT, thermostat=THERMOSTAT, step=run.step)
    ensemble = (
        f"<temperature units='kelvin'> {kelvin} </temperature>"
        f"<pressure units='megapascal'> {pressure} </pressure>"
    )
    found = measured()
    with ipi_simulation(run, None, dynamics, ensemble) as simulation:
        for k in range(run.samples):
            simulation.run(run.every, write_outputs=False)
            found["conserved"].append(simulation.properties("conserved"))
            atoms = simulation.get_structures()
            atoms.pbc = True
            found["volumes"].append(atoms.get_volume())
            found["pressures"].append(simulation.properties("pressure_md") / MPA)
            if looks(run, k):
                virial = np.array(simulation.syslist[0].forces.vir) * units.Ha
                parts = virial[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
                found["virials"].append(beside_differences(run, atoms, parts))
    return found


def in_openmm(run: Run, kelvin: float, pressure: float) -> dict:
    import openmm

    system, found = openmm_system(run, own(run)), measured()
    system.addForce(openmm.MonteCarloBarostat(10 * pressure, kelvin, 5))
    if 8 in run.start.numbers:  # molecules move as a whole when the box changes
        bonds = openmm.HarmonicBondForce()
        for k in range(0, len(run.start), 3):
            bonds.addBond(k, k + 1, 0.1, 0.0)
            bonds.addBond(k, k + 2, 0.1, 0.0)
        system.addForce(bonds)
    moving = openmm.LangevinMiddleIntegrator(kelvin, 1000 / THERMOSTAT, run.step / 1000)
    context = openmm_context(run, system, moving)
    for _ in range(run.samples):
        moving.step(run.every)
        state = context.getState(getPositions=True)
        box = state.getPeriodicBoxVectors(asNumpy=True)._value
        found["volumes"].append(1e3 * float(np.linalg.det(box)))
        cell, places = 10 * box, 10 * state.getPositions(asNumpy=True)._value
        atoms = Atoms(run.start.numbers, places, cell=cell, pbc=True, calculator=own(run))
        ideal = len(atoms) * units.kB * kelvin / atoms.get_volume()
        found["pressures"].append((ideal - atoms.get_stress()[:3].mean()) / MPA)
    return found


def beside_differences(run: Run, atoms: Atoms, virial: np.ndarray) -> list[list[float]]:
    """Virials xx, yy, zz, xy, xz, yz of an engine, and -dE/dstrain."""
    calculator, slopes = own(run), []
    for first, second in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        strain, energies = np.zeros((3, 3)), []
        strain[first, second] += 0.5e-4
        strain[second, first] += 0.5e-4
        for sign in (1, -1):
            moved = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
            moved.set_cell(atoms.cell @ (np.eye(3) + sign * strain), scale_atoms=True)
            moved.calc = calculator
            energies.append(moved.get_potential_energy())
        slopes.append(-(energies[0] - energies[1]) / 2e-4)
    return [np.asarray(virial, dtype=float).tolist(), slopes]


BAROSTATS: dict[str, Callable[[Run, float, float], dict]] = {
    "ASE": in_ase,
    "LAMMPS": in_lammps,
    "i-PI": in_ipi,
    "OpenMM": in_openmm,
}


def timed(name: str, run: Run, kelvin: float, pressure: float) -> dict:
    begun = time.process_time()
    found = BAROSTATS[name](run, kelvin, pressure)
    return {**found, "spent": 1e3 * (time.process_time() - begun) / run.steps}
