"""Training on tensors from Python: symmetries are taken care of, and predictions have the shape."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multilode.config.store import load, save
from multilode.models import KernelRidge, Ridge, polynomial_kernels
from multilode.models.targets import Target
from multilode.prediction.baseline import CompositionBaseline
from multilode.prediction.training import train
from multilode.representation.representation import Representation
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import Irrep
from multilode.testing import check_tensor_equivariance
from often import often
from toy_tensors import FIELDS, molecules, targets

RECIPE = Representation(
    fields=FIELDS,
    products=(("rho", "rho"), ("rho", "V")),
    species=(1, 6, 8),
    centers=(1, 6, 8),
)


@pytest.mark.parametrize(
    "estimator", [Ridge(), KernelRidge(kernel=polynomial_kernels(zeta=2))], ids=["ridge", "kernel"]
)
@pytest.mark.parametrize("kind", ["vector", "symmetric", "symmetric3"])
def test_shapes_files_and_symmetry(tmp_path, kind, estimator):
    structures = molecules(12)
    y = targets(structures, kind).reshape(12, *tensor_kind(kind).shape)
    target = Target(key="t", tensor=kind)
    predictor = train(RECIPE, structures, y=y, target=target, estimator=estimator)
    beside = {Irrep(0)} if isinstance(estimator, KernelRidge) else set()
    assert set(predictor.representation.irreps) == set(tensor_kind(kind).irreps) | beside
    new = molecules(3, seed=8)
    values = predictor.predict(new).values
    assert values.shape == (3, *tensor_kind(kind).shape)
    save(predictor, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    # a file stores weights row by row, which changes the order of sums
    torch.testing.assert_close(again.predict(new).values, values, rtol=1e-11, atol=1e-12)


PREDICTORS = {}


def trained(kind, estimator, per):
    """One predictor for each case, however many rotations are drawn."""
    key = (kind, repr(estimator), per)
    if key not in PREDICTORS:
        structures = molecules(8)
        y = targets(structures, kind).reshape(8, *tensor_kind(kind).shape)
        if per == "atom":
            y = y.repeat_interleave(4, dim=0)
        target = Target(key="t", tensor=kind, per=per)
        PREDICTORS[key] = train(RECIPE, structures, y=y, target=target, estimator=estimator)
    return PREDICTORS[key]


ESTIMATORS = {"ridge": Ridge(), "kernel": KernelRidge(kernel=polynomial_kernels(zeta=2))}
KINDS = ("scalar", "vector", "symmetric", "matrix", "symmetric3")
CASES = list(itertools.product(ESTIMATORS, KINDS, ("structure", "atom")))
# targets of atoms differ in what is summed, which is the same for all kinds
OF_ATOMS = [("ridge", "vector"), ("kernel", "matrix")]
USUAL = [c for c in CASES if c[2] == "structure" or c[:2] in OF_ATOMS]


@pytest.mark.parametrize(("name", "kind", "per"), often(CASES, USUAL))
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), improper=st.booleans())
def test_predictors_rotate_with_their_structures(name, kind, per, seed, improper):
    generator = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator).double())
    rotation = rotation * torch.sign(torch.linalg.det(rotation)) * (-1 if improper else 1)
    predictor = trained(kind, ESTIMATORS[name], per)
    check_tensor_equivariance(
        lambda s: predictor.predict(s).values, molecules(2, seed=seed + 1), rotation
    )


def test_what_does_not_rotate_is_found():
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0))).Q
    with pytest.raises(AssertionError, match="not close"):
        check_tensor_equivariance(lambda s: s.positions.abs(), molecules(1), rotation.double())
    with pytest.raises(AssertionError, match="largest number is 0"):
        check_tensor_equivariance(lambda s: 0 * s.positions, molecules(1), rotation.double())


def test_a_baseline_of_tensors_is_isotropic():
    """And so is what structures of one atom get, which no direction distinguishes."""
    structures = molecules(12)
    y = targets(structures, "symmetric") + 7 * torch.eye(3, dtype=torch.float64).flatten()
    target = Target(key="t", tensor="symmetric", reduce="mean")
    predictor = train(
        RECIPE, structures, y=y, target=target, estimator=Ridge(), baseline=CompositionBaseline()
    )
    constants = predictor.baseline.constants.view(-1, 3, 3)
    isotropic = constants.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None] * torch.eye(3)
    torch.testing.assert_close(constants, isotropic.double(), rtol=1e-12, atol=1e-12)
    alone = predictor.predict(structures.atoms_apart(torch.arange(4))).values
    own = alone.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(own, own[:, :1].expand(-1, 3), rtol=1e-10, atol=1e-10)
    assert (alone - torch.diag_embed(own)).abs().max() < 1e-10


def test_vectors_on_atoms_are_gradients_of_scalars_on_structures():
    """Two ways to one quantity: the force on each atom, learned as a vector of the atom."""
    structures = molecules(40)
    positions = structures.positions.clone().requires_grad_()
    moved = replace(structures, positions=positions).positions.view(-1, 4, 3)
    energy = torch.exp(-0.2 * torch.cdist(moved, moved).square()).sum()
    (gradient,) = torch.autograd.grad(energy, positions)
    target = Target(key="force", tensor="vector", per="atom")
    recipe = replace(RECIPE, products=(("rho",), ("V",), ("rho", "rho")))
    predictor = train(recipe, structures, y=-gradient, target=target, estimator=Ridge())
    fitted = predictor.predict(structures).values
    assert fitted.shape == (160, 3)
    assert (fitted + gradient).norm() < 0.1 * gradient.norm()
    with pytest.raises(ValueError, match="a target of atoms: give 160 rows"):
        train(recipe, structures, y=gradient[:40], target=target, estimator=Ridge())


def test_irreps_without_a_tensor_are_refused():
    recipe = replace(RECIPE, irreps=(Irrep(1),))
    with pytest.raises(ValueError, match="'e' is no tensor"):
        train(recipe, molecules(4), y=torch.ones(4), target=Target(key="e"), estimator=Ridge())
