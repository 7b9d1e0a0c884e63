"""Layers, wires and molecules in reciprocal space: infinite vacuum at the cost of none."""

import itertools
from dataclasses import replace

import ase
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

import lattice_sums
from crystals import (
    block,
    isolated_cluster,
    largest,
    relative_difference,
    species_of,
    stacked,
    structures_of,
)
from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.rotation import rotate_equivariants
from multilode.expansion import METHODS, FieldExpansion, PairSum, ReciprocalSum, expand
from multilode.fields import GaussianDensity, SmearedPotential, between
from multilode.fields.cutoffs import StepCutoff
from multilode.numerics.limits import limits
from multilode.radial import GaussianTypeOrbitals, LaplacianEigenstates, Monomials
from multilode.testing import check_method
from often import often

BASIS = Monomials(2, 1.5)
GTO = GaussianTypeOrbitals(3, 2.0)
EXACT = ReciprocalSum(1e-10)
EXPONENTS = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
PERIODS = {"slab": (True, True, False), "wire": (True, False, False)}
every_period = pytest.mark.parametrize("kind", PERIODS)


def layers(kind="slab") -> ase.Atoms:
    """Two species without symmetry, neither of them neutral, with a dipole along the free axes."""
    return ase.Atoms(
        "NaCl2Na",
        positions=[[0.1, 0.2, 0.3], [1.5, 1.0, 1.1], [2.5, -0.4, -1.2], [0.4, 2.3, 2.2]],
        cell=[[3.2, 0.3, 0.2], [-0.9, 4.1, 0.3], [0, 0, 0]] * np.array(PERIODS[kind])[:, None],
        pbc=PERIODS[kind],
    )


def expanded(expansion, atoms, method=EXACT) -> Equivariants:
    return expand(expansion, structures_of(atoms), species=species_of(atoms), method=method)


def neutral(equivariants, n_radial=2) -> torch.Tensor:
    """Coefficients of the charges +1 and -1 of the first and the second species."""
    values = stacked(equivariants).unflatten(1, (-1, 2, n_radial))
    return values[:, :, 0] - values[:, :, 1]


@pytest.mark.parametrize(
    ("kind", "exponent"),
    often(
        itertools.product(PERIODS, EXPONENTS),
        [("slab", 2.0), ("wire", 1.0), ("wire", 1.5), ("wire", 6.0)],
    ),
)
def test_direct_summation(kind, exponent):
    expansion = FieldExpansion(SmearedPotential(1.0, exponent), BASIS, 3)
    atoms = layers(kind)
    expected = lattice_sums.coefficients(expansion, atoms, center=1)
    scale = max(float(values.abs().max()) for values in expected.values())
    for tolerance, allowed in ((1e-10, 1e-10), (1e-6, 1e-6), (1e-3, 1e-3)):
        ours = expanded(expansion, atoms, ReciprocalSum(tolerance))
        for l, values in expected.items():
            assert (block(ours, l)[1] - values).abs().max() < allowed * scale


BASES = [BASIS, GTO, LaplacianEigenstates(2, 2.0)]


@pytest.mark.parametrize(
    ("exponent", "basis"),
    often(
        itertools.product([0.01, *EXPONENTS], BASES),
        [(0.01, BASES[0]), (1.0, BASES[1]), (3.0, BASES[0]), (4.0, BASES[2]), (6.0, BASES[1])],
    ),
)
def test_molecules_in_both_spaces(exponent, basis):
    expansion = FieldExpansion(SmearedPotential(1.0, exponent), basis, 3, center_weight=0.3)
    expected = expanded(expansion, isolated_cluster(), PairSum(1e-10))
    for tolerance, allowed in ((1e-10, 3e-10), (1e-6, 1e-6), (1e-3, 1e-3)):
        ours = expanded(expansion, isolated_cluster(), ReciprocalSum(tolerance))
        assert relative_difference(ours, expected) < allowed


@pytest.mark.parametrize("pbc", [*PERIODS.values(), (False, False, False)], ids=str)
def test_the_density_in_both_spaces(pbc):
    atoms = layers()
    atoms.set_cell(atoms.cell[:] + np.diag([0, 0, 9.0]))  # the free vectors are there, and unused
    atoms.pbc = pbc
    expansion = FieldExpansion(GaussianDensity(0.7), BASIS, 3, BASIS.support + 7, StepCutoff())
    pairs, waves = (expanded(expansion, atoms, m) for m in (PairSum(1e-10), ReciprocalSum(1e-10)))
    assert relative_difference(waves, pairs) < 1e-9


