"""Models in OpenMM, run for real: beside its own forces, and beside the calculator of ASE."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from ase.calculators.lj import LennardJones

from multilode.data.units import factor
from multilode.engines.calculator import PredictorCalculator
from multilode.engines.evaluation import EngineError
from multilode.engines.openmm import add_force
from salt import committee_of_four, crystals, trained

# slabs, wires and molecules are not like the crystals of the training
FAR = pytest.mark.filterwarnings("ignore:the surroundings of atom:multilode.errors.DataWarning")
pytestmark = [
    FAR,
    pytest.mark.skipif(
        find_spec("openmm") is None,
        reason="OpenMM is not installed: pip install 'multilode[openmm]'",
    ),
]
EPSILON, SIGMA, CUTOFF = 0.0104, 3.4, 5.0  # of argon, in eV and Å
KJ_MOL = factor("eV", "kJ/mol")
BOX = 0.1 * np.array([[11.0, 0, 0], [0.7, 11.0, 0], [-0.5, 0.9, 11.0]])  # nm


@pytest.fixture(scope="module")
def committee():
    return trained(committee_of_four())


def argon(n=32):
    """Positions in nm."""
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    fcc = grid[grid.sum(axis=1) % 2 == 0][:n] / 4 @ BOX
    return fcc + np.random.default_rng(0).normal(scale=0.01, size=fcc.shape)


def system_of(masses, box=BOX):
    import openmm

    system = openmm.System()
    for mass in masses:
        system.addParticle(mass)
    system.setDefaultPeriodicBoxVectors(*box)
    return system


def own_force(system, *, periodic=True):
    """The pair force that ASE's calculator has: cut and shifted."""
    import openmm

    sigma, cutoff = 0.1 * SIGMA, 0.1 * CUTOFF
    shift = (sigma / cutoff) ** 12 - (sigma / cutoff) ** 6
    force = openmm.CustomNonbondedForce(
        f"4*e*((s/r)^12-(s/r)^6-({shift}));e={EPSILON * KJ_MOL};s={sigma}"
    )
    force.setCutoffDistance(cutoff)
    force.setNonbondedMethod(force.CutoffPeriodic if periodic else force.CutoffNonPeriodic)
    for _ in range(system.getNumParticles()):
        force.addParticle([])
    system.addForce(force)


def lennard_jones():
    return LennardJones(epsilon=EPSILON, sigma=SIGMA, rc=CUTOFF)


def ran(system, positions, steps, *, barostat=False):
    """Energy, forces and positions after some steps, and the box."""
    import openmm

    if barostat:
        added = openmm.MonteCarloBarostat(1000.0, 80.0, 2)
        added.setRandomNumberSeed(5)
        system.addForce(added)
    integrator = openmm.VerletIntegrator(0.002)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatform("Reference"))
    context.setPositions(positions)
    context.setVelocitiesToTemperature(80.0, 3)
    integrator.step(steps)
    state = context.getState(getEnergy=True, getForces=True, getPositions=True)
    box = state.getPeriodicBoxVectors(asNumpy=True)._value
    numbers = state.getForces(asNumpy=True)._value, state.getPositions(asNumpy=True)._value
    return state.getPotentialEnergy()._value, *numbers, box


@pytest.mark.parametrize(
    ("steps", "barostat", "periodic"), [(12, False, True), (12, True, True), (8, False, False)]
)
def test_runs_are_those_of_its_own_force(steps, barostat, periodic):
    ours, own = system_of([39.9] * 32), system_of([39.9] * 32)
    own_force(own, periodic=periodic)
    add_force(ours, ["Ar"] * 32, lennard_jones(), periodic=periodic)
    assert ours.usesPeriodicBoundaryConditions() == periodic
    pairs = [ran(system, argon(), steps, barostat=barostat) for system in (ours, own)]
    for got, expected in zip(*pairs, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())
    assert barostat == (np.abs(pairs[1][3] - BOX).max() > 1e-4)


