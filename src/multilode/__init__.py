"""Machine learning of atomic-scale properties with their long-range physics.

The names below are the public interface; they are imported when they are first used, so that the
command line starts quickly.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("multilode")

_PUBLIC = {
    "Committee": "multilode.models",
    "ContractionSettings": "multilode.correlations",
    "Dataset": "multilode.dataset",
    "EwaldSplit": "multilode.expand",
    "FieldExpansion": "multilode.expand",
    "Forces": "multilode.targets",
    "GaussianDensity": "multilode.fields",
    "GaussianTypeOrbitals": "multilode.radial",
    "Irrep": "multilode.equivariants",
    "KernelRidge": "multilode.models",
    "LaplacianEigenstates": "multilode.radial",
    "Mesh": "multilode.expand",
    "Monomials": "multilode.radial",
    "PairSum": "multilode.expand",
    "Predictor": "multilode.predictor",
    "PredictorCalculator": "multilode.calculator",
    "RadialScaling": "multilode.cutoffs",
    "ReciprocalSum": "multilode.expand",
    "Representation": "multilode.representation",
    "Ridge": "multilode.models",
    "ShiftedCosine": "multilode.cutoffs",
    "SmearedPotential": "multilode.fields",
    "SparseKernelRidge": "multilode.models",
    "StepCutoff": "multilode.cutoffs",
    "Structures": "multilode.structures",
    "TabulatedBasis": "multilode.radial",
    "Target": "multilode.targets",
    "load": "multilode.store",
    "optimized_basis": "multilode.basis_optimization",
    "read": "multilode.io",
    "save": "multilode.store",
    "train": "multilode.predictor",
    "write": "multilode.io",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'multilode' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
