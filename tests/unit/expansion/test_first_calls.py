"""What the first call of a method makes is counted in the choice, and in the cache."""

import time
import tracemalloc

import numpy as np
import pytest
import torch

import multilode as ml
from multilode.expansion import ReciprocalSum, expand
from multilode.expansion.ewald_split import EwaldSplit
from multilode.expansion.lattice.cell_cache import CellCache, tensor_key

WATER = np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
POSITIONS = np.concatenate([WATER, WATER + np.array([0.1, 0.2, 3.0])])


def box(edges):
    return ml.Structures.from_arrays(
        [POSITIONS], [np.array([8, 1, 1] * 2)], [np.diag(edges)], [np.ones(3, dtype=bool)]
    )


def potential(smearing):
    return ml.FieldExpansion(
        ml.SmearedPotential(smearing, exponent=1.0), ml.GaussianTypeOrbitals(3, 3.0), max_angular=2
    )


@pytest.mark.parametrize("smearing", [0.29, 0.21, 0.17])
def test_a_small_crystal_needs_no_large_tables(smearing):
    """Case 18: five to fifteen seconds for six atoms."""
    begun = time.process_time()
    expand(potential(smearing), box([6.5, 6.2, 6.8]), species=(1, 8))
    assert time.process_time() - begun < 2.5


def test_few_atoms_in_a_large_box_are_fast():
    """Case 19: 60 s and 3 GB at each call."""
    structures = box([480.0, 500.0, 510.0])
    expand(potential(1.1), structures, species=(1, 8))
    begun = time.process_time()
    expand(potential(1.1), structures, species=(1, 8))
    assert time.process_time() - begun < 1


def test_wide_splits_agree():
    structures = box([40.0, 42.0, 45.0])
    exact = expand(potential(1.1), structures, species=(1, 8), method=ReciprocalSum(1e-10))
    for screening in (9.0, 18.0):
        split = EwaldSplit(1e-10, screening=screening, long_range=ReciprocalSum)
        found = expand(potential(1.1), structures, species=(1, 8), method=split)
        for irrep, block in exact.blocks.items():
            scale = float(block.abs().max())
            torch.testing.assert_close(found.blocks[irrep], block, rtol=0, atol=1e-8 * scale)


def test_the_cache_counts_what_it_takes():
    """`trust.md` 8: entries counted 64 bytes and took 883."""
    cache, n = CellCache(2**30), 3000
    generator = torch.Generator().manual_seed(0)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for k in range(n):
        cell = tensor_key(torch.rand(3, 3, generator=generator).double())
        key = ("method", (EwaldSplit, ReciprocalSum), 1e-8 + 1e-12 * k, k, cell, (1.0 * k, 2.0))
        cache.get(key, lambda: EwaldSplit(screening=0.5))
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.8 * taken < cache.size < 3 * taken


def test_the_cache_keeps_so_many_values_at_most():
    """Dynamics in changing cells grew by 5 kB a step, until small values filled all bytes."""
    cache = CellCache(10**9, most=10)
    for k in range(30):
        cache.get(k, lambda: EwaldSplit(screening=0.5))
    assert list(cache._kept) == list(range(20, 30))
    assert cache.size == sum(size for _, size in cache._kept.values())


def test_the_cache_stays_below_its_limit():
    cache = CellCache(100_000)
    for k in range(2000):
        cache.get(("method", float(k)), lambda: EwaldSplit(screening=0.5))
    assert cache.size <= 100_000
    assert len(cache._kept) < 200
