"""Undisturbed dynamics of one start in each engine.

Every function takes a `Run` and gives total energies in eV at samples, positions in Å after a few
steps, and the processor time of a step in ms. Atoms under constraints of ASE stay in all engines.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

import multilode as ml
from multilode.data.units import factor

SPEED = 1000 * units.fs  # Å/ps in the unit of ASE
BOHR = units.Bohr
SYMBOLS = {11: "Na", 17: "Cl", 8: "O", 1: "H"}


@dataclass(frozen=True)
class Run:
    """What is to be computed.

    Args:
        model: file of the model; `model.with_suffix(".pt")` is the exported one.
        start: atoms that move, with velocities.
        step: in fs.
        steps: number of them.
        every: steps from one sample of the energy to the next.
        early: steps after which positions are looked at.
    """

    model: Path
    start: Atoms
    step: float
    steps: int
    every: int = 1
    early: int = 20

    @property
    def fixed(self) -> list[int]:
        """Atoms that stay."""
        return [int(k) for one in self.start.constraints for k in one.get_indices()]

    @property
    def samples(self) -> int:
        """Number of samples after the first."""
        return self.steps // self.every


@dataclass(frozen=True)
class Track:
    """Total energies in eV, early positions in Å, and ms of processor time of a step."""

    energies: list[float] | np.ndarray
    early: np.ndarray
    spent: float

    def plain(self) -> dict:
        """For a file."""
        return {
            "energies": np.asarray(self.energies, dtype=float).tolist(),
            "early": np.asarray(self.early, dtype=float).tolist(),
            "spent": float(self.spent),
        }


def in_ase(run: Run, calculator=None) -> Track:
    atoms = run.start.copy()
    atoms.calc = calculator or ml.PredictorCalculator(run.model)
    atoms.get_forces()
    moving, energies = VelocityVerlet(atoms, run.step * units.fs), []
    early, begun = np.zeros(0), time.process_time()
    energies.append(atoms.get_total_energy())
    for k in range(1, run.steps + 1):
        moving.run(1)
        if k == run.early:
            early = atoms.positions.copy()
        if k % run.every == 0:
            energies.append(atoms.get_total_energy())
    return Track(energies, early, 1e3 * (time.process_time() - begun) / run.steps)


def in_metatomic(run: Run) -> Track:
    from metatomic_ase import MetatomicCalculator

    import multilode.engines.metatomic  # noqa: F401  registers the operator

    calculator = MetatomicCalculator(run.model.with_suffix(".pt"), device="cpu")
    return in_ase(run, calculator)


def lammps_of(run: Run, calculator=None):
    """LAMMPS with the start and the model; units metal."""
    from multilode.engines.lammps import attach, start

    lmp = start(["-log", "none", "-screen", "none"])
    atoms, kinds = run.start, sorted(set(run.start.numbers.tolist()))
    sides = " ".join(f"0 {length:.15g}" for length in atoms.cell.lengths())
    edges = " ".join("p" if period else "f" for period in atoms.pbc)
    masses = [f"mass {k + 1} {atoms[atoms.numbers == z][0].mass}" for k, z in enumerate(kinds)]
    lmp.commands_string(
        f"units metal\nboundary {edges}\natom_modify map yes\nregion box block {sides} units box\n"
        f"create_box {len(kinds)} box\n" + "\n".join(masses)
    )
    places = atoms.get_positions(wrap=True)
    lmp.create_atoms(
        len(atoms),
        None,
        [kinds.index(z) + 1 for z in atoms.numbers.tolist()],
        places.flatten().tolist(),
        (atoms.get_velocities() * SPEED).flatten().tolist(),
    )
    still = " ".join(str(k + 1) for k in run.fixed)
    lmp.command(f"group still id {still}" if still else "group still empty")
    lmp.command("group mobile subtract all still")
    known = {k + 1: SYMBOLS[z] for k, z in enumerate(kinds)}
    attach(lmp, calculator or ml.PredictorCalculator(run.model), known)
    lmp.command("thermo_style custom step pe ke etotal econserve vol press pxx pyy pzz")
    return lmp


def in_lammps(run: Run) -> Track:
    lmp, box = lammps_of(run), run.start.cell.lengths() * run.start.pbc
    lmp.commands_string(f"timestep {run.step / 1000:.12g}\nfix move mobile nve\nrun 0")
    energies, early = [lmp.get_thermo("etotal")], np.zeros(0)
    begun = time.process_time()
    for k in range(1, run.samples + 1):
        lmp.command(f"run {run.every} pre no post no")
        energies.append(lmp.get_thermo("etotal"))
        if k * run.every == run.early:
            moved = np.reshape(lmp.gather_atoms("x", 1, 3), (-1, 3)) - run.start.positions
            whole = np.divide(moved, box, out=np.zeros_like(moved), where=box > 0)
            early = run.start.positions + moved - box * np.round(whole)
    return Track(energies, early, 1e3 * (time.process_time() - begun) / run.steps)


def openmm_system(run: Run, calculator=None):
    """A system of the start with the force of the model; fixed particles have no mass."""
    import openmm

    from multilode.engines.openmm import add_force

    system = openmm.System()
    for k, mass in enumerate(run.start.get_masses()):
        system.addParticle(0.0 if k in run.fixed else mass)
    system.setDefaultPeriodicBoxVectors(*(0.1 * np.asarray(run.start.cell)))
    periods = [bool(period) for period in run.start.pbc]
    add_force(system, list(run.start.symbols), calculator or run.model, periodic=periods)
    return system


def openmm_context(run: Run, system, integrator):
    import openmm

    context = openmm.Context(system, integrator, openmm.Platform.getPlatform("Reference"))
    context.setPositions(0.1 * run.start.positions)
    context.setVelocities(0.1 * SPEED * run.start.get_velocities())
    return context


def in_openmm(run: Run) -> Track:
    import openmm

    verlet = openmm.CustomIntegrator(run.step / 1000)
    for name, change in (("v", "v+0.5*dt*f/m"), ("x", "x+dt*v"), ("v", "v+0.5*dt*f/m")):
        verlet.addComputePerDof(name, change)
    context = openmm_context(run, openmm_system(run), verlet)
    energies, early, begun = [], np.zeros(0), time.process_time()
    for k in range(run.samples + 1):
        verlet.step(run.every if k else 0)
        state = context.getState(getEnergy=True, getPositions=True)
        total = state.getPotentialEnergy() + state.getKineticEnergy()
        energies.append(total._value * factor("kJ/mol", "eV"))
        if k * run.every == run.early:
            early = 10 * state.getPositions(asNumpy=True)._value
    return Track(energies, early, 1e3 * (time.process_time() - begun) / run.steps)


IPI = """<simulation verbosity='quiet' threading='false'>
  <output prefix='run'>
    <properties stride='{every}' filename='out' flush='1000'>
      [ step, conserved{{electronvolt}}, potential{{electronvolt}}, volume{{angstrom3}},
        pressure_md{{megapascal}} ] </properties>
    <trajectory stride='{early}' filename='pos' format='xyz'> positions{{angstrom}} </trajectory>
  </output>
  <total_steps> {steps} </total_steps>
  <prng> <seed> 1 </seed> </prng>
  {forcefield}
  <system>
    <initialize nbeads='1'>
      <file mode='ase'> start.xyz </file>
      <masses mode='manual' units='dalton'> {masses} </masses>
      <velocities mode='manual'> {velocities} </velocities>
    </initialize>
    <forces> <force forcefield='lode'/> </forces>
    <motion mode='dynamics'> {fixed} {dynamics} </motion>
    <ensemble> {ensemble} </ensemble>
  </system>
