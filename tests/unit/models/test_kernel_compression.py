"""Second moments of equivariants, and compressed environments, against kernels pair by pair."""

from dataclasses import replace

import pytest
import torch

from multilode.models import KernelRidge, PolynomialKernel, Problem, polynomial_kernels
from multilode.models.kernel_ridge import compressed, kernel_ridge
from multilode.models.kernels import compression
from multilode.models.kernels.compression import CompressionSample
from multilode.models.kernels.row_kernels import _pair_kernel, kernel_between, prepare_terms
from multilode.models.kernels.second_moments import moment_kernel, moments_are_cheaper
from multilode.representation.representation import Representation
from multilode.symmetry.irrep import Irrep
from regressions import copied, learned, tensor_regression
from toy_tensors import FIELDS, molecules, targets

SQUARES = PolynomialKernel(zeta=2, normalize=True)


def representation():
    return Representation(
        fields=FIELDS,
        products=(("rho", "rho"), ("rho", "V")),
        species=(1, 6, 8),
        centers=(1, 6, 8),
        irreps=(Irrep(0), Irrep(2)),
    )


def environments(n, seed=0, centers=None, **options):
    rows = representation().compute(molecules(n, seed)).rows(Irrep(2), invariants=True)
    kernels = (SQUARES, SQUARES)
    return prepare_terms(rows, kernels, reduce="mean", centers=centers, **options)


@pytest.mark.parametrize("term", [0, 1])
def test_second_moments_of_equivariants_are_the_kernel_pair_by_pair(term):
    rows, others = environments(3).terms[term], environments(2, seed=5).terms[term]
    expected = _pair_kernel(SQUARES, rows, rows, 2**20)
    for block_bytes in (8 * 30 * 25**2, 2**25):
        found = moment_kernel(rows, rows, block_bytes)
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
        found = moment_kernel(rows, others, block_bytes)
        expected_others = _pair_kernel(SQUARES, rows, others, 2**20)
        torch.testing.assert_close(found, expected_others, rtol=1e-11, atol=1e-12)


def test_second_moments_are_cheaper_for_many_centers_in_few_structures():
    rows = environments(2).terms[0]
    assert not moments_are_cheaper(rows, rows, 2**20)
    many = replace(
        rows,
        points=rows.points[torch.arange(len(rows.points)).repeat(3000)],
        row_index=torch.arange(10).repeat_interleave(3000 * 4),
        slots=rows.slots.repeat(3000),
    )
    assert moments_are_cheaper(many, many, 2**20)


def test_progress_of_a_kernel_has_a_total():
    rows, calls = environments(3).terms[0], []
    moment_kernel(rows, rows, 8 * 30 * 25**2, progress=lambda *call: calls.append(call))
    assert [done for done, _ in calls] == list(range(1, calls[0][1] + 1))
    _pair_kernel(SQUARES, rows, rows, 2**10, progress=lambda *call: calls.append(call))
    assert calls[-1] == (len(rows.points), len(rows.points))


