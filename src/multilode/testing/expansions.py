"""Checks of cutoff functions, expansion methods, and of how features and tensors turn."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.rotation import rotate_equivariants
from multilode.expansion import AbstractMethod, FieldExpansion, PairSum, expand
from multilode.fields.cutoffs import AbstractCutoff
from multilode.numerics.modes import own_modes
from multilode.structures.batch import Structures
from multilode.testing.equality import require_equal


@own_modes(gradients=True)
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


@own_modes(gradients=True)
def check_method(
    method: AbstractMethod,
    expansion: FieldExpansion,
    structures: Structures,
    expected: Equivariants,
    tolerance: float = 1e-8,
) -> None:
    """A method reproduces given coefficients, and behaves as coefficients have to.

    Some centers have the coefficients that they have among all, structures those that they have
    alone; atoms may be moved together, turned, reflected or counted in another order, a cell
    repeated; derivatives are those of differences; in single precision coefficients are the same;
    a tolerance out of range is refused, a cutoff honored or refused. So are strengths: those of
    species are species, coefficients are linear in them, with derivatives of both orders.

    Args:
        method: the method to check; it need not be in the table of methods.
        expansion: a problem that it can solve.
        structures: on these structures.
        expected: coefficients from another method or from outside.
        tolerance: largest difference relative to the largest coefficient.

    Raises:
        AssertionError: if one of this does not hold.
    """
    species = tuple(sorted({int(z) for z in structures.species}))

    def solve(batch: Structures, centers: Tensor | None = None) -> Equivariants:
        return expand(expansion, batch, species=species, centers=centers, method=method)

    ours = solve(structures)
    _require_close(ours, expected, tolerance, labels=True)
    _check_parts(solve, structures, ours, tolerance)
    _check_symmetries(solve, structures, ours, tolerance)
    _check_supercell(solve, structures, ours, tolerance)
    _check_derivatives(lambda moved: list(solve(moved).blocks.values()), structures)
    plain = replace(method, tolerance=None)  # type: ignore[type-var] - a dataclass
    _check_precision(plain, expansion, structures, species, ours)
    _check_settings(plain, expansion, structures, species)
    _check_strengths(method, expansion, structures, ours)


def _require_close(
    found: Equivariants, expected: Equivariants, tolerance: float, *, labels: bool = False
) -> None:
    require_equal("irreps", sorted(found.blocks), sorted(expected.blocks))
    scale = max(float(block.detach().abs().max()) for block in expected.blocks.values())
    for irrep, block in expected.blocks.items():
        torch.testing.assert_close(found.blocks[irrep], block, rtol=0, atol=tolerance * scale)
        if labels:
            values = found.labels[irrep].values
            np.testing.assert_array_equal(values, expected.labels[irrep].values)


def _rows(values: Equivariants, atoms: Tensor) -> Equivariants:
    """Coefficients of some atoms, in their order."""
    blocks = {irrep: block[atoms] for irrep, block in values.blocks.items()}
    return Equivariants(blocks, values.labels, values.centers[atoms])


def _check_parts(
    solve: Callable[..., Equivariants],
    structures: Structures,
    whole: Equivariants,
    tolerance: float,
) -> None:
    """Some centers; a structure twice in a batch; each structure alone."""
    every_other = torch.arange(0, structures.n_atoms, 2, device=whole.centers.device)
    _require_close(solve(structures, every_other), _rows(whole, every_other), tolerance)
    first = (structures.structure_index == 0).nonzero().flatten()
    alone = structures.select(torch.zeros(1, dtype=torch.int64, device=first.device))
    _require_close(solve(alone), _rows(whole, first), tolerance)
    everything = torch.arange(structures.n_structures, device=first.device)
    again = solve(structures.select(torch.cat([everything, everything[:1]])))
    both = torch.cat([torch.arange(structures.n_atoms, device=first.device), first])
    _require_close(again, _rows(whole, both), tolerance)


def _check_symmetries(
    solve: Callable[..., Equivariants],
    structures: Structures,
    whole: Equivariants,
    tolerance: float,
) -> None:
    """Translation, permutation, and a rotation with a reflection."""
    positions, index = structures.positions, structures.structure_index
    shift = torch.tensor([0.37, -1.21, 5.43]).to(positions)
    _require_close(solve(replace(structures, positions=positions + shift)), whole, tolerance)
    generator = torch.Generator().manual_seed(0)
    numbers = torch.rand(len(index), generator=generator).to(index.device)
    order = torch.argsort(index + 0.999 * numbers)
    shuffled = replace(structures, positions=positions[order], species=structures.species[order])
    _require_close(solve(shuffled), _rows(whole, order), tolerance)
    improper, _ = torch.linalg.qr(torch.randn((3, 3), generator=generator, dtype=torch.float64))
    improper = improper * -torch.linalg.det(improper).sign()
    turned = solve(_turned(structures, improper.to(positions)))
    _require_close(turned, rotate_equivariants(whole, improper.to(positions)), tolerance)


def _check_supercell(
    solve: Callable[..., Equivariants],
    structures: Structures,
    whole: Equivariants,
    tolerance: float,
) -> None:
    """Twice the first periodic structure, along one of its periods."""
    periodic = structures.pbc.any(dim=1).nonzero().flatten()[:1]
    if not len(periodic):
        return
    single = structures.select(periodic)
    axis = int(single.pbc[0].nonzero()[0])
    cell = single.cell.clone()
    cell[0, axis] *= 2
    double = replace(
        single,
        positions=torch.cat([single.positions, single.positions + single.cell[0, axis]]),
        species=torch.cat([single.species, single.species]),
        cell=cell,
        structure_index=torch.zeros_like(single.structure_index).repeat(2),
    )
    own = (structures.structure_index == periodic).nonzero().flatten()
    _require_close(solve(double), _rows(whole, own.repeat(2)), tolerance)


def _check_derivatives(solve: Callable[[Structures], list[Tensor]], structures: Structures) -> None:
    """Backward pass against central differences, along one random direction."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(structures.positions.shape, generator=generator, dtype=torch.float64)
    direction = direction.to(structures.positions)

    def total(positions: Tensor) -> Tensor:
        blocks = solve(replace(structures, positions=positions))
        return torch.stack([(block**2).sum() for block in blocks]).sum()

    positions = structures.positions.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(positions), positions)
    slope = float((gradient * direction).sum())
    step, start = 1e-3, structures.positions.detach()
    with torch.no_grad():
        values = [float(total(start + n * step * direction)) for n in (-2, -1, 1, 2)]
    numerical = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    scale = float(gradient.abs().max()) * float(direction.abs().sum())
    np.testing.assert_allclose(slope, numerical, rtol=1e-6, atol=1e-7 * scale)


