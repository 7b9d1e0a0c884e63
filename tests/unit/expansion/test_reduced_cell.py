"""Short vectors of a lattice."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from multilode.expansion.lattice.reduced_cell import reduction

SIDES = st.lists(st.floats(2.0, 30.0), min_size=3, max_size=3)
SLOPES = st.lists(st.floats(-0.14, 0.14), min_size=3, max_size=3)


@settings(max_examples=50, deadline=None)
@given(sides=SIDES, slopes=SLOPES)
def test_nearly_orthogonal_cells_have_nothing_to_gain(sides, slopes):
    """No combination with neighbors in the lattice is shorter by the 5 % that count."""
    cell = np.diag(sides) @ np.array([[1, 0, 0], [slopes[0], 1, 0], [slopes[1], slopes[2], 1]])
    transform = reduction(cell, (True, True, True))
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = transform @ cell
    for axis in range(3):
        primitive = steps[np.abs(steps[:, axis]) == 1]
        shortest = np.linalg.norm(primitive @ vectors, axis=1).min()
        longest = np.linalg.norm(vectors, axis=1).max()
        if np.linalg.norm(vectors[axis]) == longest:
            assert shortest >= 0.95 * longest


@settings(max_examples=50, deadline=None)
@given(sides=SIDES, shears=st.lists(st.integers(-4, 4), min_size=3, max_size=3))
def test_a_sheared_cell_spans_the_same_lattice_with_shorter_vectors(sides, shears):
    shear = np.array([[1, shears[0], shears[1]], [0, 1, shears[2]], [0, 0, 1]])
    cell = shear @ np.diag(sides)
    transform = reduction(cell, (True, True, True))
    assert round(np.linalg.det(transform)) == 1
    assert np.linalg.norm(transform @ cell, axis=1).max() <= 1.06 * max(sides)
