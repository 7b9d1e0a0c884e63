"""Models: settings to fit (`ESTIMATORS`), and the fitted models (`MODELS`).

An estimator is a map (pooled features, kernels with active environments, kernel matrix) times a
solver (primal, dual) on `Rows`; `models/model.py` says what each must do. To add one, write a class
with `map` and `solve`, a row in `ESTIMATORS` (and in `MODELS`, if it makes models of its own), and
run it through `multilode.testing.check_estimator`. Kernels are values.

Folders: `solve` (any rows), `kernels`, `linear` and `kernel_ridge` (maps and models), `committee`.
"""

from multilode.models.committee.calibration import Calibration
from multilode.models.committee.committee import Committee
from multilode.models.committee.committee_model import CommitteeModel
from multilode.models.designs import FeatureDesign
from multilode.models.kernel_ridge.kernel_model import KernelModel
from multilode.models.kernel_ridge.kernel_ridge import KernelRidge
from multilode.models.kernel_ridge.sparse_kernel import NystroemMap, SparseKernelRidge
from multilode.models.kernel_ridge.sparse_model import SparseKernelModel
from multilode.models.kernels import (
    KERNELS,
    AbstractKernel,
    GaussianKernel,
    Points,
    PolynomialKernel,
    polynomial_kernels,
)
from multilode.models.linear.ridge import PooledMap, Ridge
from multilode.models.linear.ridge_model import RidgeModel
from multilode.models.model import (
    AbstractDesign,
    AbstractEstimator,
    AbstractMap,
    AbstractModel,
    AbstractSolution,
    training_rows,
)
from multilode.models.network import Network, NetworkCommittee, NetworkModel, NetworkTensorModel
from multilode.models.pooling import pool_terms
from multilode.models.problem import Problem
from multilode.models.solve.cross_validation import make_folds
from multilode.models.solve.primal import PrimalSolution
from multilode.models.solve.search import RELATIVE_REGULARIZATIONS
from multilode.models.solve.thin import ThinSVD
from multilode.models.target_regression import TargetDesign, TargetMap, TargetRegression
from multilode.models.targets import as_columns
from multilode.models.tensor import TensorModel

ESTIMATORS: dict[str, type[AbstractEstimator] | type[Network]] = {
    "ridge": Ridge,
    "kernel": KernelRidge,
    "sparse": SparseKernelRidge,
    "network": Network,  # which is not fitted to rows, but trained on structures
}
MODELS: dict[str, type[AbstractModel]] = {
    "ridge": RidgeModel,
    "kernel": KernelModel,
    "sparse": SparseKernelModel,
    "committee": CommitteeModel,
    "tensor": TensorModel,
    "network": NetworkModel,
    "network_committee": NetworkCommittee,
    "network_tensor": NetworkTensorModel,
}

__all__ = [
    "ESTIMATORS",
    "KERNELS",
    "MODELS",
    "RELATIVE_REGULARIZATIONS",
    "AbstractDesign",
    "AbstractEstimator",
    "AbstractKernel",
    "AbstractMap",
    "AbstractModel",
    "AbstractSolution",
    "Calibration",
    "Committee",
    "CommitteeModel",
    "FeatureDesign",
    "GaussianKernel",
    "KernelModel",
    "KernelRidge",
    "Network",
    "NetworkCommittee",
    "NetworkModel",
    "NetworkTensorModel",
    "NystroemMap",
    "Points",
    "PolynomialKernel",
    "PooledMap",
    "PrimalSolution",
    "Problem",
    "Ridge",
    "RidgeModel",
    "SparseKernelModel",
    "SparseKernelRidge",
    "TargetDesign",
    "TargetMap",
    "TargetRegression",
    "TensorModel",
    "ThinSVD",
    "as_columns",
    "make_folds",
    "polynomial_kernels",
    "pool_terms",
    "training_rows",
]