@pytest.mark.parametrize("exponent", [1.0, 3.0, 6.0])
@every_period
def test_the_cell_along_free_axes_is_irrelevant(kind, exponent):
    expansion = FieldExpansion(SmearedPotential(0.8, exponent), GTO, 2)
    atoms = layers(kind)
    expected = expanded(expansion, atoms)
    free = ~atoms.pbc
    for vectors in (
        10 * np.eye(3),
        200 * np.eye(3),
        [[7, 1, 3], [2, 2, 9], [3, 1, -2]],
        atoms.cell,
    ):
        other = atoms.copy()
        other.cell[free] = np.asarray(vectors)[free]
        assert relative_difference(expanded(expansion, other), expected) == 0
    atoms.positions += [5.0, -70.0, 40.0]  # nor where the structure is
    assert relative_difference(expanded(expansion, atoms), expected) < 1e-9


@every_period
@pytest.mark.parametrize("order", [(1, 2, 0), (2, 0, 1), (1, 0, 2), (0, 2, 1)])
def test_any_axes_may_be_free(kind, order):
    """Renaming the lattice vectors changes nothing, whatever the handedness."""
    expansion = FieldExpansion(SmearedPotential(0.8, 1.0), BASIS, 3)
    atoms = layers(kind)
    other = atoms.copy()
    other.set_cell(atoms.cell[:][list(order)])
    other.pbc = atoms.pbc[list(order)]
    assert relative_difference(expanded(expansion, other), expanded(expansion, atoms)) < 1e-12


