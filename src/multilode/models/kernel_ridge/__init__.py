"""Kernel ridge regression, the mean of a Gaussian process: full, and on few active environments.

Names to know: `KernelRidge` (kernel matrix, dual), `SparseKernelRidge` (Nystroem map, primal).
Both take any kernel of `models/kernels`, one for all terms or one for each.
"""
