"""Real runs of i-PI, whose energies are those of the model."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ase.io import write

from driven import dipole_model, model, salt
from multilode.config.store import save
from multilode.engines.energies import EnergyModel
from multilode.errors import UserError

REASON = "i-PI is not installed: pip install 'multilode[ipi]'"
pytest.importorskip("ipi", reason=REASON)
from ipi.utils.softexit import softexit  # noqa: E402
from ipi.utils.units import unit_to_internal, unit_to_user  # noqa: E402

from multilode.engines.ipi_pes import MultilodeDriver, pes_path  # noqa: E402

RUN = """\
<simulation verbosity='quiet'>
  <output prefix='run'>
    <properties stride='1' filename='out'> [ step, conserved, potential, kinetic_md ] </properties>
    <trajectory filename='more' stride='1' extra_type='committee_pot'> extras </trajectory>
  </output>
  <total_steps> 6 </total_steps>
  <prng> <seed> 1 </seed> </prng>
  {forcefield}
  <system>
    <initialize nbeads='2'>
      <file mode='ase'> start.xyz </file>
      <velocities mode='thermal' units='kelvin'> 300 </velocities>
    </initialize>
    <forces> <force forcefield='lode'/> </forces>
    <motion mode='dynamics'>
      <dynamics mode='nve'> <timestep units='femtosecond'> 0.2 </timestep> </dynamics>
    </motion>
    <ensemble> <temperature units='kelvin'> 300 </temperature> </ensemble>
  </system>
