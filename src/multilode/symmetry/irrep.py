"""Irreducible representations of O(3)."""

from typing import NamedTuple


class Irrep(NamedTuple):
    """Irreducible representation of O(3): the parity is relative to that of Y_degree.

    Source: theory#irrep.
    """

    degree: int
    parity: int = 1


INVARIANT = Irrep(0)  # what no rotation and no inversion changes


def irrep_name(irrep: Irrep) -> str:
    """As it is printed: `l = 2`, or `l = 1, pseudo` for the other parity."""
    return f"l = {irrep.degree}" + (", pseudo" if irrep.parity < 0 else "")
