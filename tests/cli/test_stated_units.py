"""Units that files name are those of the numbers: never ignored."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from multilode.cli.main import run
from multilode.config.yaml_text import read_yaml
from multilode.data.properties import is_number

TEXT = """
data: {train: a.xyz}
cutoff: 3
estimator: {kind: ridge}
target: {key: energy, FORCES}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(more, name="a.xyz", n=12):
    """Dimers with an energy, forces, and what a file says of them."""
    rng, images = np.random.default_rng(1), []
    for _ in range(n):
        length = 1.0 + 0.3 * rng.random()
        image = Atoms("OH", [[0, 0, 0], [0, 0, length]])
        force = -8.0 * (length - 1.1)
        image.info = {"energy": 4.0 * (length - 1.1) ** 2, **more}
        image.arrays["forces"] = np.array([[0, 0, -force], [0, 0, force]])
        images.append(image)
    write(name, images, format="extxyz")


def config(forces="forces: forces", unit=""):
    text = TEXT.replace("FORCES", f"{forces}, unit: {unit}" if unit else forces)
    Path("c.yaml").write_text(text)
    return "c.yaml"


@pytest.mark.parametrize(
    "more",
    [
        {"energy_unit": "kcal/mol"},
        {"Energy_Units": "Hartree"},
        {"unit": "kJ/mol"},
        {"energy_unit": "eV/atom"},
        {"energy_units": "GPa"},
    ],
)
@pytest.mark.parametrize("command", ["train", "check"])
def test_energies_in_another_unit_than_the_default(folder, capsys, more, command):
    """ASE says eV of `energy`; the file says something else."""
    written(more)
    assert run([command, config()]) == 2
    said = capsys.readouterr().err
    (key, text) = next(iter(more.items()))
    assert f"'{text}' by the key '{key}'" in said
    assert "target.unit" in said
    assert not (folder / "c").exists()


def test_forces_in_another_unit(folder, capsys):
    written({"energy_unit": "eV", "forces_unit": "Hartree/bohr"})
    assert run(["train", config()]) == 2
    assert "'Hartree/bohr' by the key 'forces_unit', not eV/" in capsys.readouterr().err
    named = config("forces: {key: forces, unit: Hartree/bohr}")
    assert run(["train", named, "-o", "out"]) == 0


@pytest.mark.parametrize(
    ("more", "unit"),
    [
        ({"energy_unit": "kcal/mol"}, "kcal/mol"),
        ({"energy_unit": "kcal mol^-1", "force_units": "kcal/mol/Angstrom"}, "kcal/mol"),
        ({"unit": "Angstrom", "units": "real"}, ""),  # of something else
        ({"dipole_unit": "Debye", "time_unit": "fs"}, ""),
    ],
)
def test_units_that_agree_or_are_of_other_things(folder, more, unit):
    written(more)
    assert run(["train", config(unit=unit), "-o", "out"]) == 0


def test_energies_under_names_of_their_own(folder, capsys):
    """`E` may be in another unit than `energy`, which only its user knows."""
    written({"energy_unit": "kcal/mol", "E": 1.0})
    for unit, said in (("eV", True), ("kcal/mol", False)):
        text = config(unit=unit)
        Path(text).write_text(Path(text).read_text().replace("key: energy", "key: E"))
        assert run(["check", text]) == 0
        assert ("files name kcal/mol for energies" in capsys.readouterr().out) == said


def test_evaluate_and_init_know_them(folder, capsys):
    written({})
    assert run(["train", config(), "-o", "out"]) == 0
    written({"energy_unit": "meV"}, "b.xyz")
    model = "out/model.safetensors"
    assert run(["evaluate", model, "b.xyz"]) == 2
    assert "--unit" in capsys.readouterr().err
    assert run(["evaluate", model, "b.xyz", "--unit", "meV"]) == 0
    assert run(["init", "b.xyz", "-o", "b.yaml"]) == 0
    assert read_yaml(folder / "b.yaml")["target"]["unit"] == "meV"


def test_an_energy_with_a_decimal_comma_is_no_pair_of_targets(folder, capsys):
    """`energy=-3,25` was learned as two numbers."""
    written({})
    text = "".join(f"2\nenergy=-3,{k}\nO 0 0 0\nH 0 0 {1 + 0.01 * k}\n" for k in range(10, 30))
    (folder / "a.xyz").write_text(text)
    assert run(["train", config("reduce: sum")]) == 2
    assert "decimal point" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("energy", True),
        ("REF_energy", True),
        ("dft-total_energy", True),
        ("orbital_energy", False),
        ("dipole", False),
        ("E", False),
    ],
)
def test_names_of_one_number(key, expected):
    assert is_number(key) == expected
