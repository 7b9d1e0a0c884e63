"""Error bars of networks, from the posterior of the weights that energies are linear in.

The energy of a structure is linear in f_A, the sum over its atoms of the last layers of all rounds,
beside the numbers of atoms of each element, which biases multiply. With everything else fixed,
Bayesian linear regression on the training energies gives

    var(E_A) = alpha^2 f_A^T (F^T F + sigma^2 I)^-1 f_A,

where a row of F is f / sqrt(atoms) of a training structure, as the loss weights energies. Forces
add no rows: the scale alpha is that of energies, which are what error bars are for. Alpha and sigma
are those for which the errors of the validation set are most likely. The linear models beside the
last layers, with thousands of weights, are taken as fixed.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.committee.calibration import Calibration

N_SAMPLES = 32  # of the weights: their spread is known to 1 / sqrt(2 * 31), 13 %
FEWEST = 5  # groups of validation structures, which give alpha to 30 %
_GAUSSIAN = 0.6827  # part of a Gaussian within one standard deviation
_STRENGTHS = tuple(10.0**k for k in range(-9, 1))  # sigma^2 over the mean diagonal of F^T F


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class LastLayerPosterior:
    """Gaussian distribution of the weights of last layers.

    Source: Bigi2024.

    Args:
        factor: R, where alpha^2 (F^T F + sigma^2 I)^-1 = R R^T, in units of the target.
        regularization: sigma^2 over the mean diagonal of F^T F.
        calibration: alpha, and the errors and error bars of the validation set.
    """

    factor: Float[Tensor, "feature feature"]
    regularization: float
    calibration: Calibration

    def std(self, features: Float[Tensor, "structure feature"]) -> Float[Tensor, " structure"]:
        """Standard deviations of energies."""
        return torch.linalg.vector_norm(features @ self.factor.to(features), dim=1)

    def deviations(
        self, features: Float[Tensor, "structure feature"]
    ) -> Float[Tensor, "structure sample"]:
        """How far energies are off for weights drawn from the distribution, always the same ones.

        The samples add up to zero, so that their spread estimates the standard deviation.
        """
        generator = torch.Generator().manual_seed(0)
        shape = (len(self.factor), N_SAMPLES)
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
        drawn = drawn - drawn.mean(dim=1, keepdim=True)
        return features @ (self.factor @ drawn.to(self.factor)).to(features)


def structure_features(
    layers: Float[Tensor, "atom hidden"],
    kinds: Int[Tensor, " atom"],
    index: Int[Tensor, " atom"],
    n_structures: int,
    n_species: int,
) -> Float[Tensor, "structure feature"]:
    """What energies are linear in: sums of last layers, and numbers of atoms of each element."""
    counted = torch.nn.functional.one_hot(kinds, n_species)
    atoms = torch.cat([layers.double(), counted.double()], dim=1)
    return atoms.new_zeros(n_structures, atoms.shape[1]).index_add(0, index, atoms)


def fit_posterior(
    train: Float[Tensor, "train feature"],
    sizes: Float[Tensor, " train"],
    validation: Float[Tensor, "validation feature"],
    errors: Float[Tensor, " validation"],
) -> LastLayerPosterior:
    """The posterior of the training set, scaled by the errors of the validation set.

    Source: Bigi2024.

    Args:
        train: features of the training structures.
        sizes: numbers of their atoms.
        validation: features of structures that the weights were not trained on.
        errors: of their energies; of `FEWEST` groups at least, for alpha to mean something: errors
            within a group are alike.
    """
    rows = train / sizes[:, None].sqrt()
    values, vectors = torch.linalg.eigh(rows.T @ rows)
    values, mean = values.clamp(min=0), values.mean().clamp(min=1e-30)
    squares = (validation @ vectors).square()
    floor = torch.finfo(torch.float64).tiny  # of exact predictions
    best, found = float("inf"), (0.0, torch.zeros(()), torch.zeros(()))
    for strength in _STRENGTHS:
        variances = (squares / (values + strength * mean)).sum(dim=1)
        scale = (errors.square() / variances).mean().clamp(min=floor)
        loss = float((scale * variances).log().mean())  # 2/n times the negative log-likelihood
        if loss < best:
            best, found = loss, (strength, scale, variances)
    strength, scale, variances = found
    return LastLayerPosterior(
        factor=scale.sqrt() * vectors / (values + strength * mean).sqrt(),
        regularization=strength,
        calibration=Calibration(
            scale=scale.sqrt()[None],
            errors=errors[:, None],
            bars=(scale * variances).sqrt()[:, None],
            expected=_GAUSSIAN,
        ),
    )
