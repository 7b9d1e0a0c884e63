"""Chemical symbols, against the table of ASE."""

import pytest
from ase.data import chemical_symbols

from multilode.structures.elements import atomic_number, chemical_symbol


def test_symbols_and_numbers_are_those_of_ase():
    for number, symbol in enumerate(chemical_symbols[1:], start=1):
        assert chemical_symbol(number) == symbol
        assert atomic_number(f" {symbol.lower()}") == number


@pytest.mark.parametrize("number", [-1, 0, 119])
def test_numbers_of_no_element_are_printed_as_numbers(number):
    assert chemical_symbol(number) == f"Z={number}"


@pytest.mark.parametrize("symbol", ["", "Xx", "X", "8"])
def test_symbols_of_no_element_are_refused(symbol):
    with pytest.raises(ValueError, match="not a chemical element"):
        atomic_number(symbol)
