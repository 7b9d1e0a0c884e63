"""Errors against their definitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multilode.prediction.comparison import Errors
from multilode.prediction.errors import (
    ErrorRow,
    error_table,
    mae,
    rmse,
    rmse_percent,
    standard_deviation,
)


def draw(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(
        st.tuples(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6)),
        min_size=2,
        max_size=20,
    )
)
def test_errors_equal_their_definitions(values):
    reference, predicted = (
        torch.tensor(v, dtype=torch.float64) / 1000 for v in zip(*values, strict=True)
    )
    a, b = reference.numpy(), predicted.numpy()
    expected = math.sqrt(np.mean((a - b) ** 2))
    assert rmse(reference, predicted) == pytest.approx(expected, rel=1e-12)
    assert mae(reference, predicted) == pytest.approx(np.abs(a - b).mean(), rel=1e-12)
    if np.unique(a).size > 1:
        percent = rmse_percent(reference, predicted)
        assert percent == pytest.approx(100 * expected / np.std(a), rel=1e-9)


def test_the_mean_of_the_test_set_has_an_error_of_one_hundred_percent():
    reference = draw(0, 30, 3) * torch.tensor([1.0, 5.0, 0.1]).double() + 7
    assert rmse_percent(reference, reference.mean(0).expand(30, 3)) == pytest.approx(100)


def test_a_constant_reference_has_no_relative_error():
    constant = torch.full((3,), 0.1).double()
    assert standard_deviation(constant) == 0
    assert math.isnan(rmse_percent(constant, constant + 1))


def test_table_lists_all_and_then_the_groups():
    reference = torch.tensor([0.0, 2.0, 10.0, 14.0, 5.0]).double()
    predicted = reference + torch.tensor([1.0, -1.0, 3.0, 3.0, 0.0]).double()
    rows = error_table(reference, predicted, ["b", "b", "a", "a", "c"])
    assert [(row.group, row.n) for row in rows] == [("all", 5), ("b", 2), ("a", 2), ("c", 1)]
    assert [row.rmse for row in rows[1:]] == [1.0, 3.0, 0.0]
    assert rows[0].mae == pytest.approx(8 / 5)
    assert rows[2].rmse_percent == pytest.approx(3.0 / 2.0 * 100)
    assert math.isnan(rows[3].rmse_percent)
    assert len(error_table(reference, predicted)) == 1


def test_errors_are_also_relative_to_what_the_baseline_leaves():
    reference, predicted, baseline = draw(0, 20, 2), draw(1, 20, 2), 3 * draw(2, 20, 2)
    bars = draw(3, 20, 2).abs()
    groups = ["a", "b"] * 10
    rows = error_table(reference, predicted, groups, baseline=baseline, bars=bars)
    for row, some in zip(rows, (slice(None), slice(0, None, 2), slice(1, None, 2)), strict=True):
        rest = (reference - baseline)[some].numpy()
        deviation = math.sqrt(np.mean(np.var(rest, axis=0)))
        assert row.rmse_percent_of_rest == pytest.approx(100 * row.rmse / deviation)
        inside = ((predicted - reference).abs() <= bars)[some].double().mean()
        assert row.within_bars_percent == pytest.approx(100 * float(inside))
    assert math.isnan(error_table(reference, predicted)[0].rmse_percent_of_rest)
    assert math.isnan(error_table(reference, reference, baseline=reference)[0].within_bars_percent)
    assert "% of the rest" in rows[0].written("all", "eV")


def test_what_cannot_be_compared_is_named():
    with pytest.raises(ValueError, match=r"shape \[3\], predictions \[3, 1\]"):
        rmse(torch.zeros(3), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="nothing to compare"):
        mae(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ValueError, match="2 group names for 3"):
        error_table(torch.zeros(3), torch.zeros(3), ["a", "b"])


def test_errors_are_described_on_a_line_for_each_group():
    row = ErrorRow(group="all", n=20, rmse=0.01714, mae=0.0128, rmse_percent=2.2876)
    errors = Errors(model="model", split="test", unit="eV", rows=(row,), forces=row)
    assert repr(errors).splitlines() == [
        "Errors(model, test",
        "  all: RMSE 0.01714 eV (2.288 %), MAE 0.0128 eV, n 20",
        "  forces: RMSE 17.14 meV/Å (2.288 %), MAE 12.8 meV/Å, n 20)",
    ]
    many = Errors(model="model", split="test", unit="", rows=(row,) * 100)
    assert len(repr(many).splitlines()) == 10