@every_period
@pytest.mark.parametrize("exponent", [1.0, 6.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_coefficients_rotate(kind, exponent, seed):
    """Also those of a supercell with other, more skewed periods."""
    matrix = Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    expansion = FieldExpansion(SmearedPotential(0.8, exponent), GTO, 3)
    atoms = layers(kind)
    turned = atoms.copy() * (2, 1, 1)
    turned.set_cell(turned.cell[:] @ matrix.T)
    if kind == "slab":
        turned.cell[1] += turned.cell[0]
    turned.positions = turned.positions @ matrix.T
    before, after = expanded(expansion, atoms), expanded(expansion, turned)
    expected = rotate_equivariants(before, torch.from_numpy(matrix.copy()))
    first = Equivariants(
        {i: b[: len(atoms)] for i, b in after.blocks.items()}, after.labels, before.centers
    )
    assert relative_difference(first, expected) < 1e-9


@every_period
@pytest.mark.parametrize("exponent", [4.0, 6.0])
def test_a_growing_vacuum(kind, exponent):
    """3D boxes tend to the layer or wire, with the powers of their size that images bring."""
    expansion = FieldExpansion(SmearedPotential(1.0, exponent), BASIS, 2)
    atoms = layers(kind)
    sizes = np.array([16.0, 18.0, 20.0, 22.0, 25.0, 28.0])
    values = []
    for size in sizes:
        box = atoms.copy()
        box.set_cell(atoms.cell[:] + np.diag(size * ~atoms.pbc))
        box.pbc = True
        values.append(stacked(expanded(expansion, box)))
    lowest = exponent - sum(PERIODS[kind])
    design = np.stack([(16 / sizes) ** q for q in (0, *(lowest + 2 * n for n in range(4)))], axis=1)
    fit, *_ = np.linalg.lstsq(design, torch.stack(values).flatten(1).numpy(), rcond=None)
    open_ = stacked(expanded(expansion, atoms))
    error = float((torch.from_numpy(fit[0]).reshape(open_.shape) - open_).abs().max())
    assert error < 1e-5 * float(open_.abs().max())
    assert float((values[-1] - open_).abs().max()) > 20 * error


def test_a_neutral_layer_with_a_dipole_in_a_growing_vacuum():
    """3D boxes of height L bring a uniform field (the dipole correction) and a constant, as 1/L."""
    expansion = FieldExpansion(SmearedPotential(1.0, 1.0), BASIS, 3)
    atoms = layers()
    charges = np.where(atoms.numbers == 11, 1.0, -1.0)
    values = []
    for height in (25.0, 40.0, 50.0):
        box = atoms.copy()
        normal = np.cross(atoms.cell[0], atoms.cell[1])
        box.cell[2] = height * normal / np.linalg.norm(normal)
        box.pbc = True
        values.append(neutral(expanded(expansion, box)))
    exact = neutral(expanded(expansion, atoms))
    scale = float(exact.abs().max())
    dipole = charges @ (atoms.positions @ (normal / np.linalg.norm(normal)))
    assert abs(dipole) > 1
    assert (2 * values[2] - values[0] - exact).abs().max() < 1e-9 * scale
    assert ((40 * values[1] - 25 * values[0]) / 15 - exact).abs().max() < 1e-9 * scale
    assert (values[2] - exact).abs().max() > 1e-2 * scale


@pytest.mark.parametrize(("kind", "exponent"), [("slab", 2.0), ("wire", 1.0)])
def test_neutral_combinations_forget_the_finite_part(kind, exponent):
    """Where the exponent equals the periods, one species alone has a pole and charges have none."""
    atoms = layers(kind)
    near = [
        expanded(FieldExpansion(SmearedPotential(1.0, p), BASIS, 2), atoms)
        for p in (exponent - 1e-5, exponent, exponent + 1e-5)
    ]
    below, at, above = (neutral(e) for e in near)
    scale = float(at.abs().max())
    assert (below - at).abs().max() < 1e-4 * scale
    assert (0.5 * (below + above) - at).abs().max() < 1e-8 * scale
    assert largest(near[0]) > 1e4 * scale
    assert largest(near[2]) > 1e4 * scale


@pytest.mark.parametrize("exponent", [1.0, 2.0, 6.0])
@every_period
def test_forces(kind, exponent):
    expansion = FieldExpansion(SmearedPotential(0.9, exponent), GTO, 2)
    atoms = layers(kind)
    expected = expanded(expansion, atoms, ReciprocalSum(1e-11))
    check_method(ReciprocalSum(1e-10), expansion, structures_of(atoms), expected)


def of_positions_and_cell(atoms, expansion, tolerance=1e-10):
    structures = structures_of(atoms)
    weights = None

    def function(positions, cell):
        nonlocal weights
        moved = replace(structures, positions=positions, cell=cell)
        values = stacked(
            expand(expansion, moved, species=species_of(atoms), method=ReciprocalSum(tolerance))
        )
        if weights is None:
            generator = torch.Generator().manual_seed(1)
            weights = torch.randn(values.shape, generator=generator, dtype=torch.float64)
        return (values * weights).sum() + (values**2).sum()

    inputs = [t.clone().requires_grad_() for t in (structures.positions, structures.cell)]
    return function, inputs


@pytest.mark.parametrize("exponent", [1.0, 2.0, 6.0])
@every_period
def test_derivatives_along_the_periods(kind, exponent):
    """The in-plane stress; a rotation of positions and periods together changes no invariant."""
    function, (positions, cell) = of_positions_and_cell(
        layers(kind), FieldExpansion(SmearedPotential(0.9, exponent), BASIS, 2)
    )
    slope = torch.autograd.grad(function(positions, cell), cell)[0]
    generator = torch.Generator().manual_seed(2)
    assert bool((slope[0, ~torch.tensor(PERIODS[kind])] == 0).all())
    for axis in np.flatnonzero(PERIODS[kind]):
        direction = torch.zeros_like(cell)
        direction[0, axis] = torch.randn(3, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            step = 1e-3
            values = [function(positions, cell + n * step * direction) for n in (-2, -1, 1, 2)]
        numerical = float(values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        analytic = float((slope * direction).sum())
        assert abs(analytic - numerical) < 1e-6 * float(slope.abs().max())


@every_period
def test_second_derivatives(kind):
    atoms = layers(kind)[:2]
    expansion = FieldExpansion(SmearedPotential(1.3, 1.0), Monomials(1, 1.0), 1)
    function, inputs = of_positions_and_cell(atoms, expansion, 1e-9)
    assert torch.autograd.gradcheck(function, inputs, atol=1e-6, rtol=1e-5, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, inputs, atol=1e-5, rtol=1e-5, fast_mode=True)


def test_single_precision():
    expansion = FieldExpansion(SmearedPotential(0.8, 1.0), GTO, 2)
    structures = structures_of(layers())
    method = ReciprocalSum(1e-5)
    single = expand(expansion, structures.to(dtype=torch.float32), species=(11, 17), method=method)
    double = expand(expansion, structures, species=(11, 17), method=EXACT)
    assert single.blocks[min(single.blocks)].dtype == torch.float32
    assert relative_difference(single, double) < 3e-5


def test_mixed_batches():
    """Crystals, layers, wires and molecules in one batch, each as if it were alone."""
    expansion = FieldExpansion(SmearedPotential(0.8, 1.0), BASIS, 2)
    crystal = layers()
    crystal.set_cell(crystal.cell[:] + np.diag([0, 0, 9.0]))
    crystal.pbc = True
    many = [layers("wire"), crystal, layers(), isolated_cluster(), layers("wire")]
    species = species_of(*many)
    batch = expand(expansion, structures_of(*many), species=species, method=EXACT)
    alone = [expand(expansion, structures_of(a), species=species, method=EXACT) for a in many]
    for irrep, values in batch.blocks.items():
        expected = torch.cat([a.blocks[irrep] for a in alone])
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pbc", [*PERIODS.values(), (False, False, False)], ids=str)
@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0, 6.0])
def test_the_parts_of_a_split_add_up(pbc, exponent):
    """Screened by a wider Gaussian, and that Gaussian; where averages diverge, up to a constant."""
    atoms = layers()
    atoms.pbc = pbc
    parts = [
        (SmearedPotential(0.8, exponent), None),
        (between(SmearedPotential(0.8, exponent), 0.0, 1.4), 30.0),
        (SmearedPotential(1.4, exponent), None),
    ]
    whole, short, smooth = (
        neutral(expanded(FieldExpansion(part, BASIS, 2, cutoff), atoms, ReciprocalSum(1e-10)))
        for part, cutoff in parts
    )
    assert (short + smooth - whole).abs().max() < 1e-9 * whole.abs().max()


@pytest.mark.parametrize("exponent", [1.0, 2.0, 6.0])
@every_period
def test_derivatives_in_the_parameters_of_the_field(kind, exponent):
    structures = structures_of(layers(kind))

    def function(smearing, exponent):
        expansion = FieldExpansion(SmearedPotential(smearing, exponent), BASIS, 2)
        values = expand(expansion, structures, species=(11, 17), method=ReciprocalSum(1e-10))
        return torch.cos(neutral(values)).sum()

    parameters = [torch.tensor(x, dtype=torch.float64) for x in (0.9, exponent)]
    # a logarithm (p = d) is a point of its own: only the smearing moves there
    count = 1 if exponent == sum(PERIODS[kind]) else 2
    moving = [x.clone().requires_grad_(i < count) for i, x in enumerate(parameters)]
    slopes = torch.autograd.grad(function(*moving), moving[:count], create_graph=True)
    curvature = torch.autograd.grad(slopes[0], moving[0])[0]
    step = 1e-3
    for i in range(count):
        values = []
        for n in (-2, -1, 1, 2):
            shifted = [float(x) for x in parameters]
            shifted[i] += n * step
            values.append(float(function(*shifted)))
        numerical = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        assert float(slopes[i].detach()) == pytest.approx(numerical, rel=1e-6)
        if i == 0:
            middle = float(function(*map(float, parameters)))
            outer, inner = values[0] + values[3], values[1] + values[2]
            numerical = (-outer + 16 * inner - 30 * middle) / (12 * step**2)
            assert float(curvature) == pytest.approx(numerical, rel=1e-5)


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("kind", [*PERIODS, "molecule"])
def test_structures_far_up_along_a_free_axis(kind, method):
    """Where they sit does not matter, and a vacuum of 1e6 Å below them takes no memory."""
    if kind != "molecule" and method == "pair_sum":
        pytest.skip("a sum over all pairs of a periodic structure does not end")
    here = isolated_cluster() if kind == "molecule" else layers(kind)
    there = here.copy()
    there.positions[:, 2] += 1e6
    expansion = FieldExpansion(SmearedPotential(1.0, 1.0), BASIS, 3)
    given = {"species": species_of(here), "method": method, "tolerance": 1e-6}
    with limits(memory=1e9):
        expected = expand(expansion, structures_of(here), **given)
        found = expand(expansion, structures_of(there), **given)
    # positions themselves are rounded to 1e-10 Å, and a mesh sees them between other nodes
    assert relative_difference(found, expected) < 2e-6