</simulation>
"""
DIRECT = """<ffdirect name='lode'> <pes> custom </pes> <pes_path> {path} </pes_path>
  <parameters> {{model: {model}, template: start.xyz}} </parameters> </ffdirect>"""
SOCKET = """<ffsocket mode='unix' name='lode'> <address> {address} </address>
  <latency> 1e-4 </latency> </ffsocket>"""
METATOMIC = """<ffdirect name='lode'> <pes> metatomic </pes>
  <parameters> {{model: {model}, template: start.xyz}} </parameters> </ffdirect>"""


def ipi_input(run: Run, forcefield: str, dynamics: str = "", ensemble: str = "") -> str:
    """Text of an input, and the file it starts from in the working folder."""
    import ase.io

    image = Atoms(run.start.numbers, run.start.positions, cell=run.start.cell, pbc=run.start.pbc)
    ase.io.write("start.xyz", image, format="extxyz")
    # ASE's unit of velocity is sqrt(eV/u)
    of_atoms = run.start.get_velocities() * SPEED * factor("Å", "bohr") * 2.418884326509e-5
    words = [str(row) for row in of_atoms.flatten().tolist()]
    nve = f"<dynamics mode='nve'> <timestep units='femtosecond'> {run.step} </timestep> </dynamics>"
    return IPI.format(
        every=run.every,
        early=run.early,
        steps=run.steps,
        forcefield=forcefield,
        masses=str(run.start.get_masses().tolist()),
        velocities="[" + ", ".join(words) + "]",
        fixed=f"<fixatoms> {run.fixed} </fixatoms> <fixcom> False </fixcom>" if run.fixed else
        "<fixcom> False </fixcom>",
        dynamics=dynamics or nve,
        ensemble=ensemble or "<temperature units='kelvin'> 300 </temperature>",
    )  # fmt: skip


def ipi_path(run: Run, spent: float) -> Track:
    """What i-PI has written."""
    table, n = np.loadtxt("run.out"), len(run.start)
    lines = Path("run.pos_0.xyz").read_text().splitlines()[n + 2 : 2 * n + 4]
    early = np.array([[float(x) for x in line.split()[1:]] for line in lines[2:]])
    return Track(table[:, 1], early, spent)


@contextmanager
def ipi_simulation(run: Run, forcefield: str | None = None, dynamics: str = "", more: str = ""):
    """A simulation of i-PI in this process, of which nothing is left afterwards."""
    from ipi.scripting import InteractiveSimulation
    from ipi.utils.softexit import softexit

    from multilode.engines.ipi_pes import pes_path

    forcefield = forcefield or DIRECT.format(path=pes_path(), model=run.model)
    Path("input.xml").write_text(ipi_input(run, forcefield, dynamics, more))
    with open("input.xml") as file:
        simulation = InteractiveSimulation(file)
    try:
        yield simulation
    finally:
        simulation.stop()
        softexit.reset()
        for output in simulation.outputs:
            output.close_stream()


def in_ipi(run: Run, forcefield: str | None = None) -> Track:
    with ipi_simulation(run, forcefield) as simulation:
        simulation.run(0, write_outputs=False)
        simulation.step = 0
        energies, early = [simulation.properties("conserved")], np.zeros(0)
        begun = time.process_time()
        for k in range(1, run.samples + 1):
            simulation.run(run.every, write_outputs=False)
            energies.append(simulation.properties("conserved"))
            if k * run.every == run.early:
                early = simulation.get_structures().positions
        return Track(energies, early, 1e3 * (time.process_time() - begun) / run.steps)


def in_ipi_of_metatomic(run: Run) -> Track:
    import multilode.engines.metatomic  # noqa: F401  registers the operator

    return in_ipi(run, METATOMIC.format(model=run.model.with_suffix(".pt")))


def behind_socket(run: Run) -> Track:
    from multilode.engines.ipi_pes import pes_path

    name = f"multilode_{os.getpid()}"
    Path("input.xml").write_text(ipi_input(run, SOCKET.format(address=name)))
    folder = Path(sys.executable).parent
    with subprocess.Popen([folder / "i-pi", "input.xml"]) as server:
        while not Path(f"/tmp/ipi_{name}").exists() and server.poll() is None:
            time.sleep(0.1)
        given = f"model={run.model},template=start.xyz"
        words = ["-u", "-a", name, "-m", "custom", "-P", pes_path(), "-o", given]
        subprocess.run([folder / "i-pi-driver-py", *words], check=True)
        server.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ipi_path(run, 1e3 * (used.ru_utime + used.ru_stime) / run.steps)


ENGINES: dict[str, Callable[[Run], Track]] = {
    "ASE": in_ase,
    "LAMMPS": in_lammps,
    "OpenMM": in_openmm,
    "i-PI": in_ipi,
    "i-PI, socket": behind_socket,
    "metatomic in ASE": in_metatomic,
    "metatomic in i-PI": in_ipi_of_metatomic,
}