</simulation>
"""
DIRECT = """<ffdirect name='lode' threaded='{threaded}'>
    <pes> custom </pes> <pes_path> {path} </pes_path> <batch_size> 2 </batch_size>
    <parameters> {{model: model.safetensors, template: start.xyz, dipole: dipole.safetensors}}
    </parameters>
  </ffdirect>"""


@pytest.fixture(scope="module")
def predictors():
    return model("committee", unit="kcal/mol"), dipole_model()


@pytest.fixture
def folder(tmp_path, monkeypatch, predictors):
    """A working folder with both models and a crystal."""
    save(predictors[0], tmp_path / "model.safetensors")
    save(predictors[1], tmp_path / "dipole.safetensors")
    write(tmp_path / "start.xyz", salt("crystal", seed=40), format="extxyz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def internal(values):
    return unit_to_internal("energy", "electronvolt", np.asarray(values))


@pytest.mark.parametrize("kind", ["crystal", "slab", "molecule"])
def test_replicas_have_energies_forces_and_virials_of_the_model(folder, predictors, kind):
    images = [salt(kind, seed=seed) for seed in (40, 41)]
    write("start.xyz", images[0], format="extxyz")
    driver = MultilodeDriver("model.safetensors", "start.xyz", dipole="dipole.safetensors")
    cells = [unit_to_internal("length", "angstrom", image.cell.array.T) for image in images]
    places = [unit_to_internal("length", "angstrom", image.positions) for image in images]
    batch = driver(cells, places)
    expected = predictors[0].predict(images, forces=True, stress=kind == "crystal", std=True)
    size = EnergyModel.of(predictors[0]).in_ev
    for k, (energy, forces, virial, extras) in enumerate(batch):
        assert energy == pytest.approx(internal(size * float(expected.values[k])), rel=1e-12)
        own = expected.forces.numpy()[4 * k : 4 * k + 4]
        own = unit_to_internal("force", "ev/ang", size * own)
        np.testing.assert_allclose(forces, own, rtol=1e-9, atol=1e-12)
        if kind == "crystal":
            virial_of_stress = -size * images[k].get_volume() * expected.stress[k].numpy()
            np.testing.assert_allclose(virial, internal(virial_of_stress), rtol=1e-9, atol=1e-12)
        else:
            assert abs(virial[2, 2]) > 1e-6
        found = json.loads(extras)
        assert np.mean(found["committee_pot"]) == pytest.approx(energy, rel=1e-12)
        std = internal(size * float(expected.std[k]))
        assert np.std(found["committee_pot"], ddof=1) == pytest.approx(std, rel=1e-9)
        assert found["energy_std"] == pytest.approx(std, rel=1e-9)
        dipole = predictors[1].predict(images[k]).values[0].numpy()  # in e*bohr
        # the two programs take Bohr's radius from other years
        np.testing.assert_allclose(found["dipole"], dipole, rtol=1e-7)
    alone = driver(cells[1], places[1])
    assert alone[0] == pytest.approx(batch[1][0], rel=1e-12)


def test_virials_of_molecules_are_derivatives_by_strain(folder):
    write("start.xyz", salt("molecule", seed=40), format="extxyz")
    driver = MultilodeDriver("model.safetensors", "start.xyz")
    image, step = salt("molecule", seed=40), 1e-4
    cell, place = (
        unit_to_internal("length", "angstrom", x) for x in (image.cell.array.T, image.positions)
    )
    sides = []
    for sign in (1, -1):
        strain = np.eye(3)
        strain[0, 2] = strain[2, 0] = sign * step / 2
        sides.append(driver(strain @ cell, place @ strain)[0])
    slope = (sides[0] - sides[1]) / (2 * step)
    assert driver(cell, place)[2][0, 2] == pytest.approx(-slope, rel=1e-5)


@contextmanager
def simulated(threaded):
    """A simulation in this process, of which nothing is left at the end.

    i-PI keeps signals that stop a process to itself from its first simulation on, and its threads
    go on: a time limit that stops the process in a later step would be a SystemExit in that step.
    """
    from ipi.scripting import InteractiveSimulation

    ff = DIRECT.format(path=pes_path(), threaded=threaded)
    Path("input.xml").write_text(RUN.format(forcefield=ff))
    with open("input.xml") as file:
        simulation = InteractiveSimulation(file)
    try:
        yield simulation
    finally:
        simulation.stop()
        softexit.reset()
        for output in simulation.outputs:
            output.close_stream()


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.filterwarnings("ignore")  # those of i-PI
def test_a_run_in_one_process_conserves_the_energy_of_the_model(folder, predictors, threaded):
    before = threading.active_count(), signal.getsignal(signal.SIGTERM)
    with simulated(threaded) as simulation:
        check_steps(simulation, predictors)
    for _ in range(100):  # its threads look every second whether they are to end
        if threading.active_count() == before[0]:
            break
        time.sleep(0.1)
    assert (threading.active_count(), signal.getsignal(signal.SIGTERM)) == before


def check_steps(simulation, predictors):
    """Six of them, at the energies of the model."""
    conserved = []
    for _ in range(6):
        simulation.run(1)
        own = simulation.syslist[0]
        images = simulation.get_structures()  # one for each bead
        expected = (
            EnergyModel.of(predictors[0]).in_ev
            * predictors[0].predict([periodic(image) for image in images]).values.numpy()
        )
        pots = unit_to_user("energy", "electronvolt", np.array(own.forces.pots))
        np.testing.assert_allclose(pots, expected, rtol=1e-8)
        conserved.append(simulation.properties("conserved"))
        assert simulation.properties("kinetic_md") > 1e-3
    assert np.ptp(conserved) < 1e-4
    found = own.forces.extras["committee_pot"]
    np.testing.assert_allclose(np.mean(found, axis=1), np.array(own.forces.pots), rtol=1e-9)
    assert np.shape(own.forces.extras["dipole"]) == (2, 3)


def periodic(image):
    image.pbc = True
    return image


def test_what_does_not_fit_is_said(folder):
    with pytest.raises(UserError, match="'dipole' is no energy"):
        MultilodeDriver("dipole.safetensors", "start.xyz")
    with pytest.raises(UserError, match="'energy' is no vector"):
        MultilodeDriver("model.safetensors", "start.xyz", dipole="model.safetensors")
    driver = MultilodeDriver("model.safetensors", "start.xyz")
    with pytest.raises(UserError, match="3 atoms and the template 4"):
        driver(np.eye(3) * 10, np.zeros((3, 3)))
    image = salt("crystal")
    image.numbers[:] = 3
    write("start.xyz", image, format="extxyz")
    with pytest.raises(ValueError, match="contains atomic number 3"):
        MultilodeDriver("model.safetensors", "start.xyz")


@pytest.mark.slow
def test_a_run_behind_the_socket(folder, predictors):
    name = f"multilode_{os.getpid()}"
    server = f"<ffsocket mode='unix' name='lode'> <address> {name} </address> </ffsocket>"
    Path("input.xml").write_text(RUN.format(forcefield=server))
    bin = Path(sys.executable).parent
    with subprocess.Popen([bin / "i-pi", "input.xml"]) as ipi:
        for _ in range(600):
            if Path(f"/tmp/ipi_{name}").exists():
                break
            time.sleep(0.1)
        given = "model=model.safetensors,template=start.xyz"
        words = ["-u", "-a", name, "-m", "custom", "-P", pes_path(), "-o", given]
        subprocess.run([bin / "i-pi-driver-py", *words], check=True, timeout=300)
        assert ipi.wait(timeout=60) == 0
    table = np.loadtxt("run.out")
    assert len(table) == 7
    assert np.ptp(table[:, 1]) < 1e-5
    start = EnergyModel.of(predictors[0]).in_ev * float(
        predictors[0].predict(salt("crystal", seed=40)).values[0]
    )
    assert table[0, 2] == pytest.approx(internal(start), rel=1e-7)
