"""Exported files, computed by the calculator of metatomic, beside ours."""

import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms

from driven import ESTIMATORS, PERIODS, model, salt
from multilode.data.ase_atoms import from_ase
from multilode.data.units import energy_in_ev
from multilode.engines.calculator import PredictorCalculator
from multilode.errors import UserError
from multilode.models.targets import Target
from multilode.representation.sources import GivenSources

REASON = "metatomic is not installed: pip install 'multilode[metatomic]'"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TorchScript is deprecated
    mta = pytest.importorskip("metatomic.torch", reason=REASON)
    MetatomicCalculator = pytest.importorskip("metatomic_ase", reason=REASON).MetatomicCalculator
    from metatensor.torch import Labels

    from multilode.engines.metatomic import export

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*stress:UserWarning")
ENSEMBLE, ERROR = "energy_ensemble", "energy_uncertainty"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Models and files by the name of the estimator, made once."""
    folder, made = tmp_path_factory.mktemp("exported"), {}

    def get(name):
        if name not in made:
            predictor, path = model(name), folder / f"{name}.pt"
            export(predictor, path)
            made[name] = predictor, path
        return made[name]

    return get


@pytest.mark.parametrize("name", ESTIMATORS)
def test_energies_forces_and_stresses_are_those_of_our_calculator(exported, name):
    predictor, path = exported(name)
    ours = PredictorCalculator(predictor, tolerance=None)
    theirs = MetatomicCalculator(path, device="cpu", check_consistency=True)
    theirs.parameters["uncertainty_threshold"] = 1e6
    for kind in PERIODS:
        atoms, same = salt(kind, seed=40), salt(kind, seed=40)
        atoms.calc, same.calc = ours, theirs
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        assert np.abs(forces).max() > 1e-2
        assert same.get_potential_energy() == pytest.approx(energy, rel=1e-12)
        np.testing.assert_allclose(same.get_forces(), forces, rtol=0, atol=1e-10)
        assert same.get_potential_energies().sum() == pytest.approx(energy, rel=1e-12)
        if kind == "crystal":
            stress = atoms.get_stress()
            np.testing.assert_allclose(same.get_stress(), stress, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_single_precision_is_that_of_the_file(tmp_path, name):
    predictor = model(name)
    assert export(predictor, tmp_path / "model.pt", dtype="float32").dtype == "float32"
    ours = PredictorCalculator(predictor, tolerance=None)
    theirs = MetatomicCalculator(tmp_path / "model.pt", device="cpu", check_consistency=True)
    theirs.parameters["uncertainty_threshold"] = 1e6
    for kind in ("crystal", "molecule"):
        atoms, same = salt(kind, seed=40), salt(kind, seed=40)
        atoms.calc, same.calc = ours, theirs
        scale = abs(atoms.get_potential_energy())
        apart = abs(same.get_potential_energy() - atoms.get_potential_energy())
        assert 0 < apart < 1e-5 * scale
        forces = atoms.get_forces()
        wrong = np.abs(same.get_forces() - forces).max()
        assert 0 < wrong < 1e-3 * max(1, np.abs(forces).max())


def test_another_type_or_device_is_refused(tmp_path):
    with pytest.raises(UserError, match="dtype is 'float16'; use 'float64' or 'float32'"):
        export(model("linear"), tmp_path / "model.pt", dtype="float16")
    export(model("linear"), tmp_path / "model.pt")
    with pytest.raises((ValueError, RuntimeError), match="cuda"):
        MetatomicCalculator(tmp_path / "model.pt", device="cuda")


def called(path, images, names, kind="system", selected=None):
    """Values and samples of outputs, all checked by metatomic."""
    outputs = {name: mta.ModelOutput(unit="eV", sample_kind=kind) for name in names}
    options = mta.ModelEvaluationOptions(
        length_unit="Angstrom", outputs=outputs, selected_atoms=selected
    )
    free = [Atoms(a.numbers, a.positions, cell=a.cell * a.pbc[:, None], pbc=a.pbc) for a in images]
    systems = mta.systems_to_torch(free, dtype=torch.float64)
    loaded = mta.load_atomistic_model(path)
    return {
        name: (found.block().values.detach(), found.block().samples.values)
        for name, found in loaded(systems, options, check_consistency=True).items()
    }


@pytest.mark.parametrize("name", ["committee", "network"])
def test_members_spread_as_error_bars_say(exported, name):
    predictor, path = exported(name)
    images = [salt("molecule", seed=50), salt("crystal", seed=51)]
    found = called(path, images, ("energy", ENSEMBLE, ERROR))
    expected = predictor.predict(from_ase(images), std=True)
    assert found[ENSEMBLE][0].shape[1] > 3
    torch.testing.assert_close(found["energy"][0][:, 0], expected.values)
    torch.testing.assert_close(found[ERROR][0][:, 0], expected.std)
    torch.testing.assert_close(found[ENSEMBLE][0].mean(dim=1), expected.values)
    if name == "committee":
        torch.testing.assert_close(found[ENSEMBLE][0].std(dim=1), expected.std)


def test_errors_of_a_gaussian_process_are_those_of_the_model(exported):
    predictor, path = exported("kernel")
    images = [salt("molecule", seed=50), salt("crystal", seed=51)]
    found = called(path, images, (ERROR,))[ERROR][0]
    torch.testing.assert_close(found[:, 0], predictor.predict(from_ase(images), std=True).std)


def test_chosen_atoms_have_their_shares_and_add_up(exported):
    _, path = exported("committee")
    images = [salt("molecule", seed=50), salt("crystal", seed=51)]
    names = ("energy", ENSEMBLE, ERROR)
    of_atoms = called(path, images, names, kind="atom")
    first = Labels(["system", "atom"], torch.tensor([[0, 2], [1, 3], [1, 0]], dtype=torch.int32))
    second = Labels(["system", "atom"], torch.tensor([[0, 0], [0, 1], [0, 3], [1, 1], [1, 2]]))
    some = called(path, images, names, kind="atom", selected=first)
    sums = [called(path, images, names, selected=chosen) for chosen in (first, second)]
    whole = called(path, images, names)
    for name in names:
        values, samples = some[name]
        assert samples.tolist() == first.values.tolist()
        torch.testing.assert_close(values, of_atoms[name][0][[2, 7, 4]])
        if name != ERROR:
            torch.testing.assert_close(sums[0][name][0] + sums[1][name][0], whole[name][0])


def test_units_are_converted(tmp_path):
    predictor = model("linear", unit="kcal/mol")
    export(predictor, tmp_path / "model.pt")
    image = salt("molecule", seed=50)
    found = called(tmp_path / "model.pt", [image], ("energy",))["energy"][0]
    expected = energy_in_ev("kcal/mol") * predictor.predict(image).values
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-12, atol=0)


def test_capabilities_say_what_the_model_is(exported):
    linear = mta.load_atomistic_model(exported("linear")[1]).capabilities()
    assert list(linear.outputs) == ["energy"]
    assert (linear.atomic_types, linear.dtype) == ([11, 17], "float64")
    assert linear.length_unit == "Angstrom"
    assert linear.interaction_range == float("inf")
    network = mta.load_atomistic_model(exported("network")[1]).capabilities()
    kinds = {name: output.sample_kind for name, output in network.outputs.items()}
    assert kinds == {"energy": "atom", ENSEMBLE: "system", ERROR: "system"}


def test_a_local_model_says_how_far_it_looks(exported, tmp_path):
    predictor, _ = exported("linear")
    whole = predictor.representation
    local = replace(whole, fields={"rho": whole.fields["rho"]}, products=(("rho", "rho"),))
    width = local.compute(salt("molecule")).invariants[0].shape[1]
    weights = (torch.ones(2 * width, 1, dtype=torch.float64),)  # of both kinds of centers
    one = replace(predictor, representation=local, model=replace(predictor.model, weights=weights))
    assert export(one, tmp_path / "model.pt").interaction_range == 3.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": Target(key="gap", unit="eV", reduce="mean")}, "'gap' is no energy"),
        ({"target": Target(key="dipole", unit="D")}, "'dipole' cannot be converted to eV"),
        ({"target": Target(key="gap")}, "does not name the unit of 'gap'"),
        ({"given": True}, "needs 'charge' of each atom"),
    ],
)
def test_what_is_no_energy_of_atoms_alone_is_refused(exported, tmp_path, change, said):
    predictor, _ = exported("linear")
    if change.pop("given", False):
        sources = {"V": GivenSources(keys=("charge",))}
        change["representation"] = replace(predictor.representation, sources=sources)
    with pytest.raises(UserError, match=said):
        export(replace(predictor, **change), tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == []


def test_who_has_not_imported_the_operator_reads_what_to_import(exported):
    _, path = exported("linear")
    code = f"import metatomic.torch as m; m.load_atomistic_model({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "multilode::first_import_multilode_engines_metatomic" in done.stderr
    assert "Warning: failed to load" not in done.stderr
