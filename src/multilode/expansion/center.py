"""The field of the center itself, which reaches l = 0 alone."""

import math

from jaxtyping import Float
from torch import Tensor

from multilode.expansion.problem import Problem


def add_center(
    blocks: list[Float[Tensor, "center _ channel n"]], problem: Problem, weight: float
) -> list[Float[Tensor, "center _ channel n"]]:
    """Coefficients with the center's own field added.

    Args:
        blocks: coefficients, one block per l.
        problem: that they solve.
        weight: of the center; negative to take its field away.
    """
    table = problem.pair_integrals()
    own = table.origin.to(problem.structures.positions) * (weight / math.sqrt(4 * math.pi))
    chosen = problem.sources[problem.centers]
    return [blocks[0] + chosen[:, None, :, None] * own, *blocks[1:]]
