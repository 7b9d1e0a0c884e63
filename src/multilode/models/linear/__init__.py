"""Models that are linear in features summed or averaged over centers, y = sum_c w_c . x_c + b.

Names to know: `Ridge`, `PooledMap`, `RidgeModel`.
The map pools; the solver is primal. Forces are rows of the same weights.
"""
