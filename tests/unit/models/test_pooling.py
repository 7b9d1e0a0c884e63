"""Sums and means over centers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multilode.models.pooling import pool, pool_terms, species_slots
from multilode.models.reduce import check_reduce
from regressions import pooled as pooled_design


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), reduce=st.sampled_from(["sum", "mean"]))
def test_pool_equals_a_loop_over_structures_and_species(random_features, seed, reduce):
    features = random_features(seed, counts=[3, 0, 5, 1], widths=[4])
    pooled = pool_terms(features.rows(), reduce=reduce, centers=(1, 8, 11))[0]
    for structure in range(4):
        inside = features.structure_index == structure
        total = max(int(inside.sum()), 1) if reduce == "mean" else 1
        blocks = [
            features.invariants[0][inside & (features.center_species == s)].sum(dim=0) / total
            for s in (1, 8, 11)
        ]
        torch.testing.assert_close(pooled[structure], torch.cat(blocks), rtol=1e-12, atol=1e-12)


def test_blocks_of_species_add_up_to_the_common_block(random_features):
    features = random_features(0, counts=[3, 4], widths=[5])
    separate = pool_terms(features.rows(), reduce="mean", centers=(1, 8))[0]
    together = pool_terms(features.rows(), reduce="mean", centers=None)[0]
    torch.testing.assert_close(separate[:, :5] + separate[:, 5:], together)


def test_a_structure_without_centers_gives_zeros(random_features):
    features = random_features(0, counts=[0, 2, 0], widths=[3])
    for reduce in ("sum", "mean"):
        pooled = pool_terms(features.rows(), reduce=reduce, centers=None)[0]
        assert pooled.shape == (3, 3)
        assert bool((pooled[[0, 2]] == 0).all())
        assert bool((pooled[1] != 0).all())


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_pool_has_the_right_gradient(reduce):
    index = torch.tensor([0, 0, 2, 2, 2])
    slots = torch.tensor([0, 1, 1, 0, 1])
    values = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda v: pool(v, index, 3, reduce=reduce, slots=slots, n_slots=2), values
    )


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match=r"atomic number 8.*\[1, 6\]"):
        species_slots(torch.tensor([1, 8]), (1, 6))
    with pytest.raises(ValueError, match="reduce is 'max'"):
        check_reduce("max")
    with pytest.raises(ValueError, match="common number of rows"):
        pooled_design(torch.zeros(2, 1), torch.zeros(3, 1))
