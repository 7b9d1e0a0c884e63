"""Atoms in space: r_i, the cell, and the vectors r_ij + T to neighbors and periodic images.

Names to know: `Structures` (many structures, stored flat), `Pairs`, `neighbor_pairs`.
An atom knows its structure by `structure_index`; nothing is padded.
A new neighbor search is one function here, with the answer of those that exist.
"""

from multilode.structures.batch import Structures

__all__ = ["Structures"]
