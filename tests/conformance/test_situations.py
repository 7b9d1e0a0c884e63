"""Situations from trackers of other programs that a model and its calculator have to survive."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms

import multilode as ml
from multilode.data.ase_atoms import from_ase

# atoms alone and other cells are not like the training
FAR = pytest.mark.filterwarnings("ignore:the surroundings of atom:multilode.errors.DataWarning")

WATER = np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
BASIS = ml.GaussianTypeOrbitals(n_radial=2, radius=3.0)
RECIPE = ml.Representation(
    fields={
        "rho": ml.FieldExpansion(ml.GaussianDensity(0.5), BASIS, 1, neighbor_cutoff=3.0),
        "V": ml.FieldExpansion(ml.SmearedPotential(smearing=0.8, exponent=1.0), BASIS, 1),
    },
    products=(("rho", "rho"), ("rho", "V")),
    species=(1, 8),
    centers=(1, 8),
)


def images(n, seed=0, **more):
    rng = np.random.default_rng(seed)
    return [Atoms("OHH", WATER + 0.08 * rng.normal(size=(3, 3)), **more) for _ in range(n)]


def trained(given, y, estimator=None):
    chosen = estimator or ml.Ridge(regularization=1e-6)
    target = ml.Target(key="energy", unit="eV")
    structures = from_ase(given).structures
    return ml.train(RECIPE, structures, y=torch.as_tensor(y), target=target, estimator=chosen)


@pytest.fixture(scope="module")
def predictor():
    given = images(12)
    return trained(given, np.sin(np.arange(12.0)))


def energies(predictor, given):
    return predictor.predict(from_ase(given).structures).values


def test_case_27_coordinates_next_to_zero_and_on_the_boundary(predictor):
    cell = {"cell": [6.0, 6.0, 6.0], "pbc": True}
    plain = Atoms("OHH", WATER, **cell)
    tiny = Atoms("OHH", np.where(WATER == 0, -4e-52, WATER), **cell)
    moved = Atoms("OHH", WATER + np.array([0, 6.0, np.nextafter(6.0, 0)]), **cell)
    found = energies(predictor, [plain, tiny, moved])
    assert torch.allclose(found, found[:1], rtol=0, atol=1e-9)


def test_case_28_atoms_without_neighbors_are_single_atoms(predictor):
    """Of the near field alone; far fields see each other at any distance."""
    near = replace(
        RECIPE, fields={"rho": RECIPE.fields["rho"]}, products=(("rho", "rho"),), species=(1, 8)
    )
    far = from_ase([Atoms("OH", [[0, 0, 0], [0, 0, 40.0]])]).structures
    alone = from_ase([Atoms("O"), Atoms("H")]).structures
    found, expected = (near.compute(x).joined() for x in (far, alone))
    assert torch.equal(found, expected)


@FAR
def test_case_29_forces_of_one_atom(predictor):
    atom = Atoms("O", [[1.0, 2.0, 3.0]])
    atom.calc = ml.PredictorCalculator(predictor, tolerance=None)
    assert atom.get_forces().shape == (1, 3)
    assert np.abs(atom.get_forces()).max() < 1e-12


def test_case_31_energies_of_a_billion_ev():
    given, y = images(12), np.sin(np.arange(12.0))
    small, large = trained(given, y), trained(given, y - 1e9)
    expected = energies(small, given)
    assert torch.allclose(energies(large, given) + 1e9, expected, rtol=0, atol=1e-5)
    single = from_ase(given).structures.to(dtype=torch.float32)
    found = large.predict(single).values.double() + 1e9
    assert (found - expected).abs().max() < 1e-3  # not the 64 eV between numbers of 32 bits


def _energy(atoms):
    return atoms.get_potential_energy()


def test_case_32_calculators_that_are_copied_and_shared(predictor):
    given = images(4, seed=3)
    for image in given:
        image.calc = ml.PredictorCalculator(predictor, tolerance=None)
    copies = [copy.deepcopy(given), pickle.loads(pickle.dumps(given))]
    with ThreadPoolExecutor(2) as pool:
        found = [list(pool.map(_energy, given)), *([_energy(x) for x in one] for one in copies)]
    np.testing.assert_allclose(found, [energies(predictor, given)] * 3, rtol=0, atol=1e-10)


def test_case_32_calculators_in_a_forked_process(predictor):
    (image,) = images(1, seed=4)
    image.calc = ml.PredictorCalculator(predictor, tolerance=None)
    expected = image.get_potential_energy()
    image.calc.reset()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=lambda: sender.send(image.get_potential_energy()))
    process.start()
    assert receiver.poll(60)
    assert receiver.recv() == expected
    process.join()


@FAR
def test_case_33_only_the_cell_or_only_the_periodicity_changes(predictor):
    (image,) = images(1, cell=[6.0, 6.5, 7.0], pbc=True)
    image.calc = ml.PredictorCalculator(predictor, tolerance=None)
    for change in (
        lambda: image.set_cell([6.2, 6.5, 7.0]),
        lambda: image.set_pbc([True, True, False]),
        lambda: image.set_pbc(False),
    ):
        before = image.get_potential_energy()
        change()
        assert image.get_potential_energy() != before
        assert image.get_potential_energy() == float(energies(predictor, [image])[0])


@pytest.mark.parametrize(
    "estimator",
    [
        ml.Ridge(regularization=1e-6),
        ml.Ridge(),
        ml.KernelRidge(regularization=1e-6),
        ml.SparseKernelRidge(n_active=4, regularization=1e-6),
    ],
    ids=["ridge", "searched", "kernel", "sparse"],
)
@pytest.mark.parametrize("kind", ["isolated", "constant", "duplicated"])
def test_case_35_poor_training_sets_give_finite_models(estimator, kind):
    atoms = [Atoms("O"), Atoms("H")] * 6
    given = {
        "isolated": (atoms, np.tile([-3.0, -1.0], 6)),
        "constant": (images(12), np.full(12, -7.0)),
        "duplicated": (images(3) * 4, np.tile([1.0, 2.0, 4.0], 4)),
    }[kind]
    found = energies(trained(*given, estimator=estimator), given[0])
    assert bool(found.isfinite().all())
    assert (found - torch.as_tensor(given[1])).abs().max() < 1.0


def test_weights_that_overflow_are_no_prediction(predictor):
    """A prediction that is not finite names its structure."""
    weights = tuple(term * 1e308 for term in predictor.model.weights)
    broken = replace(predictor, model=replace(predictor.model, weights=weights))
    with pytest.raises(ValueError, match="structure 0: the prediction is not finite"):
        broken.predict(from_ase(images(2)).structures)
