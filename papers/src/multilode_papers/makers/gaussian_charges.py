"""The field of a Gaussian charge, and how strongly two of them interact."""

import math

import numpy as np
from jaxtyping import Float
from scipy.special import erf

COULOMB = 14.399645  # eV Å, of two unit charges at 1 Å


def isolated(
    displacement: Float[np.ndarray, "*batch 3"], spread: float | Float[np.ndarray, "*batch"]
) -> tuple[
    Float[np.ndarray, "*batch"], Float[np.ndarray, "*batch 3"], Float[np.ndarray, "*batch 3 3"]
]:
    """Potential (1/Å) of one Gaussian unit charge, its gradient and its second derivatives.

    Args:
        displacement: from the charge (Å).
        spread: standard deviation of the charge (Å), that of a probe included.
    """
    a = 1 / (math.sqrt(2) * np.asarray(spread))
    distance = np.linalg.norm(displacement, axis=-1)
    near = distance < 1e-3 * spread  # where the differences below cancel, the series is exact
    r = np.where(near, 1.0, distance)
    bell = 2 * a / math.sqrt(math.pi) * np.exp(-((a * r) ** 2))
    value = np.where(near, 2 * a / math.sqrt(math.pi), erf(a * r) / r)
    slope = np.where(near, -4 * a**3 / (3 * math.sqrt(math.pi)), (bell - erf(a * r) / r) / r**2)
    curl = np.where(near, 0.0, -(2 * a**2 * bell + 3 * slope) / r**2)
    outer = displacement[..., :, None] * displacement[..., None, :]
    second = slope[..., None, None] * np.eye(3) + curl[..., None, None] * outer
    return value, slope[..., None] * displacement, second
