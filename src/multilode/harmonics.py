"""Real spherical harmonics of unit norm, without Condon-Shortley phase, m = -l ... l."""

from functools import cache

from jaxtyping import Float
from sphericart.torch import SphericalHarmonics
from torch import Tensor


def spherical_harmonics(
    vectors: Float[Tensor, "point 3"], max_angular: int
) -> Float[Tensor, "point lm"]:
    """Y_lm of the directions, all l up to `max_angular` side by side; for l = 1: y, z, x.

    Differentiable twice. The vectors need not be normalised but must not be zero.
    """
    return _calculator(max_angular)(vectors)


@cache
def _calculator(max_angular: int) -> SphericalHarmonics:
    return SphericalHarmonics(max_angular)
