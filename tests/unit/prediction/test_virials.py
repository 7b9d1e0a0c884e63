"""Virials, W = -dE/dstrain as QUIP and MACE write them, are stresses times minus the volume."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

import multilode as ml
from multilode.cli.main import run
from multilode.config.config import config_from_dict
from multilode.config.settings import StressSettings
from multilode.data import DataError, read
from multilode.data.ase_atoms import from_ase
from multilode.data.units import UnitError
from multilode.prediction.reference_values import stress_values
from multilode.workflow.derivatives import derivatives_of
from multilode.workflow.doubts_of_units import doubts_of_derivatives
from multilode.workflow.sets import Sets

KEYS = ["virial", "virials", "REF_virials", "dft_virial"]


def strained(n=12, sign=1.0):
    """Strained copper with energies, stresses, and virials of nine and of six numbers."""
    rng = np.random.default_rng(4)
    images = []
    for k in range(n):
        image = bulk("Cu", cubic=k % 2 > 0)
        strain = rng.normal(size=(3, 3))
        cell = image.cell.array @ (np.eye(3) + 0.01 * (strain + strain.T))
        image.set_cell(cell, scale_atoms=True)
        image.calc = EMT()
        stress = image.get_stress(voigt=False)
        virial = -sign * stress * image.get_volume()
        image.info = {"E": image.get_potential_energy(), "own_stress": stress}
        image.info |= {key: virial for key in KEYS}
        image.info["short_virial"] = virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        image.calc = None
        images.append(image)
    return images


@pytest.mark.parametrize("key", [*KEYS, "short_virial"])
@pytest.mark.parametrize("suffix", ["xyz", "traj", "memory"])
def test_virials_are_stresses(key, suffix, tmp_path):
    """From a file of ASE too, also of structures of one atom."""
    dataset = from_ase(strained())
    if suffix != "memory":
        import ase.io

        ase.io.write(tmp_path / f"a.{suffix}", strained(), **_format(suffix))
        dataset = read(tmp_path / f"a.{suffix}")
    expected = stress_values(from_ase(strained()), "own_stress")
    np.testing.assert_allclose(stress_values(dataset, key), expected, rtol=1e-7, atol=1e-9)


def _format(suffix):
    return {"format": "extxyz"} if suffix == "xyz" else {}


def test_a_model_of_virials_is_that_of_stresses():
    data = from_ase(strained())
    recipe = ml.features(cutoff=3.5)
    found = []
    for key in ("own_stress", "virials"):
        target = ml.Target(key="E", unit="eV")
        model = ml.train(recipe, data, target, estimator=ml.Ridge(regularization=1e-6), stress=key)
        found.append(model.predict(data.structures, stress=True))
    np.testing.assert_allclose(found[0].stress, found[1].stress, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found[0].values, found[1].values, rtol=0, atol=1e-9)


def test_units_of_virials_are_energies():
    own = StressSettings(key="REF_virials", unit="Hartree")
    assert own.factor("eV") == pytest.approx(units.Hartree)
    with pytest.raises(UnitError, match="GPa"):
        StressSettings(key="virial", unit="GPa").factor("eV")
    with pytest.raises(UnitError, match="Hartree"):
        StressSettings(key="stress", unit="Hartree").factor("eV")


@pytest.mark.parametrize("key", ["virial", "own_stress"])
def test_nine_numbers_in_another_order_are_refused(key):
    images = strained(3)
    images[1].info[key] = images[1].info[key].flatten()[[0, 4, 8, 1, 2, 5, 3, 6, 7]].reshape(3, 3)
    with pytest.raises(DataError, match="not symmetric"):
        stress_values(from_ase(images), key)
    images = strained(3)
    images[1].info[key] = images[1].info[key] + 1e-6 * np.arange(9).reshape(3, 3)  # rounding
    found = stress_values(from_ase(images), key)
    np.testing.assert_array_equal(found, found.mT)


def test_a_virial_without_a_volume_is_refused():
    images = strained(3)
    free = molecule("H2O")
    free.info = {"E": 1.0, "virial": np.eye(3)}
    with pytest.raises(DataError, match="without a cell"):
        stress_values(from_ase([*images, free]), "virial")


def test_the_wrong_sign_of_virials_is_doubted():
    for sign, doubts in ((1.0, set()), (-1.0, {"sign of stress"})):
        data = from_ase(strained(40, sign))
        raw = {"data": "a.xyz", "target": {"key": "E", "unit": "eV", "stress": "virial"}}
        config = config_from_dict(raw)
        sets = Sets(train=data, test=None)
        found = list(doubts_of_derivatives(config, sets.train, data.column("E")[:, None]))
        assert {doubt.kind for doubt in found} == doubts
        assert all("energies rise with 'virial' instead of falling" in d.text for d in found)
        assert derivatives_of(config, sets)["train"][1] is not None


def test_virials_at_the_command_line(tmp_path, monkeypatch, capsys):
    import ase.io

    monkeypatch.chdir(tmp_path)
    ase.io.write("a.xyz", strained(30), format="extxyz")
    text = "data: {train: a.xyz, test_fraction: 0.2}\ncutoff: 3.5\nestimator: {kind: ridge}\n"
    for name, key in (("one", "own_stress"), ("other", "REF_virials")):
        config = f"{text}target: {{key: E, unit: eV, stress: {key}}}\n"
        (tmp_path / f"{name}.yaml").write_text(config)
        assert run(["train", f"{name}.yaml", "-o", name]) == 0
        assert run(["evaluate", f"{name}/model.safetensors", "a.xyz", "--stress", key]) == 0
    tables = [x for x in capsys.readouterr().out.splitlines() if x.startswith("stress")]
    assert len(tables) >= 2
    assert tables[0].split()[2:] == tables[-1].split()[2:]
