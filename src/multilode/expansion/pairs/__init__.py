"""Sums over pairs of a center and a neighbor."""
