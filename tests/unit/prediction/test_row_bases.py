"""Few directions of many columns: inner products of rows hardly change in them."""

import pytest
import torch

from multilode.models.solve.scaling import column_factors
from multilode.prediction.row_bases import MOST_COLUMNS, RowBasis


def rows(n, columns, channels, decay, seed=0):
    """Rows with correlated columns, of variances that fall from one to the next."""
    generator = torch.Generator().manual_seed(seed)
    strengths = decay ** torch.arange(columns, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(columns, columns, generator=generator).double()).Q
    values = torch.randn(n, channels, columns, generator=generator).double() * strengths.sqrt()
    return (values @ turn.T).permute(0, 2, 1)


@pytest.mark.parametrize("n", [3, 40])  # fewer rows than columns, and more
def test_few_columns_are_turned_and_nothing_is_lost(n):
    values = rows(n, 12, 2, 0.8)
    kept = RowBasis.of(values, 0.0).of_rows(values)
    for channel in range(2):
        expected = values[:, :, channel] @ values[:, :, channel].T
        found = kept[:, :, channel] @ kept[:, :, channel].T
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_columns_are_divided_by_powers_of_their_spread_over_all_channels():
    values = rows(40, 12, 2, 0.5)
    factors = column_factors(values.permute(0, 2, 1).flatten(end_dim=1), 0.5)
    kept = RowBasis.of(values, 0.5).of_rows(values)
    scaled = values * factors[:, None]
    expected = torch.einsum("rcq,scp->rsqp", scaled, scaled)
    torch.testing.assert_close(
        torch.einsum("rcq,scp->rsqp", kept, kept), expected, rtol=1e-10, atol=1e-10
    )


def test_of_many_columns_the_largest_variances_are_kept():
    values = rows(300, 400, 2, 0.93)
    basis = RowBasis.of(values, 0.0)
    kept = basis.of_rows(values)
    assert kept.shape[1] == MOST_COLUMNS
    lost = 1 - float(kept.square().sum() / values.square().sum())
    flat = values.permute(0, 2, 1).flatten(end_dim=1)
    variances = torch.linalg.svdvals(flat).square()
    best = float(variances[MOST_COLUMNS:].sum() / variances.sum())
    assert 0 <= best <= lost <= 1.1 * best
    assert best < 1e-3


def test_rows_that_were_not_looked_at_lie_in_the_same_directions():
    known, new = rows(300, 400, 1, 0.8), rows(300, 400, 1, 0.8)
    new = new.flip(0)[:50]
    kept = RowBasis.of(known, 0.0).of_rows(new)
    assert float(kept.square().sum() / new.square().sum()) == pytest.approx(1, abs=1e-10)
