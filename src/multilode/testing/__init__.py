"""Checks that fields, radial bases, cutoff functions, expansion methods and equivariants must pass.

They are public: run them on a class of your own before you add it to its table. Each one raises
AssertionError with the numbers that disagree.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.rotation import rotate_equivariants
from multilode.expansion import FieldExpansion, expand
from multilode.expansion.verb import Method
from multilode.fields import AbstractCutoff
from multilode.structures.batch import Structures
from multilode.testing.equality import require_equal
from multilode.testing.fields import check_field
from multilode.testing.radial import check_radial_basis

__all__ = [
    "check_cutoff_function",
    "check_equivariance",
    "check_field",
    "check_method",
    "check_radial_basis",
    "check_tensor_equivariance",
]


def check_cutoff_function(function: AbstractCutoff, cutoff: float = 4.0) -> None:
    """Weights lie in [0, 1], never grow with the distance and are zero beyond the cutoff.

    Raises:
        AssertionError: if one of this does not hold.
    """
    r = torch.linspace(1e-3, 2 * cutoff, 2001, dtype=torch.float64)
    weights = function(r, cutoff)
    require_equal("shape", weights.shape, r.shape)
    require_equal("dtype", weights.dtype, r.dtype)
    lowest, highest = float(weights.min()), float(weights.max())
    if lowest < 0 or highest > 1:
        raise AssertionError(f"weights lie in [{lowest}, {highest}], not in [0, 1]")
    rise = float(weights.diff().max())
    if rise > 1e-12:
        raise AssertionError(f"the weight of a neighbor grows by {rise} as it moves away")
    require_equal("largest weight beyond", float(weights[r > cutoff + 1e-9].max()), 0.0)
    if float(weights[0]) <= 0.5:
        raise AssertionError(f"the nearest neighbor has the weight {float(weights[0])}")


def check_method(
    method: Method,
    expansion: FieldExpansion,
    structures: Structures,
    expected: Equivariants,
    tolerance: float = 1e-8,
) -> None:
    """A method reproduces given coefficients, and forces that follow from them by differences.

    Args:
        method: what to check.
        expansion: a problem that it can solve.
        structures: on these structures.
        expected: coefficients from another method or from outside.
        tolerance: largest difference relative to the largest coefficient.

    Raises:
        AssertionError: if coefficients, labels or derivatives disagree.
    """
    species = tuple(sorted({int(z) for z in structures.species}))
    ours = expand(expansion, structures, species=species, method=method)
    require_equal("irreps", sorted(ours.blocks), sorted(expected.blocks))
    scale = max(float(block.detach().abs().max()) for block in expected.blocks.values())
    for irrep, block in expected.blocks.items():
        torch.testing.assert_close(ours.blocks[irrep], block, rtol=0, atol=tolerance * scale)
        np.testing.assert_array_equal(ours.labels[irrep].values, expected.labels[irrep].values)
    _check_derivatives(method, expansion, structures, species)


def _check_derivatives(
    method: Method, expansion: FieldExpansion, structures: Structures, species: tuple[int, ...]
) -> None:
    """Backward pass against central differences, along one random direction."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(structures.positions.shape, generator=generator, dtype=torch.float64)
    direction = direction.to(structures.positions)

    def total(positions: torch.Tensor) -> torch.Tensor:
        moved = replace(structures, positions=positions)
        blocks = expand(expansion, moved, species=species, method=method).blocks
        return torch.stack([(block**2).sum() for block in blocks.values()]).sum()

    positions = structures.positions.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(positions), positions)
    slope = float((gradient * direction).sum())
    step, start = 1e-3, structures.positions.detach()
    with torch.no_grad():
        values = [float(total(start + n * step * direction)) for n in (-2, -1, 1, 2)]
    numerical = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    scale = float(gradient.abs().max()) * float(direction.abs().sum())
    np.testing.assert_allclose(slope, numerical, rtol=1e-6, atol=1e-7 * scale)


def check_equivariance(
    compute: Callable[[Structures], Equivariants],
    structures: Structures,
    rotation: Float[Tensor, "3 3"],
    tolerance: float = 1e-10,
) -> None:
    """Quantities of rotated structures are the rotated quantities.

    Args:
        compute: what is checked.
        structures: on these structures, whose cells are rotated too.
        rotation: an orthogonal matrix; one that is improper checks the parities too.
        tolerance: largest difference relative to the largest number of each block.

    Raises:
        AssertionError: if they differ, or if a block is zero or not finite, which says nothing.
    """
    expected = rotate_equivariants(compute(structures), rotation)
    found = compute(_turned(structures, rotation))
    require_equal("irreps", sorted(found.blocks), sorted(expected.blocks))
    for irrep, block in expected.blocks.items():
        scale = float(block.detach().abs().max()) if block.numel() else 0.0
        if not 0 < scale < float("inf"):
            raise AssertionError(f"the largest number of {irrep} is {scale}")
        torch.testing.assert_close(found.blocks[irrep], block, rtol=0, atol=tolerance * scale)


def check_tensor_equivariance(
    predict: Callable[[Structures], Float[Tensor, "row ..."]],
    structures: Structures,
    rotation: Float[Tensor, "3 3"],
    tolerance: float = 1e-8,
) -> None:
    """Cartesian tensors of rotated structures are the rotated tensors.

    Args:
        predict: what is checked, such as the values that a predictor returns; a row per structure
            or atom, then one axis of three for each Cartesian index.
        structures: on these structures, whose cells are rotated too.
        rotation: an orthogonal matrix, proper or not.
        tolerance: largest difference relative to the largest number.

    Raises:
        AssertionError: if they differ, or if all are zero or not finite, which says nothing.
    """
    expected, found = predict(structures), predict(_turned(structures, rotation))
    for axis in range(1, expected.ndim):
        turned = expected.movedim(axis, -1) @ rotation.to(expected).T
        expected = turned.movedim(-1, axis)
    scale = float(expected.detach().abs().max()) if expected.numel() else 0.0
    if not 0 < scale < float("inf"):
        raise AssertionError(f"the largest number is {scale}")
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale)


def _turned(structures: Structures, rotation: Float[Tensor, "3 3"]) -> Structures:
    return replace(
        structures,
        positions=structures.positions @ rotation.T,
        cell=structures.cell @ rotation.T,
    )
