"""`multilode init`: what it proposes can be checked and trained, and says what it guesses."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from multilode.cli.main import run
from multilode.config.config import load_config
from multilode.data.io import read
from multilode.workflow.guesses import radius, targets, unit_of

RNG = np.random.default_rng(5)


def methanol(n: int, seed: int = 0) -> list[Atoms]:
    """Shaken molecules with energy and forces."""
    images = []
    for k in range(n):
        atoms = molecule("CH3OH", calculator=EMT())
        atoms.rattle(0.05, seed=seed + k)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        images.append(atoms)
    return images


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def proposal(*arguments: str):
    assert run(["init", *arguments]) == 0
    name = arguments[arguments.index("-o") + 1] if "-o" in arguments else "multilode.yaml"
    return yaml.safe_load(Path(name).read_text(encoding="utf-8"))


def test_energies_with_forces_are_checked_and_trained(here, capsys):
    (here / "runs").mkdir()
    write("data.xyz", methanol(16))
    plain = proposal("data.xyz", "-o", "runs/first.yaml")
    assert plain["data"] == {"train": ["../data.xyz"], "test_fraction": 0.2, "seed": 0}
    assert plain["target"] == {"key": "energy", "unit": "eV", "forces": "forces"}
    assert plain["preset"] == "fast"  # a network would learn nothing from sixteen
    assert "Next: multilode check runs/first.yaml" in capsys.readouterr().out
    assert run(["check", "runs/first.yaml"]) == 0
    small = ["--set", "fields.rho.basis.n_radial=2", "--set", "fields.V.basis.n_radial=2"]
    assert run(["train", "runs/first.yaml", *small]) == 0
    assert (here / "first" / "report.html").exists()
    assert load_config("first/config.yaml").recipe.fields["V"].basis.n_radial == 2
    assert run(["init", "data.xyz", "-o", "runs/first.yaml"]) == 2
    assert "'runs/first.yaml' exists" in capsys.readouterr().err


def test_many_forces_become_a_network_and_a_test_file_the_test_set(here):
    write("train.xyz", methanol(50))
    write("my_test.xyz", methanol(4, seed=100))
    plain = proposal("train.xyz", "my_test.xyz")
    assert plain["data"] == {"train": ["train.xyz"], "test": ["my_test.xyz"]}
    assert plain["preset"] == "balanced"
    assert load_config("multilode.yaml").regression.epochs == 80


def test_interaction_energies_have_fragments_groups_and_a_doubtful_unit(here, capsys):
    images = []
    for k in range(30):
        atoms = Atoms("NaClKBr", RNG.normal(scale=0.1, size=(4, 3)))
        atoms.positions[:, 0] += [0, 2.4, 6 + k % 5, 8.6 + k % 5]
        atoms.info = {"interaction_energy": 0.01 * float(RNG.normal()), "dimer": f"pair {k % 6}"}
        atoms.arrays["monomer"] = np.array([0, 0, 1, 1])
        images.append(atoms)
    write("dimers.xyz", images)
    plain = proposal("dimers.xyz")
    assert plain["target"]["fragments"] == "monomer"
    assert plain["data"]["group"] == "dimer"
    assert plain["cutoff"] == 6.0
    assert "note: target.unit is eV: nothing in the data tells it" in capsys.readouterr().out
    assert "CHECK" in Path("multilode.yaml").read_text()
    assert run(["check", "multilode.yaml"]) == 0


def test_tensors_by_name_and_width_and_another_target_on_demand(here, capsys):
    images = methanol(12)
    for atoms in images:
        atoms.calc = None
        half = RNG.normal(size=(3, 3))
        atoms.info = {"alpha": half + half.T, "mu": RNG.normal(size=3), "gap": 5.0}
        atoms.info["gap"] += 0.1 * float(RNG.normal())
    write("t.xyz", images, format="extxyz")
    assert proposal("t.xyz")["target"]["tensor"] in ("symmetric", "vector")
    plain = proposal("t.xyz", "--target", "alpha", "--overwrite")
    assert plain["target"] == {"key": "alpha", "tensor": "symmetric"}
    plain = proposal("t.xyz", "--target", "gap", "--overwrite")
    assert plain["target"] == {"key": "gap", "reduce": "mean"}
    assert run(["init", "t.xyz", "--target", "energy", "--overwrite"]) == 2
    assert "'energy' is nothing that every structure has" in capsys.readouterr().err


def test_a_split_in_the_file_is_used_and_rare_elements_stay_in_training(here):
    images = methanol(12)
    for k, atoms in enumerate(images):
        atoms.info["part"] = "test" if k % 4 == 0 else "train"
    write("s.xyz", images)
    assert proposal("s.xyz")["data"]["split"] == "part"
    images = methanol(12)
    images[3].symbols[0] = "N"
    write("r.xyz", images)
    plain = proposal("r.xyz", "-o", "r.yaml")
    assert run(["check", "r.yaml"]) == 0
    assert plain["data"]["test_fraction"] == 0.2


def test_what_cannot_be_learned_is_refused(here, capsys):
    write("nothing.xyz", molecule("H2O"))
    assert run(["init", "nothing.xyz"]) == 2
    assert "no structure has a property that can be learned" in capsys.readouterr().err
    assert not Path("multilode.yaml").exists()
    assert run(["init", "none.xyz"]) == 2
    assert "none.xyz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("factor", "unit"), [(1.0, "Hartree"), (27.2114, "eV"), (627.5, "kcal/mol"), (2625.5, "kJ/mol")]
)
def test_units_of_total_energies_by_their_size(here, factor, unit):
    """Hartree-Fock and coupled-cluster energies of textbooks, in Hartree."""
    known = {"H2O": -76.4, "CH4": -40.5, "CO2": -188.6, "NH3": -56.5, "HCl": -460.8}
    images = []
    for name, energy in known.items():
        atoms = molecule(name)
        atoms.info["total_energy"] = factor * energy
        images.append(atoms)
    write("u.xyz", images)
    found, doubt = unit_of(read("u.xyz"), "total_energy", energy=True)
    assert found == unit
    assert "guessed" in doubt
    assert targets(read("u.xyz"))[0].key == "total_energy"


def test_the_radius_holds_shells_of_neighbors(here):
    copper = Atoms("Cu", cell=[[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]], pbc=True)
    write("c.xyz", [copper])
    assert radius(read("c.xyz")) == 6.0  # of 2.55 Å, at most
    write("w.xyz", [molecule("H2O")])
    assert radius(read("w.xyz")) == pytest.approx(3.2 * 0.968, abs=0.06)
