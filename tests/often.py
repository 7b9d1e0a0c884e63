"""Values of a parametrised test that run always, and those that run with the slow physics."""

from collections.abc import Iterable, Sequence

import pytest


def often(values: Iterable, chosen: Sequence) -> list:
    """All values, in their order; those that are not among the chosen have the marker `slow`."""
    values = list(values)
    missing = [value for value in chosen if value not in values]
    assert not missing, f"{missing} are no values of this test"
    return [value if value in chosen else slow(value) for value in values]


def slow(value: object) -> object:
    """A value, or a tuple of values for several names, that runs with the slow physics."""
    parts = value if isinstance(value, tuple) else (value,)
    return pytest.param(*parts, marks=pytest.mark.slow)
