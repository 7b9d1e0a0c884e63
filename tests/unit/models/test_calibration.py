"""Error bars of committees against data whose errors are known."""

import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import t as student

from multilode.config.codec import decode, encode
from multilode.models.committee.calibration import Calibration, calibrate, coverage, fraction_inside


def committee(n_points, n_members, factor, *, seed=0, out=0.2, n_targets=1):
    """Members scatter with a width of each point; errors with factor^(1/2) times that width."""
    g = torch.Generator().manual_seed(seed)
    width = torch.exp(torch.randn(n_points, 1, n_targets, generator=g).double())
    predictions = width * torch.randn(n_points, n_members, n_targets, generator=g).double()
    left_out = torch.rand(n_points, n_members, generator=g) < out
    noise = torch.randn(n_points, n_targets, generator=g).double()
    return predictions, left_out, factor**0.5 * width[:, 0] * noise, width[:, 0]


@pytest.mark.parametrize("factor", [0.0, 0.3, 4.0, 100.0])
@pytest.mark.parametrize("n_members", [8, 16])
def test_the_factor_is_found_although_few_members_left_a_point_out(n_members, factor):
    given = committee(20_000, n_members, factor)
    found = calibrate(*given[:3])
    expected = (factor + 1 / n_members) ** 0.5
    assert float(found.scale[0]) == pytest.approx(expected, rel=0.05, abs=0.03)
    assert found.inside == pytest.approx(found.expected, abs=0.015)
    n_valid = (given[1].sum(dim=1) >= max(2, n_members // 4)).sum()
    assert len(found.errors) == n_valid


def test_bars_of_new_points_hold_as_many_errors_as_students_distribution_says():
    factor, n_members = 2.0, 8
    scale = float(calibrate(*committee(20_000, n_members, factor)[:3]).scale[0])
    predictions, _, y, _ = committee(20_000, n_members, factor, seed=1)
    bars = scale * predictions.std(dim=1, correction=1)
    errors = y - predictions.mean(dim=1)
    for multiple in (1.0, 2.0):
        expected = 1 - 2 * student.sf(multiple, df=n_members - 1)
        assert fraction_inside(errors, multiple * bars) == pytest.approx(expected, abs=0.015)


def test_many_members_give_the_mean_square_of_the_papers():
    predictions, _, y, _ = committee(300, 4000, 3.0)
    found = calibrate(predictions, torch.ones(300, 4000, dtype=torch.bool), y)
    mean = predictions.mean(dim=1)
    ratio = (y - mean).square() / predictions.var(dim=1)
    assert float(found.scale[0]) ** 2 == pytest.approx(float(ratio.mean()), rel=3e-3)


def test_the_equation_is_solved_for_each_target():
    """Against a root that another algorithm finds, points counted one by one."""
    predictions, left_out, y, _ = committee(200, 8, 1.5, n_targets=2)
    y[:, 1] *= 3
    found = calibrate(predictions, left_out, y)
    for target in range(2):
        pairs = []
        for k in range(len(y)):
            own = predictions[k, left_out[k], target]
            if len(own) >= 2:
                pairs.append((len(own), float((y[k, target] - own.mean()) / own.std()) ** 2))

        def excess(a, pairs=pairs):
            parts = ((n, r / (a + 1 / n)) for n, r in pairs)
            return sum(n * s / (n - 1 + s) - 1 for n, s in parts)

        expected = (brentq(excess, 0, 1e4) + 1 / 8) ** 0.5
        assert float(found.scale[target]) == pytest.approx(expected, rel=1e-9)


def test_the_plain_mean_of_squares_would_be_far_too_large():
    """What the correction is for: with two members the mean square has no limit."""
    predictions, left_out, y, _ = committee(20_000, 8, 2.0)
    rows = left_out.sum(dim=1) >= 2
    kept = torch.where(left_out[rows][..., None], predictions[rows], torch.nan)
    mean = kept.nanmean(dim=1)
    count = left_out[rows].sum(dim=1, keepdim=True)
    variance = (kept - mean[:, None]).square().nansum(dim=1) / (count - 1)
    plain = float(((y[rows] - mean).square() / variance).mean()) ** 0.5
    assert plain > 5 * float(calibrate(predictions, left_out, y).scale[0])


def test_points_on_which_all_members_agree_do_not_disturb():
    predictions, left_out, y, _ = committee(500, 8, 1.0)
    clean = calibrate(predictions, left_out, y)
    predictions = torch.cat([predictions, torch.full((10, 8, 1), 0.25).double()])
    left_out = torch.cat([left_out, torch.ones(10, 8, dtype=torch.bool)])
    found = calibrate(predictions, left_out, torch.cat([y, torch.ones(10, 1).double()]))
    torch.testing.assert_close(found.scale, clean.scale, rtol=1e-12, atol=0)
    assert len(found.errors) == len(clean.errors) + 10
    assert float(found.bars[-10:].max()) == 0


def test_too_few_points_and_the_way_to_a_file():
    predictions, _, y, _ = committee(20, 8, 1.0)
    none = torch.zeros(20, 8, dtype=torch.bool)
    with pytest.raises(ValueError, match="2 of its 8 members were not trained on, and there are 0"):
        calibrate(predictions, none, y)
    found = calibrate(predictions, ~none, y)
    plain, tensors = encode(found)
    again = decode(Calibration, plain, tensors)
    assert (again.inside, again.expected) == (found.inside, found.expected)
    assert torch.equal(again.scale, found.scale)
    assert float(coverage(torch.tensor([1.0]).double())) == pytest.approx(0.5)
    nan = torch.tensor([float("nan"), 1.0])
    assert fraction_inside(nan, torch.tensor([1.0, 2.0])) == 1.0


def test_members_that_are_all_the_same():
    predictions, left_out, y, _ = committee(50, 8, 1.0)
    same = predictions[:, :1].expand(-1, 8, -1)
    with pytest.raises(ValueError, match="all say the same there, although they are wrong"):
        calibrate(same, left_out, y)
    right = calibrate(same, left_out, same[:, 0])  # such as a component that symmetry forbids
    assert right.inside == 1.0
    assert float(right.bars.max()) == 0.0
