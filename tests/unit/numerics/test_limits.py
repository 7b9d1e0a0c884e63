"""Limits on memory hold within their block, are those of the forward pass, and change no result."""

import pytest
import torch

import multilode
from multilode.numerics.limits import Limits, current_limits, limits, recomputed
from multilode.numerics.memory import largest_bytes, require_bytes


def test_limits_hold_within_and_add_up():
    assert current_limits() == Limits()
    with multilode.limits(memory=1e6) as outer:
        assert outer == current_limits() == Limits(memory=1e6)
        with limits(block_bytes=10.0):
            assert current_limits() == Limits(1e6, 10.0)
        assert current_limits() == outer
    assert current_limits() == Limits()


def test_they_end_with_an_error():
    with pytest.raises(ZeroDivisionError), limits(memory=1.0):
        _ = 1 / 0
    assert current_limits() == Limits()


def test_the_memory_is_the_one_that_is_set():
    cpu = torch.device("cpu")
    with limits(memory=2**30):
        assert largest_bytes(cpu) == 2**30
        with pytest.raises(ValueError, match=r"this needs about 2\.0 GiB, more than the 1\.0 GiB"):
            require_bytes(2**31, cpu, what="this", remedy="none")


@pytest.mark.parametrize("given", [{"memory": -1.0}, {"block_bytes": float("nan")}])
def test_no_number_of_bytes(given):
    with pytest.raises(ValueError, match=r"(memory|block_bytes) is .*; give a number of bytes"):
        Limits(**given)


def test_sizes():
    assert Limits().block_size(100, 8) == Limits().kept_size(100, 8) == 100
    assert Limits(block_bytes=1e9).block_size(100, 8) == 100
    assert Limits(block_bytes=80).block_size(100, 8) == 10
    assert Limits(block_bytes=1).block_size(100, 8) == 1
    assert Limits(kept_bytes=7).kept_size(100, 8) == 0


def test_what_is_computed_again_has_the_limits_of_the_first_time():
    seen = []

    def function(x):
        seen.append(current_limits())
        return x.sin()

    x = torch.tensor(0.3, requires_grad=True)
    with limits(kept_bytes=5):
        y = recomputed(function, x)
    y.backward()
    assert seen == [Limits(kept_bytes=5)] * 2
    assert float(x.grad) == pytest.approx(float(x.detach().cos()))