def compression_of(rows, n_slots, tolerance):
    sample = CompressionSample(n_slots)
    half = torch.arange(rows.n_rows // 2)
    sample.add(rows.select(half))
    sample.add(rows.select(half + len(half)))
    return sample.compression(tolerance)


@pytest.mark.parametrize("term", [0, 1])
def test_kernels_of_compressed_environments_differ_by_what_is_left_out(term):
    rows = environments(100).terms[term]
    exact = kernel_between(SQUARES, rows, rows)
    errors = []
    for tolerance in (1e-2, 1e-4):
        found = compression_of(rows, 1, tolerance)
        chosen = [found if k == term else None for k in range(2)]
        own = environments(100, compressions=chosen).terms[term]
        assert own.points.values.shape[1] <= rows.points.values.shape[1]
        left_out = exact - kernel_between(SQUARES, own, own)
        errors.append(float(left_out.trace() / exact.trace()))
        assert float(torch.linalg.eigvalsh(left_out)[0]) > -1e-10 * float(exact.trace())
    assert 1e-4 < errors[0] < 5e-2
    assert errors[1] < 5e-4
    assert compression_of(rows, 1, 0.0) is None  # nothing is saved


def test_too_few_environments_of_one_kind_are_not_compressed():
    rows = environments(80, centers=(1, 6, 8)).terms[0]
    assert compression_of(rows, 3, 1e-4) is not None
    assert compression_of(rows, 4, 1e-4) is None  # none of the fourth kind
    assert compression_of(rows.select(range(8)), 3, 1e-4) is None


@pytest.mark.parametrize("normalize", [False, True])
def test_compressed_models_predict_rotate_and_come_back(monkeypatch, normalize):
    recipe, train = representation(), molecules(40)
    y = targets(train, "symmetric")
    kernel = polynomial_kernels(zeta=2, normalize=normalize)
    settings = {"kernel": kernel, "regularization": 1e-5, "term_weights": (1.0, 0.3)}
    regression = tensor_regression("symmetric", KernelRidge(**settings))
    features = recipe.compute(train)
    whole, _ = learned(regression, recipe, features, y)
    monkeypatch.setattr(compressed, "POINTS_PER_FEATURE", 1)
    monkeypatch.setattr(compression, "_POINTS_PER_DIRECTION", 1)
    narrow = tensor_regression("symmetric", KernelRidge(**settings, compression=1e-6))
    model, design = learned(narrow, recipe, features, y)
    assert all(part.compressions == () for part in whole.parts.values())
    part = model.parts[Irrep(2)]
    assert sum(c.values.shape[2] for c in part.compressions) < sum(
        c.values.shape[1] for c in part.compressions
    )
    new = recipe.compute(molecules(3, seed=9))
    expected, spread = whole.predict_with_std(new)
    found, std = model.predict_with_std(new)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-2 * float(y.std()))
    torch.testing.assert_close(std, spread, rtol=5e-2, atol=1e-3)
    torch.testing.assert_close(copied(model).predict(new), found, rtol=1e-12, atol=1e-12)
    kernels = design.parts[Irrep(2)].beside(design.parts[Irrep(2)])
    torch.testing.assert_close(kernels[0], kernels[0].T)
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(4)).double())
    turned = model.predict(recipe.compute(molecules(3, seed=9, rotation=q))).view(-1, 3, 3)
    straight = q @ found.view(-1, 3, 3) @ q.T
    torch.testing.assert_close(turned, straight, rtol=1e-9, atol=1e-9)


def test_sampling_ends_with_enough_environments(monkeypatch):
    monkeypatch.setattr(compressed, "POINTS_PER_FEATURE", 1)
    recipe, seen = representation(), []

    def sample(n, seed):
        for k in range(30):
            seen.append(k)
            yield recipe.compute(molecules(20, seed=k))

    problem, linear = Problem.of(recipe, irrep=Irrep(2)), polynomial_kernels(zeta=1)

    def found(kernel, own=problem, tolerance=1e-3):
        return compressed.fitted_compressions(
            own, (kernel, kernel), (1, 6, 8), sample, seed=0, tolerance=tolerance
        )

    assert len(found(SQUARES)) == 2
    assert 0 < len(seen) < 30
    assert found(linear) == found(SQUARES, tolerance=0) == ()
    assert found(SQUARES, replace(problem, irrep=Irrep(0)), None) == ()
    with pytest.warns(UserWarning, match=r"of \d+\), which leaves out 0.1 % of the variance"):
        assert len(found(SQUARES, tolerance=None)) == 2
    with pytest.raises(ValueError, match="share of the variance"):
        KernelRidge(compression=1.0)


def test_large_environments_are_not_kept_for_standard_deviations_alone(monkeypatch):
    recipe, train = representation(), molecules(8)
    y, features = targets(train, "symmetric"), recipe.compute(train)
    settings = {"regularization": 1e-5, "term_weights": (1.0, 0.3)}
    monkeypatch.setattr(kernel_ridge, "_KEPT_BYTES", 1000)
    regression = tensor_regression("symmetric", KernelRidge(**settings))
    with pytest.warns(UserWarning, match="no standard deviations"):
        model, _ = learned(regression, recipe, features, y)
    part = model.parts[Irrep(2)]
    assert all(len(term.points) == 0 for term in part.environments)
    with pytest.raises(ValueError, match="uncertainty=True"):
        model.predict_with_std(features)
    asked = tensor_regression("symmetric", KernelRidge(**settings, uncertainty=True))
    kept, _ = learned(asked, recipe, features, y)
    assert kept.predict_with_std(features)[1].shape == (8, 9)


def test_files_without_moments_of_equivariants_predict_the_same():
    recipe, train = representation(), molecules(8)
    settings = {"regularization": 1e-5, "term_weights": (1.0, 0.3)}
    regression = tensor_regression("symmetric", KernelRidge(**settings))
    model, _ = learned(regression, recipe, recipe.compute(train), targets(train, "symmetric"))
    part = model.parts[Irrep(2)]
    before = replace(part, moments=tuple(torch.zeros(0, dtype=torch.float64) for _ in range(2)))
    new = recipe.compute(molecules(2, seed=3))
    torch.testing.assert_close(before.predict(new), part.predict(new), rtol=1e-9, atol=1e-11)