def test_some_particles_do_not_feel_the_others(committee):
    """Salt in the middle of argon, in a topology with a box and a particle that is no atom."""
    from openmm import app

    image = crystals(3)[2] * (1, 1, 2)
    image.calc = PredictorCalculator(committee)
    topology = app.Topology()
    chain = topology.addChain()
    residue = topology.addResidue("all", chain)
    for symbol in (*image.symbols, "Ar"):
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    topology.addAtom("V", None, residue)
    image.set_cell(image.cell.standard_form()[0], scale_atoms=True)  # along x, and in the xy plane
    box = reduced(0.1 * np.asarray(image.cell))
    topology.setPeriodicBoxVectors(box)
    system = system_of([30.0] * 6, box=box)
    add_force(system, topology, committee, particles=[3, 1, 0, 2])
    positions = np.concatenate([0.1 * image.positions, np.ones((2, 3))])
    energy, forces, _, _ = ran(system, positions, 0)
    assert energy == pytest.approx(KJ_MOL * image.get_potential_energy(), rel=1e-8)
    np.testing.assert_allclose(forces[:4] / (10 * KJ_MOL), image.get_forces(), rtol=1e-6, atol=1e-8)
    assert not forces[4:].any()


def reduced(box):
    """Lattice vectors as OpenMM wants them: tilts of half a side at most."""
    box = box.copy()
    for row, column in ((2, 1), (2, 0), (1, 0)):
        box[row] -= box[column] * np.round(box[row, column] / box[column, column])
    return box


def test_layers_have_periods_along_two_vectors(committee):
    image = crystals(3)[1] * (1, 2, 1)
    image.set_cell(np.diag([6.0, 8.0, 20.0]))
    image.center()
    image.pbc = (True, True, False)
    image.calc = PredictorCalculator(committee)
    system = system_of([30.0] * 4, box=0.1 * np.asarray(image.cell))
    add_force(system, list(image.symbols), committee, periodic=(True, True, False))
    energy, forces, _, _ = ran(system, 0.1 * image.positions, 0)
    assert energy == pytest.approx(KJ_MOL * image.get_potential_energy(), rel=1e-8)
    np.testing.assert_allclose(forces / (10 * KJ_MOL), image.get_forces(), rtol=1e-6, atol=1e-8)


def test_what_is_wrong_with_a_structure_is_said_by_openmm(committee):
    import openmm

    system = system_of([30.0, 30.0])
    add_force(system, ["Na", "Cl"], committee, periodic=False)
    with pytest.raises(openmm.OpenMMException, match="same place"):
        ran(system, np.zeros((2, 3)), 3)


@pytest.mark.parametrize(
    ("atoms", "settings", "message"),
    [
        (["Na", "Cl"], {}, "symbols do not say whether there are periods; add periodic=True"),
        (["Na", "Cl"], {"periodic": [True, False]}, "one answer, or one for each box vector"),
        (["Na"], {"periodic": False}, "1 symbols for the 2 particles of the system"),
        (["Na", "Q"], {"periodic": False}, "'Q' is no chemical symbol"),
        (["Na", None], {"periodic": False}, "particle 1 is no atom; leave it out"),
        (["Na", "Ar"], {"periodic": False}, "does not know Ar, only Na, Cl"),
        (["Na", "Cl"], {"periodic": False, "particles": [2]}, "particle 2 is none of the system"),
        (["Na", "Cl"], {"periodic": False, "particles": [1, 1]}, "none of them twice"),
    ],
)
def test_what_cannot_be_used(committee, atoms, settings, message):
    system = system_of([30.0, 30.0])
    with pytest.raises(EngineError, match=message):
        add_force(system, atoms, committee, **settings)
    assert system.getNumForces() == 0


def test_openmm_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "openmm", None)
    with pytest.raises(EngineError, match=r"openmm cannot be imported .*multilode\[openmm\]"):
        add_force(None, [], "model.safetensors")
