"""Memory of long runs does not grow, in the short form of `benchmarks/flat_memory.py`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

import flat_memory

ALLOWED = 3.0  # MB; one leaked structure of 1 kB a step would make some


# the cache of cells is full within the first 3000 predictions
@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "n"), [(flat_memory.dynamics, 3000), (flat_memory.predictions, 30_000)]
)
def test_memory_is_flat_after_the_first_tenth(work, n):
    lines = []
    predictor = flat_memory.small_model()
    assert flat_memory.measured("", work(predictor, n), n, lines.append) < ALLOWED
    assert len(lines) > flat_memory.SHOWN
