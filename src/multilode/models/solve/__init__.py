"""Solvers: weights w of |y - X w|^2 + g |w|^2 for rows of features or kernels between rows.

Names to know: `PrimalSolver`, `DualSolver`, `search_term_weights`, `make_folds`.
Regularization and term weights are chosen by grouped cross-validation in closed form, from one
decomposition for a whole grid. Nothing here knows where the rows come from.
"""
