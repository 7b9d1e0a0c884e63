"""Models: settings that are fitted (`ESTIMATORS`) and what comes out of it (`MODELS`)."""

from multilode.models.calibration import Calibration
from multilode.models.committee import Committee
from multilode.models.committee_model import CommitteeModel
from multilode.models.kernel import KernelRidge
from multilode.models.kernel_model import KernelModel
from multilode.models.model import AbstractEstimator, AbstractModel
from multilode.models.per_irrep import needed_irreps
from multilode.models.polynomial_kernel import PolynomialKernel
from multilode.models.pooling import PooledFeatures
from multilode.models.ridge import Ridge, RidgeModel
from multilode.models.sparse_kernel import SparseKernelRidge
from multilode.models.sparse_model import SparseKernelModel
from multilode.models.tensor import TensorModel, TensorRegression

ESTIMATORS: dict[str, type[AbstractEstimator]] = {
    "ridge": Ridge,
    "kernel": KernelRidge,
    "sparse": SparseKernelRidge,
}
MODELS: dict[str, type[AbstractModel]] = {
    "ridge": RidgeModel,
    "kernel": KernelModel,
    "sparse": SparseKernelModel,
    "committee": CommitteeModel,
    "tensor": TensorModel,
}

__all__ = [
    "ESTIMATORS",
    "MODELS",
    "AbstractEstimator",
    "AbstractModel",
    "Calibration",
    "Committee",
    "CommitteeModel",
    "KernelModel",
    "KernelRidge",
    "PolynomialKernel",
    "PooledFeatures",
    "Ridge",
    "RidgeModel",
    "SparseKernelModel",
    "SparseKernelRidge",
    "TensorModel",
    "TensorRegression",
    "needed_irreps",
]
