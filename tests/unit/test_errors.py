"""Errors that know the structure of a batch that they belong to."""

import pytest

from multilode import errors
from multilode.errors import DataWarning, StructureError, UserError

blame, renumber = errors.blame_structure, errors.renumber_errors


def test_a_structure_error_says_which():
    error = StructureError("has no atoms", 3)
    assert str(error) == "structure 3: has no atoms"
    assert (error.problem, error.structure) == ("has no atoms", 3)


def test_errors_of_a_block_are_those_of_its_structure():
    with pytest.raises(StructureError, match="structure 2: too large") as caught, blame(2):
        raise ValueError("too large")
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(StructureError, match="structure 5"), blame(2):
        raise StructureError("too large", 5)
    with pytest.raises(KeyError), blame(2):
        raise KeyError("a bug of ours stays what it is")


def test_structures_of_a_part_are_counted_in_the_whole():
    with pytest.raises(StructureError, match="structure 7: too large"), renumber([4, 7]):
        raise StructureError("too large", 1)
    with pytest.raises(StructureError, match="structure 9"), renumber([9]), renumber([0]), blame(0):
        raise ValueError("nested")


def test_input_errors_are_value_errors_and_warnings_of_users():
    assert issubclass(UserError, ValueError)
    assert issubclass(DataWarning, UserWarning)
