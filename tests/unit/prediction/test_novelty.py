"""Environments far from all of the training are told from those that are like it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from multilode.config.store import load, save
from multilode.data.ase_atoms import from_ase
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity
from multilode.models import KernelRidge, Network, Ridge, SparseKernelRidge, polynomial_kernels
from multilode.models.targets import Target
from multilode.prediction.evaluation import novelty
from multilode.prediction.training import train
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.representation import Representation

RECIPE = Representation(
    fields={"rho": FieldExpansion(GaussianDensity(0.5), GaussianTypeOrbitals(2, 3.0), 1)},
    products=(("rho", "rho"),),
    species=(1, 8),
    centers=(1, 8),
)
KERNEL = polynomial_kernels(zeta=2)
ESTIMATORS = [
    Ridge(regularization=1e-4),
    KernelRidge(kernel=KERNEL, regularization=1e-4),
    SparseKernelRidge(kernel=KERNEL, regularization=1e-4, n_active=10),
    Network(channels=2, hidden=4, steps=2, n_members=1, dtype="float64"),
]


def dimers(n: int, seed: int) -> list[Atoms]:
    """Two waters some Å apart, with bent and stretched bonds."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(n):
        other = molecule("H2O")
        other.rotate(rng.uniform(0, 360), rng.normal(size=3))
        other.translate([0, 0, rng.uniform(2.8, 4.0)])
        images.append(molecule("H2O") + other)
        images[-1].rattle(0.02, rng=rng)
    return images


def trained(images, estimator=ESTIMATORS[0]):
    y = torch.tensor([image.get_distance(0, -1) for image in images])
    target = Target(key="energy", unit="eV", reduce="sum")
    return train(RECIPE, from_ase(images), target=target, y=y, estimator=estimator)


@pytest.fixture(scope="module")
def predictor():
    return trained(dimers(60, 1))


def worst(predictor, images):
    """Largest novelty of each structure."""
    found = novelty(predictor, images).split([len(image) for image in images])
    return torch.stack([each.max() for each in found])


def scaled(image, factor):
    again = image.copy()
    again.positions *= factor
    return again


def test_structures_of_the_same_distribution_are_known(predictor):
    assert (worst(predictor, dimers(300, 2)) > 1).double().mean() < 0.02


def test_compressed_structures_are_far(predictor):
    images = dimers(40, 3)
    assert (worst(predictor, [scaled(image, 0.8) for image in images]) > 1).all()


@pytest.mark.parametrize("distance", [0.3, 1.3])
def test_only_atoms_near_a_strange_one_are_far(predictor, distance):
    """A third molecule has been broken far from the first two: these are as they were."""
    image, broken = dimers(1, 4)[0], molecule("H2O")
    broken.positions[1] = broken.positions[0] + [0, 0, -distance]
    broken.translate([30, 0, 0])
    found = novelty(predictor, image + broken)
    assert (found[:6] <= 1).all()
    assert (found[[6, 7]] > 1).all()


def test_novelty_does_not_depend_on_place_turn_order_and_batch(predictor):
    images = dimers(5, 5)
    before = novelty(predictor, images)
    moved = [image[::-1] for image in images]
    for image in moved:
        image.rotate(70, (1, 2, 3))
        image.translate((5, 6, 7))
    after = novelty(predictor, moved, batch_atoms=7).reshape(5, 6).flip(1).flatten()
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)


def test_a_supercell_is_as_far_as_its_cell(predictor):
    image = dimers(1, 6)[0]
    image.set_cell([7.0, 7.5, 8.0])
    image.pbc = True
    one, many = (novelty(predictor, each) for each in (image, image * (2, 1, 2)))
    torch.testing.assert_close(many, one.repeat(4), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_every_kind_of_model_knows_its_training_and_keeps_it(estimator, tmp_path):
    images = dimers(12, 7)
    predictor = trained(images, estimator)
    save(predictor, tmp_path / "m.safetensors")
    far = [*images[:1], scaled(images[1], 0.75)]
    before, after = (novelty(p, far) for p in (predictor, load(tmp_path / "m.safetensors")))
    assert torch.equal(before, after)
    assert (worst(predictor, far) > 1).tolist() == [False, True]


def test_a_model_without_environments_is_saved_and_says_so(predictor, tmp_path):
    save(replace(predictor, known=None), tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.known is None
    with pytest.raises(ValueError, match="does not know its training set; train it again"):
        novelty(again, dimers(1, 8))


def test_nothing_is_said_of_an_element_in_few_structures():
    images = [Atoms("H2", [[0, 0, 0], [0, 0, 0.7 + 0.01 * k]]) for k in range(12)]
    images += [Atoms("HO", [[0, 0, 0], [0, 0, 1.0]])] * 4
    predictor = trained(images)
    assert set(predictor.known.elements) == {1}
    assert float(novelty(predictor, Atoms("O"))[0]) == 0
