"""multilode."""