def _check_precision(
    method: AbstractMethod,
    expansion: FieldExpansion,
    structures: Structures,
    species: tuple[int, ...],
    exact: Equivariants,
) -> None:
    """Single precision in, single precision out, and as accurate as it is by default."""
    single = structures.to(dtype=torch.float32)
    found = expand(expansion, single, species=species, method=method)
    for block in found.blocks.values():
        require_equal("dtype", block.dtype, torch.float32)
    rounded = {irrep: block.detach().float() for irrep, block in exact.blocks.items()}
    _require_close(found, Equivariants(rounded, exact.labels, exact.centers), 1e-4)


def _check_settings(
    method: AbstractMethod,
    expansion: FieldExpansion,
    structures: Structures,
    species: tuple[int, ...],
) -> None:
    """A tolerance that no method has, and a cutoff, which is honored or refused."""

    def with_tolerance() -> object:
        return replace(method, tolerance=0.5)  # type: ignore[type-var] - a dataclass

    def with_cutoff() -> Equivariants:
        return expand(near, structures, species=species, method=method)

    _require_refusal(with_tolerance, "tolerance")
    near = replace(expansion, range="all", near_radius=None, neighbor_cutoff=2.0)
    if method.honors_cutoff:
        pairs = expand(near, structures, species=species, method=PairSum())
        _require_close(with_cutoff(), pairs, 1e-7)
    else:
        _require_refusal(with_cutoff, "neighbor_cutoff")


