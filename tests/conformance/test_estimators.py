"""Every estimator, kernel and target keeps the promises of its interface, those of a stranger too.

A row of a table without an example fails here.
"""

from dataclasses import replace

import pytest
import torch
from toys import LeastSquares, Rational

from multilode.config.store import load, save
from multilode.models import (
    ESTIMATORS,
    KERNELS,
    Committee,
    GaussianKernel,
    KernelRidge,
    Network,
    PolynomialKernel,
    Ridge,
    SparseKernelRidge,
    polynomial_kernels,
)
from multilode.models.kernels import ProductKernel, SumKernel
from multilode.models.targets import Forces, Target
from multilode.prediction import learning_curve, train
from multilode.representation.representation import Representation
from multilode.testing import check_estimator, check_kernel, check_target
from toy_tensors import FIELDS, molecules, targets

RECIPE = Representation(
    fields=FIELDS,
    products=(("rho", "rho"), ("rho", "V")),
    species=(1, 6, 8),
    centers=(1, 6, 8),
)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The tables, with a stranger in each."""
    monkeypatch.setitem(ESTIMATORS, "least squares", LeastSquares)
    monkeypatch.setitem(KERNELS, "rational", Rational)


SHARED = {"regularization": 1e-3, "term_weights": (1.0, 0.4)}
MIXED = polynomial_kernels(zeta=(1, 3), normalize=(False, True))
KINDS = {
    "polynomial": PolynomialKernel(zeta=3, normalize=True),
    "linear": PolynomialKernel(zeta=1),
    "gaussian": GaussianKernel(width=0.7),
    "raw gaussian": GaussianKernel(width=2.0, normalize=False),
    "sum": PolynomialKernel() + 0.3 * GaussianKernel(),
    "product": PolynomialKernel(zeta=1) * GaussianKernel(),
    "rational": Rational(),
}
EXAMPLES = {
    "ridge": Ridge(**SHARED),
    "kernel": KernelRidge(**SHARED),
    "linear and cubic kernel": KernelRidge(**SHARED, kernel=MIXED),
    "sparse": SparseKernelRidge(**SHARED, n_active=9, uncertainty=False),
    "sparse mixture": SparseKernelRidge(
        **SHARED, n_active=20, kernel=polynomial_kernels(zeta=(2, 1))
    ),
    "kernel of a stranger": KernelRidge(**SHARED, kernel=Rational()),
    "sparse sum": SparseKernelRidge(**SHARED, n_active=20, kernel=KINDS["sum"]),
    "least squares": LeastSquares(),
}


def test_every_row_has_an_example():
    closed_forms = set(ESTIMATORS.values()) - {Network}  # which has tests of its own
    assert closed_forms == {type(e) for e in EXAMPLES.values()}
    assert set(KERNELS.values()) == {type(k) for k in KINDS.values()} | {SumKernel, ProductKernel}


@pytest.mark.parametrize("name", KINDS)
def test_kernels(name):
    check_kernel(KINDS[name])


@pytest.mark.parametrize("name", EXAMPLES)
def test_estimators(name):
    check_estimator(EXAMPLES[name])


@pytest.mark.parametrize("per", ["structure", "atom"])
@pytest.mark.parametrize("tensor", [None, "scalar", "vector", "matrix"])
def test_targets(tensor, per):
    check_target(Target(key="t", tensor=tensor, per=per, reduce="mean"), RECIPE, molecules(5))


def energies(structures):
    positions = structures.positions.view(-1, 4, 3)
    return torch.exp(-0.2 * torch.cdist(positions, positions).square()).sum(dim=(1, 2))


STRANGERS = {
    "estimator": LeastSquares(),
    "kernel": SparseKernelRidge(**SHARED, n_active=20, kernel=Rational()),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_learns_forces_in_a_committee_and_comes_back_from_a_file(name, tmp_path):
    structures, new = molecules(16), molecules(3, seed=8)
    positions = structures.positions.clone().requires_grad_()
    total = energies(replace(structures, positions=positions)).sum()
    forces = -torch.autograd.grad(total, positions)[0]
    committee = Committee(estimator=STRANGERS[name], n_members=4)
    predictor = train(
        RECIPE,
        structures,
        y=energies(structures),
        target=Target(key="energy"),
        estimator=committee,
        forces=Forces(values=forces, directions=4),
    )
    save(predictor, tmp_path / "m")
    found, again = (
        p.predict(new, forces=True, std=True) for p in (predictor, load(tmp_path / "m"))
    )
    torch.testing.assert_close(again.forces, found.forces, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(again.std, found.std, rtol=1e-7, atol=1e-9)
    assert (found.std > 0).all()


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_has_a_learning_curve_of_tensors(name):
    sets = [(molecules(n, seed=n), targets(molecules(n, seed=n), "vector")) for n in (12, 6)]
    options = {"target": Target(key="v", tensor="vector"), "estimator": STRANGERS[name]}
    curve = learning_curve(
        RECIPE,
        sets[0][0],
        sets[1][0],
        y=sets[0][1],
        test_y=sets[1][1],
        sizes=[6, 12],
        repeats=2,
        **options,
    )
    assert curve.rmse.shape == (2, 2)
    assert bool(curve.rmse.isfinite().all())
