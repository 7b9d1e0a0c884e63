import numpy as np
import pytest
import torch

from multilode.correlations.contraction import ContractionSettings, fit_projection
from multilode.correlations.selection import (
    TrainingRows,
    cur,
    farthest_points,
    principal_components,
)
from multilode.symmetry.irrep import Irrep


def rows(n_centers, degree, sizes, seed=0):
    """Features of given sizes, mixed by nothing."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n_centers, 2 * degree + 1, len(sizes))
    return torch.randn(shape, generator=generator, dtype=torch.float64) * torch.tensor(sizes)


def reconstructed(x, matrix):
    """Fraction of the variance of the rows that a least-squares fit gives back."""
    z = x @ matrix
    fit = z @ torch.linalg.lstsq(z, x).solution
    return 1 - float(((x - fit) ** 2).sum() / (x**2).sum())


@pytest.mark.parametrize("selection", ["pca", "fps", "cur"])
@pytest.mark.parametrize("irrep", [Irrep(0), Irrep(1), Irrep(0, -1)])
def test_reported_fraction(selection, irrep):
    """Against least squares on the rows themselves."""
    x = rows(50, irrep.degree, [3.0, 2.0, 1.0, 0.5, 0.1])
    x = x @ rows(5, 0, [1.0] * 5, seed=1)[:, 0]
    settings = ContractionSettings(selection=selection, max_features=3)
    matrix, kept = fit_projection(TrainingRows.of(irrep, x), settings)
    flat = x.flatten(0, 1)
    if irrep == Irrep(0):
        flat = flat - flat.mean(dim=0)
    assert (kept.n_before, kept.n_after) == (5, 3)
    assert kept.fraction == pytest.approx(reconstructed(flat, matrix), abs=1e-10)
    assert 0.5 < kept.fraction < 1


@pytest.mark.parametrize("n_centers", [1, 40])  # fewer rows than features, and more
def test_components_are_singular_vectors(n_centers):
    x = rows(n_centers, 1, [3.0, 2.0, 1.0, 0.5]) @ rows(4, 0, [1.0] * 4, seed=1)[:, 0]
    training = TrainingRows.of(Irrep(1), x)
    matrix, kept = fit_projection(training, ContractionSettings(max_features=2))
    _, values, vectors = torch.linalg.svd(x.flatten(0, 1), full_matrices=False)
    expected = vectors[:2].T
    torch.testing.assert_close(matrix @ matrix.T, expected @ expected.T)
    torch.testing.assert_close(matrix.T @ matrix, torch.eye(2, dtype=torch.float64))
    assert kept.fraction == pytest.approx(float((values[:2] ** 2).sum() / (values**2).sum()))


def test_threshold_of_the_variance():
    x = torch.diag_embed(torch.tensor([10.0, 3.0, 1.0, 0.1], dtype=torch.float64))[:, None]
    squares = torch.tensor([100.0, 9.0, 1.0, 0.01])
    for variance, expected in ((0.9, 1), (0.95, 2), (0.995, 3), (1.0, 4)):
        settings = ContractionSettings(variance=variance)
        matrix, _ = fit_projection(TrainingRows.of(Irrep(0, -1), x), settings)
        assert matrix.shape[1] == expected
        assert float(squares[:expected].sum() / squares.sum()) >= variance - 1e-6


def test_a_large_mean_is_not_all_that_is_kept():
    """Invariants: the mean comes first, then what varies, until the threshold."""
    x = rows(200, 0, [1.0, 1.0, 1.0]) + torch.tensor([1e3, 1e3, 0.0])
    matrix, kept = fit_projection(TrainingRows.of(Irrep(0), x), ContractionSettings(variance=0.99))
    assert kept.n_after == 3
    mean = x.mean(dim=(0, 1))
    torch.testing.assert_close(matrix[:, 0], mean / mean.norm())
    torch.testing.assert_close(matrix.T @ matrix, torch.eye(3, dtype=torch.float64))
    assert principal_components(TrainingRows.of(Irrep(0), x), 1, 1.0).shape == (3, 1)


def test_dependent_features_are_not_kept_twice():
    x = rows(30, 1, [1.0, 0.7, 0.4])
    double = torch.cat([x, 2 * x, -x], dim=2)
    training = TrainingRows.of(Irrep(1), double)
    for selection in ("pca", "cur"):
        settings = ContractionSettings(selection=selection, max_features=9)
        _, kept = fit_projection(training, settings)
        assert kept.n_after == 3
        assert kept.fraction == pytest.approx(1, abs=1e-10)
    twice = TrainingRows.of(Irrep(1), torch.cat([x, x], dim=2))
    assert len(farthest_points(twice, 6)) == 3


def test_farthest_points_by_their_definition():
    block = rows(20, 1, np.linspace(1, 2, 8).tolist())
    chosen, x = farthest_points(TrainingRows.of(Irrep(1), block), 5).tolist(), block.flatten(0, 1)
    assert chosen[0] == int(x.norm(dim=0).argmax())
    for k in range(1, 5):
        distance = torch.cdist(x.T, x.T[chosen[:k]]).min(dim=1).values
        assert chosen[k] == int(distance.argmax())


def test_cur_takes_what_the_others_do_not_span():
    """Three groups of nearly equal features: one of each."""
    groups = rows(60, 0, [1.0, 0.9, 0.8]).flatten(0, 1)
    x = groups.repeat_interleave(4, dim=1)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = x + 1e-3 * noise
    assert {int(k) // 4 for k in cur(TrainingRows.of(Irrep(0), x[:, None]), 3)} == {0, 1, 2}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"selection": "random"}, "selection is 'random'; allowed are 'pca', 'fps', 'cur'"),
        ({"max_features": 0}, "max_features is 0; it must be at least 1"),
        ({"variance": 1.5}, r"variance is 1.5; it must lie in \(0, 1\]"),
        ({"selection": "cur", "variance": 0.9}, "give max_features instead"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        ContractionSettings(**settings)


def test_many_rows_are_replaced_by_few():
    """Batches far larger than the number of features, against all rows at once."""
    blocks = [rows(30, 0, [3.0, 2.0, 1.0], seed) + 0.7 for seed in range(5)]
    total = TrainingRows.of(Irrep(0), blocks[0])
    for block in blocks[1:]:
        total = total + TrainingRows.of(Irrep(0), block)
    x = torch.cat(blocks)[:, 0]
    assert len(total.rows) == 3
    assert total.count == len(x)
    torch.testing.assert_close(total.rows.T @ total.rows, x.T @ x)
    torch.testing.assert_close(total.mean, x.mean(dim=0))
    torch.testing.assert_close(total.variance(), x.var(dim=0, correction=0).sum())
