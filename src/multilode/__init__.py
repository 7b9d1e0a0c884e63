"""Machine learning of atomic-scale properties with their long-range physics.

The names below are the public interface; they are imported when they are first used, so that the
command line starts quickly.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("multilode")

_PUBLIC = {
    "CalculatorBaseline": "multilode.prediction",
    "ColumnBaseline": "multilode.prediction",
    "Committee": "multilode.models",
    "CompositionBaseline": "multilode.prediction",
    "ContractionSettings": "multilode.correlations",
    "Dataset": "multilode.data.dataset",
    "Described": "multilode.representation.sources.recipes",
    "EwaldSplit": "multilode.expansion",
    "FeatureRecipe": "multilode.representation.feature_recipe",
    "FieldExpansion": "multilode.expansion",
    "Fitted": "multilode.representation.sources.recipes",
    "Forces": "multilode.models.targets",
    "GaussianDensity": "multilode.fields",
    "GaussianTypeOrbitals": "multilode.radial",
    "GaussianKernel": "multilode.models",
    "Given": "multilode.representation.sources.recipes",
    "Irrep": "multilode.symmetry.irrep",
    "KernelRidge": "multilode.models",
    "LaplacianEigenstates": "multilode.radial",
    "MeanBaseline": "multilode.prediction",
    "Mesh": "multilode.expansion",
    "Monomials": "multilode.radial",
    "NoBaseline": "multilode.prediction",
    "PairSum": "multilode.expansion",
    "PolynomialKernel": "multilode.models",
    "Predictor": "multilode.prediction.predictor",
    "PredictorCalculator": "multilode.engines.calculator",
    "RadialScaling": "multilode.fields.cutoffs",
    "ReciprocalSum": "multilode.expansion",
    "Representation": "multilode.representation.representation",
    "Ridge": "multilode.models",
    "ShiftedCosine": "multilode.fields.cutoffs",
    "SmearedPotential": "multilode.fields",
    "SparseKernelRidge": "multilode.models",
    "StepCutoff": "multilode.fields.cutoffs",
    "Structures": "multilode.structures.batch",
    "TensorCalculator": "multilode.engines.tensor_calculator",
    "TabulatedBasis": "multilode.radial",
    "Target": "multilode.models.targets",
    "Trained": "multilode.config.trained_sources",
    "evaluate": "multilode.prediction.evaluation",
    "concatenate": "multilode.data.dataset",
    "expand": "multilode.expansion",
    "YukawaPotential": "multilode.fields",
    "features": "multilode.representation.feature_recipe",
    "from_ase": "multilode.data.ase_atoms",
    "learning_curve": "multilode.prediction.learning",
    "limits": "multilode.numerics.limits",
    "novelty": "multilode.prediction.evaluation",
    "load": "multilode.config.store",
    "optimized_basis": "multilode.representation.basis_optimization",
    "read": "multilode.data.io",
    "save": "multilode.config.store",
    "scheduler": "multilode.scheduling",
    "train": "multilode.prediction.training",
    "tune": "multilode.workflow.search",
    "write": "multilode.data.io",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'multilode' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