def _random_strengths(structures: Structures) -> Float[Tensor, "atom 3"]:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn((structures.n_atoms, 3), generator=generator, dtype=torch.float64)
    return values.to(structures.positions)


def _check_strengths(
    method: AbstractMethod,
    expansion: FieldExpansion,
    structures: Structures,
    of_species: Equivariants,
) -> None:
    """Those of species, sums, and derivatives; or a refusal. See `check_method`."""

    def solve(strengths: Tensor, batch: Structures = structures) -> list[Tensor]:
        found = expand(expansion, batch, strengths=strengths, method=method)
        return [block.unflatten(2, (strengths.shape[1], -1)) for block in found.blocks.values()]

    if not method.takes_strengths:
        _require_refusal(lambda: solve(_random_strengths(structures)), "strengths")
        return
    mixing = _random_strengths(structures)[:2]  # two channels, each a mixture of three
    species = structures.species.unique()
    one_hot = (structures.species[:, None] == species).to(structures.positions)
    expected = list(of_species.blocks.values())
    scale = max(float(block.detach().abs().max()) for block in expected)
    for found, block in zip(solve(one_hot), expected, strict=True):
        torch.testing.assert_close(found.flatten(2), block, rtol=0, atol=1e-10 * scale)
    strengths = _random_strengths(structures)
    for found, block in zip(solve(strengths @ mixing.T), solve(strengths), strict=True):
        mixed = torch.einsum("iman,ba->imbn", block, mixing)
        torch.testing.assert_close(found, mixed, rtol=0, atol=1e-10 * scale * len(strengths))
    _check_slopes_of_strengths(solve, structures, strengths)


def _check_slopes_of_strengths(
    solve: Callable[[Tensor, Structures], list[Tensor]], structures: Structures, strengths: Tensor
) -> None:
    """Derivatives of first and second order along one direction, against differences."""
    direction = _random_strengths(structures)
    start = (structures.positions.detach(), strengths)

    def slopes(step: float, *, again: bool = False) -> tuple[Tensor, Tensor]:
        """A sum of squares and its slope, both along the direction; or that slope's own slope."""
        x, q = ((value + step * direction).requires_grad_() for value in start)
        total = torch.stack([(b**2).sum() for b in solve(q, replace(structures, positions=x))])
        total = total.sum()
        gradients = torch.autograd.grad(total, (x, q), create_graph=again)
        slope = torch.stack([(g * direction).sum() for g in gradients]).sum()
        if again:
            gradients = torch.autograd.grad(slope, (x, q))
            total, slope = slope, torch.stack([(g * direction).sum() for g in gradients]).sum()
        return total.detach(), slope.detach()

    step = 1e-3
    near = [slopes(n * step) for n in (-2, -1, 1, 2)]
    (first, second), exact = zip(*near, strict=True), slopes(0.0, again=True)
    for values, slope in ((first, exact[0]), (second, exact[1])):
        numerical = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        scale = float(max(value.abs() for value in (*first, *second)))
        np.testing.assert_allclose(float(slope), float(numerical), rtol=1e-6, atol=1e-7 * scale)


def _require_refusal(attempt: Callable[[], object], word: str) -> None:
    try:
        attempt()
    except ValueError as error:
        if word not in str(error):
            raise AssertionError(f"a refusal does not name its {word}: {error}") from error
    else:
        raise AssertionError(f"a {word} that cannot be honored is not refused")


@own_modes(gradients=True)
def check_equivariance(
    compute: Callable[[Structures], Equivariants],
    structures: Structures,
    rotation: Float[Tensor, "3 3"],
    tolerance: float = 1e-10,
) -> None:
    """Quantities of rotated structures are the rotated quantities.

    Args:
        compute: the function to check.
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


@own_modes(gradients=True)
def check_tensor_equivariance(
    predict: Callable[[Structures], Float[Tensor, "row ..."]],
    structures: Structures,
    rotation: Float[Tensor, "3 3"],
    tolerance: float = 1e-8,
) -> None:
    """Cartesian tensors of rotated structures are the rotated tensors.

    Args:
        predict: the function to check, such as the values of a predictor; a row per structure
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
