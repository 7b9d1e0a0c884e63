"""Lattices of any periodicity, and sums over their waves."""
