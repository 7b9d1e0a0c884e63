"""A particle mesh: coefficients as derivatives of a few smooth functions."""
