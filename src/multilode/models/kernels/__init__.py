"""k(i, j) between environments of atoms: kernels as values, with sums, products and weights.

Names to know: `PolynomialKernel`, `GaussianKernel`; `0.3 * a + b * c` is a kernel again.
To add a kernel, write one class with `prepare` and `between`, a row in `KERNELS`, and run it
through `multilode.testing.check_kernel`. Sums over the centers of a structure, blocks of bounded
memory and kinds of centers are written once outside, in `models/kernels/row_kernels.py`.
"""

from multilode.models.kernels.gaussian import GaussianKernel
from multilode.models.kernels.kernel import AbstractKernel, Points, ProductKernel, SumKernel
from multilode.models.kernels.polynomial import SQUARE, PolynomialKernel, polynomial_kernels

KERNELS: dict[str, type[AbstractKernel]] = {
    "polynomial": PolynomialKernel,
    "gaussian": GaussianKernel,
    "sum": SumKernel,
    "product": ProductKernel,
}

__all__ = [
    "KERNELS",
    "SQUARE",
    "AbstractKernel",
    "GaussianKernel",
    "Points",
    "PolynomialKernel",
    "ProductKernel",
    "SumKernel",
    "polynomial_kernels",
]
