"""Fixed charges of species that explain the interaction of two molecules."""

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor

from multilode.data import Dataset

COULOMB = 14.399645  # eV Å, the constant of charges in e
_START = {1: 0.3, 6: 0.7, 8: -0.5}  # e, of water and carbon dioxide; the sign of all is arbitrary
_NAMES = {1: "q_H", 6: "q_C", 8: "q_O"}


def fit_charges(
    near: Dataset, far: Dataset, n_first: int
) -> tuple[dict[str, float], tuple[Tensor, Tensor]]:
    """Charges (e) of H, C and O fitted to the energies of `near`, and predictions for both sets.

    The energy is sum_ij q_i q_j / r_ij over the atoms of different molecules. Its error is
    minimized by Levenberg and Marquardt's method, since it is quadratic in the charges.

    Args:
        near: the training set.
        far: a test set.
        n_first: number of atoms of the first molecule.
    """
    kinds = list(_START)
    couplings = [_couplings(part, n_first, kinds) for part in (near, far)]
    energy = near.column("interaction_energy")

    def residuals(charges: np.ndarray) -> np.ndarray:
        return np.einsum("sab,a,b->s", couplings[0], charges, charges) - energy

    found = least_squares(
        residuals, list(_START.values()), method="lm", x_scale=0.1, xtol=1e-12, ftol=1e-12
    )
    first, second = (
        torch.from_numpy(np.einsum("sab,a,b->s", c, found.x, found.x)) for c in couplings
    )
    charges = {_NAMES[kind]: float(q) for kind, q in zip(kinds, found.x, strict=True)}
    return charges, (first, second)


def _couplings(dataset: Dataset, n_first: int, kinds: list[int]) -> np.ndarray:
    """Sums of e^2 / 4 pi epsilon_0 r over pairs of species between the molecules [s, a, b]."""
    structures = dataset.structures
    positions = structures.positions.numpy().reshape(len(dataset), -1, 3)
    species = structures.species.numpy().reshape(len(dataset), -1)[0]
    first, second = positions[:, :n_first], positions[:, n_first:]
    inverse = 1 / np.linalg.norm(first[:, :, None] - second[:, None], axis=-1)
    is_first, is_second = (
        (part[:, None] == np.array(kinds)).astype(float)
        for part in (species[:n_first], species[n_first:])
    )
    return COULOMB * np.einsum("sij,ia,jb->sab", inverse, is_first, is_second)
