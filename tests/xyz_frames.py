"""A frame of three atoms, and what is said where it is refused."""

import pytest

from multilode.data.dataset import DataError

ATOMS = [("O", "0 0 0.1"), ("H", "0 0.7 -0.4"), ("H", "0 -0.7 -0.4")]
BOX = '"12 0 0 1 11 0 0 2 10"'
CELL = [[12, 0, 0], [1, 11, 0], [0, 2, 10]]


def refusal(frame, *given, **more):
    """The message, which is one printable line with its place."""
    with pytest.raises(DataError) as caught:
        frame(*given, **more)
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) <= 600
    assert "a.xyz, frame 0" in said
    return said
