"""Boxes, kernels of layers and wires against closed forms, and the cache of what a cell needs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import erfc, k0

from lattice_sums import plane_average, profile
from multilode.expansion.lattice import kernel as kernel_module
from multilode.expansion.lattice.box import Box, basis_reach, enclosing_box, free_directions
from multilode.expansion.lattice.cell_cache import CellCache, tensor_key
from multilode.expansion.lattice.kernel import lattice_kernel
from multilode.fields import AbstractField, GaussianDensity, SmearedPotential
from multilode.numerics.limits import limits
from multilode.radial import GaussianTypeOrbitals, Monomials, orthonormalize

CELL = torch.tensor([[3.2, 0.3, 0.2], [-0.9, 4.1, 0.3], [0, 0, 0]], dtype=torch.float64)
POINTS = torch.tensor([[0, 0, 0], [1, 2, 8.5]], dtype=torch.float64)
LAYER, WIRE, MOLECULE = (True, True, False), (True, False, False), (False, False, False)
SMEARING = 0.8


BOX = Box(CELL, LAYER, (0.0, 0.0, 12.0), 6.0, 20.0)


def box_of(pbc, tolerance=1e-10, reach=3.0, cell=CELL, positions=POINTS) -> Box:
    band = math.sqrt(2 * math.log(1 / tolerance)) / SMEARING
    return enclosing_box(positions, cell, pbc, reach=reach, band=band, tolerance=tolerance)


def integers(box, k_max=9 / SMEARING):
    """All that a sum needs; zero alone along the periods."""
    counts = (torch.linalg.vector_norm(box.cell, dim=1) * k_max / (2 * math.pi)).long().tolist()
    return tuple(
        torch.zeros(1, dtype=torch.int64) if p else torch.arange(-n, n + 1)
        for n, p in zip(counts, box.pbc, strict=True)
    )


def in_space(kernel, box, h, z):
    """Sum of the coefficients over the free axes at a separation of z along each in turn."""
    values, measure = {}, 1.0
    for axis in box.free:
        measure /= 2 * box.exact[axis] + box.taper
    for axis in box.free:
        k = 2 * math.pi * h[axis].double() / (2 * box.exact[axis] + box.taper)
        others = [a for a in range(3) if a != axis]
        values[axis] = torch.cos(torch.outer(z, k)) @ kernel.sum(dim=others) * measure
    return values


@pytest.mark.parametrize("exponent", [0.3, 1.0, 1.5, 2.0, 3.0, 6.0, 20.0])
@pytest.mark.parametrize("pbc", [LAYER, WIRE, MOLECULE], ids=["layer", "wire", "molecule"])
def test_averages_along_the_periods(pbc, exponent):
    """At k = 0 along the periods the kernel is the field of a plane or line, or its finite part."""
    box, d = box_of(pbc), sum(pbc)
    h = integers(box)
    kernel = lattice_kernel(SmearedPotential(SMEARING, exponent), box, h)
    z = torch.linspace(0.01, max(box.exact), 40, dtype=torch.float64)
    for axis, values in in_space(kernel, box, h, z).items():
        near = z <= box.exact[axis]
        r = z[near].numpy()
        expected = plane_average(r, SMEARING, exponent, d) if d else profile(r, SMEARING, exponent)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(values[near].numpy(), expected, rtol=0, atol=1e-9 * scale)


def test_the_finite_part_of_a_charged_layer():
    """Theory, section 2: -2 pi (z erf(z / sqrt2 s) + s sqrt(2 / pi) exp(-z^2 / 2 s^2))."""
    box = box_of(LAYER)
    h = integers(box)
    kernel = lattice_kernel(SmearedPotential(SMEARING, 1.0), box, h)
    z = torch.linspace(0, box.exact[2], 30, dtype=torch.float64)
    x = z / (math.sqrt(2) * SMEARING)
    expected = z * torch.erf(x) + SMEARING * math.sqrt(2 / math.pi) * torch.exp(-(x**2))
    found = in_space(kernel, box, h, z)[2]
    torch.testing.assert_close(found, -2 * math.pi * expected, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("exponent", [2.0, 1.0])
def test_the_finite_part_of_a_logarithm_is_zero_at_its_source(exponent):
    box = box_of(LAYER if exponent == 2 else WIRE)
    h = integers(box)
    kernel = lattice_kernel(SmearedPotential(SMEARING, exponent), box, h)
    origin = torch.zeros(1, dtype=torch.float64)
    for values in in_space(kernel, box, h, origin).values():
        assert abs(float(values)) < 1e-8


def test_waves_along_a_layer():
    """Smeared charges, in two dimensions: pi / k (e^kz erfc(ks/sqrt2 + z/sqrt2 s) + the mirror)."""
    box = box_of(LAYER)
    _, _, free = integers(box)
    h = (torch.tensor([1]), torch.tensor([-2]), free)
    kernel = lattice_kernel(SmearedPotential(SMEARING, 1.0), box, h)
    reciprocal = 2 * math.pi * torch.linalg.inv(box.cell)
    k = float(torch.linalg.vector_norm(reciprocal @ torch.tensor([1.0, -2, 0]).double()))
    z = torch.linspace(0, 6, 30, dtype=torch.float64)
    found = in_space(kernel, box, h, z)[2].numpy()
    z, s = z.numpy(), SMEARING * math.sqrt(2)
    expected = np.exp(k * z) * erfc(k * s / 2 + z / s) + np.exp(-k * z) * erfc(k * s / 2 - z / s)
    np.testing.assert_allclose(found, math.pi / k * expected, rtol=0, atol=1e-9)


def test_waves_along_a_wire():
    """Far from a charged line, where the Gaussian has no tail: 2 K_0(k rho)."""
    box = box_of(WIRE, reach=8.0)
    _, *free = integers(box)
    h = (torch.tensor([1]), *free)
    kernel = lattice_kernel(SmearedPotential(SMEARING, 1.0), box, h)
    k = 2 * math.pi / float(torch.linalg.vector_norm(CELL[0]))
    z = torch.linspace(6, 8, 10, dtype=torch.float64)
    for values in in_space(kernel, box, h, z).values():
        np.testing.assert_allclose(values.numpy(), 2 * k0(k * z.numpy()), rtol=0, atol=1e-9)


@pytest.mark.parametrize("field", [GaussianDensity(SMEARING), SmearedPotential(SMEARING, 4.0)])
def test_crystals_have_their_own_transform(field):
    cell = CELL + torch.diag(torch.tensor([0, 0, 5.0], dtype=torch.float64))
    h = (torch.arange(-2, 3), torch.tensor([0, 1, -1]), torch.arange(3))
    kernel = lattice_kernel(field, box_of((True, True, True), cell=cell), h)
    k = torch.cartesian_prod(*h).double() @ (2 * math.pi * torch.linalg.inv(cell)).T
    expected = field.fourier(torch.linalg.vector_norm(k, dim=1).clamp(min=1e-9)).reshape(5, 3, 3)
    expected[2, 0, 0] = field.fourier_origin()
    torch.testing.assert_close(kernel, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("pbc", [(True, True, True), LAYER, WIRE])
def test_kernels_differentiate_twice(pbc):
    cell = CELL + torch.diag(torch.tensor([0, 0, 5.0], dtype=torch.float64))
    h = (torch.tensor([0, 1, -2]), torch.tensor([1, 0]), torch.tensor([0, 3]))

    def kernel(cell):
        return lattice_kernel(SmearedPotential(SMEARING, 1.0), box_of(pbc, cell=cell), h)

    cell.requires_grad_()
    assert torch.autograd.gradcheck(kernel, cell)
    assert torch.autograd.gradgradcheck(kernel, cell)


def test_free_directions_are_orthonormal_and_normal_to_the_periods():
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        cell = torch.randn(3, 3, generator=generator, dtype=torch.float64)
        for pbc in (LAYER, (True, False, True), WIRE, (False, True, False), MOLECULE):
            directions = free_directions(cell, pbc)
            torch.testing.assert_close(directions @ directions.T, torch.eye(3 - sum(pbc)).double())
            overlap = directions @ cell[torch.tensor(pbc)].T
            assert not len(overlap.flatten()) or overlap.abs().max() < 1e-12


def test_boxes_hold_still_while_atoms_vibrate():
    first, second = box_of(LAYER), box_of(LAYER, positions=POINTS + 0.05 * POINTS.cos())
    assert first.exact == second.exact == (0.0, 0.0, 12.0)
    assert torch.equal(first.cell, second.cell)
    assert box_of(LAYER, positions=POINTS[:0]).exact[2] >= 3


def test_looser_tolerances_make_smaller_boxes():
    edges = [float(box_of(MOLECULE, tolerance).volume) for tolerance in (1e-12, 1e-8, 1e-4)]
    assert edges[0] > edges[1] > edges[2]


@pytest.mark.parametrize("basis", [GaussianTypeOrbitals(6, 3.0), Monomials(3, 2.0)], ids=repr)
def test_reach_of_a_basis(basis):
    reaches = [basis_reach(basis, 3, tolerance) for tolerance in (1e-12, 1e-6, 1e-3)]
    assert reaches[0] >= reaches[1] >= reaches[2]
    assert reaches[0] <= basis.support
    functions = orthonormalize(basis, 3)
    weight = np.abs(functions.values) * functions.weights * functions.r**2
    outside = weight[:, :, functions.r > reaches[1]].sum(axis=2).max(axis=1)
    assert (outside < 1e-6 * weight.sum(axis=2).max(axis=1)).all()


def test_a_kernel_too_large_for_memory():
    h = torch.arange(-600, 601)
    with pytest.raises(ValueError, match=r"1201 x 1201 x 1201 wave vectors needs 12.9 GiB.*use a"):
        lattice_kernel(SmearedPotential(SMEARING, 1.0), box_of(LAYER), (h, h, h))


@pytest.mark.parametrize("pbc", [LAYER, WIRE, MOLECULE], ids=["layer", "wire", "molecule"])
@pytest.mark.parametrize("elements", [1, 5000])
def test_blocks_add_up_to_the_kernel(pbc, elements, monkeypatch):
    """Down to one wave at a time, with derivatives of the field and of the cell."""
    h = (torch.arange(-3, 4), torch.arange(-1, 3), torch.arange(5))

    def kernel(cell, smearing):
        field = SmearedPotential(smearing, 1.0)
        return lattice_kernel(field, replace(BOX, cell=cell, pbc=pbc, exact=exact), h)

    cell, smearing = 30 * torch.eye(3, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64)
    exact = tuple(0.0 if p else 12.0 for p in pbc)
    inputs = (cell.requires_grad_(), smearing.requires_grad_())
    weights = torch.linspace(-1, 2, 140, dtype=torch.float64).reshape(7, 4, 5)
    results = []
    for limit in (2**30, elements):
        monkeypatch.setattr(kernel_module, "_BLOCK_ELEMENTS", limit)
        whole = kernel(*inputs)
        first = torch.autograd.grad((whole * weights).sin().sum(), inputs, create_graph=True,
                                    allow_unused=True)  # fmt: skip
        second = torch.autograd.grad(first[1], smearing)
        results.append([whole, *[g for g in first if g is not None], *second])
    for whole, blocked in zip(*results, strict=True):
        torch.testing.assert_close(
            blocked, whole, rtol=1e-12, atol=1e-12 * float(whole.detach().abs().max())
        )


def test_what_a_kernel_needs_on_the_way_is_foreseen():
    """Transforms along a free axis may be much larger than the kernel itself."""
    box = box_of(LAYER, positions=torch.tensor([[0, 0, 0], [0, 0, 1e6]], dtype=torch.float64))
    one = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(
        ValueError, match=r"extends over 9.949e\+05 Å along its free axes needs about"
    ):
        lattice_kernel(SmearedPotential(SMEARING, 1.0), box, (one, one, torch.arange(10**6)))
    h, box = torch.arange(40), box_of(MOLECULE)
    said = "smaller structure along the axes without periodicity"
    with limits(memory=2e6), pytest.raises(ValueError, match=said):
        lattice_kernel(SmearedPotential(SMEARING, 1.0), box, (h, h, h))
    with limits(memory=1e9):
        lattice_kernel(SmearedPotential(SMEARING, 1.0), box, (h, h, h))


def test_a_field_without_a_measure_says_what_is_missing():
    """It cannot be made, so that no structure with one or two periods can meet it."""

    class Other(AbstractField):
        smearing = 1.0

    with pytest.raises(TypeError, match=r"abstract methods '?measure'?, '?tail'?, '?widest"):
        Other()


def test_the_cache_forgets_the_oldest_and_what_is_too_large():
    built = []

    def value(name, size):
        return lambda: built.append(name) or (torch.zeros(size, dtype=torch.uint8),)

    cache = CellCache(10**6)
    cache.get("x", value("x", 0))
    own = cache.size  # of an entry without its tensors
    built.clear()
    cache = CellCache(4 * (1000 + own))

    for name in "abcade":  # room for four
        cache.get(name, value(name, 1000))
    assert "".join(built) == "abcde"
    assert cache.size == 4 * (1000 + own)
    for name in "ab":  # a was used lately and is still there, b is not
        cache.get(name, value(name, 1000))
    assert "".join(built) == "abcdeb"
    for _ in range(2):
        cache.get("large", value("large", 1001))
    assert built.count("large") == 2
    cache.clear()
    assert cache.size == 0


def test_cached_values_serve_a_later_backward_pass():
    cache = CellCache(4000)
    x = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        cache.get("k", lambda: (2 * x,))
    kept = cache.get("k", lambda: None)[0]
    assert not kept.requires_grad
    (x * kept).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_keys_are_values():
    cell = torch.eye(3)
    assert tensor_key(cell) == tensor_key(cell.clone().requires_grad_())
    assert tensor_key(cell) != tensor_key(cell.double())
    assert tensor_key(cell) != tensor_key(cell * (1 + 1e-7))
