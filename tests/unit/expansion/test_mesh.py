"""Batches, centers and cells of a mesh, what it keeps of them, and what it refuses."""

from dataclasses import replace

import ase
import numpy as np
import pytest
import torch

from crystals import (
    block,
    isolated_cluster,
    one_atom_crystal,
    species_of,
    stacked,
    structures_of,
    tiny_cell,
    triclinic_perovskite,
    water_box,
    water_in_box,
)
from multilode.expansion import FieldExpansion, Mesh, ReciprocalSum, expand
from multilode.expansion.lattice.cell_cache import CELL_CACHE
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.numerics.limits import limits
from multilode.radial import GaussianTypeOrbitals, Monomials
from ten_structures import TEN, typical_sizes, worst_error

EXPANSION = FieldExpansion(SmearedPotential(1.0, 1.0), Monomials(2, 2.0), 3)
SPECIES = (1, 8)


def mixed(count, seed=0):
    """Small structures of all sizes, periodicities and cells, some of them alike."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        atoms = ase.Atoms(
            ["H", "O"][: 1 + i % 2] + ["H"] * (i % 5),
            scaled_positions=rng.uniform(-1, 2, (1 + i % 2 + i % 5, 3)),
            cell=rng.uniform(3, 5, 3)[:, None] * (np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3))),
            pbc=[(True, True, True), (True, False, True), (False, False, True), False][i % 4],
        )
        found.append(found[-4].copy() if i % 7 == 6 else atoms)
    return found


@pytest.mark.parametrize("method", ["auto", Mesh(1e-6)], ids=["auto", "mesh"])
def test_a_mixed_batch_is_as_one_by_one(method):
    """Plans are shared by a batch, so the numbers agree to the tolerance and not to rounding."""
    frames, tolerance = mixed(16), 1e-6
    batch = structures_of(*frames)
    inputs = [t.clone().requires_grad_() for t in (batch.positions, batch.cell)]
    moved = replace(batch, positions=inputs[0], cell=inputs[1])
    together = expand(EXPANSION, moved, species=SPECIES, method=method, tolerance=tolerance)
    weights = torch.linspace(-1, 1, stacked(together).shape[1], dtype=torch.float64)
    gradients = torch.autograd.grad((stacked(together) @ weights).sum(), inputs)
    values, alone = [], [[], []]
    for frame in frames:
        single = structures_of(frame)
        own = [t.clone().requires_grad_() for t in (single.positions, single.cell)]
        moved = replace(single, positions=own[0], cell=own[1])
        found = expand(EXPANSION, moved, species=SPECIES, method=method, tolerance=tolerance)
        values.append(stacked(found))
        slopes = torch.autograd.grad((values[-1] @ weights).sum(), own, materialize_grads=True)
        for kept, slope in zip(alone, slopes, strict=True):
            kept.append(slope)
    scale = stacked(together).abs().max()
    assert (stacked(together) - torch.cat(values)).abs().max() < tolerance * scale
    for found, expected in zip(gradients, alone, strict=True):
        expected = torch.cat(expected)
        assert (found - expected).abs().max() < 3 * tolerance * expected.abs().max()


def test_a_batch_of_equal_plans_is_as_one_by_one_to_rounding():
    """Copies of one crystal in one batch, with few and with many of them at once."""
    atoms = triclinic_perovskite()
    moved = atoms.copy()
    moved.positions += 0.3
    species = species_of(atoms)
    alone = [
        stacked(expand(EXPANSION, structures_of(a), species=species, method=Mesh(1e-6)))
        for a in (atoms, moved, atoms)
    ]
    batch = structures_of(atoms, moved, atoms)
    for room in (None, 1):
        with limits(block_bytes=room):
            together = stacked(expand(EXPANSION, batch, species=species, method=Mesh(1e-6)))
        torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-12)


@pytest.mark.parametrize("chosen", [[0, 3, 4], [7], []])
def test_some_centers(chosen):
    frames = [triclinic_perovskite(), one_atom_crystal(), triclinic_perovskite()]
    batch, species = structures_of(*frames), species_of(*frames)
    everything = expand(EXPANSION, batch, species=species, method=Mesh(1e-6))
    centers = torch.tensor(chosen, dtype=torch.int64)
    some = expand(EXPANSION, batch, species=species, centers=centers, method=Mesh(1e-6))
    for irrep, values in some.blocks.items():
        torch.testing.assert_close(values, everything.blocks[irrep][centers], rtol=0, atol=1e-11)


def test_nothing_stale_is_taken_from_the_cache():
    """Cells that differ by 1e-9, other fields, bases, tolerances, types and degrees in turn."""
    cases = [
        (structures_of(water_in_box((6.0, 7.0, 8.0 + shift))).to(dtype=dtype), expansion, tolerance)
        for shift in (0.0, 1e-9)
        for dtype in (torch.float64, torch.float32)
        for tolerance in (1e-3, 1e-4)
        for expansion in (
            EXPANSION,
            replace(EXPANSION, field=SmearedPotential(1.0, 4.0)),
            replace(EXPANSION, field=SmearedPotential(1.1, 1.0)),
            replace(EXPANSION, basis=Monomials(2, 2.2)),
            replace(EXPANSION, max_angular=2),
        )
    ]

    def all_of_them(fresh):
        found = []
        for structures, expansion, tolerance in cases:
            if fresh:
                CELL_CACHE.clear()
            found.append(
                stacked(expand(expansion, structures, species=SPECIES, method=Mesh(tolerance)))
            )
        return found

    expected = all_of_them(fresh=True)
    CELL_CACHE.clear()
    first, second = all_of_them(fresh=False), all_of_them(fresh=False)
    assert CELL_CACHE.size > 0
    for a, b, c in zip(expected, first, second, strict=True):
        assert torch.equal(b, c)
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)
    half = len(cases) // 2
    assert not any(
        torch.equal(a, b) for a, b in zip(first[:5], first[half : half + 5], strict=True)
    )


def test_kernels_of_dynamics_are_those_of_a_moving_cell():
    structures = structures_of(water_in_box())
    CELL_CACHE.clear()
    with torch.inference_mode():
        kept = stacked(expand(EXPANSION, structures, species=SPECIES, method=Mesh(1e-6)))
    moving = replace(structures, cell=structures.cell.clone().requires_grad_())
    found = stacked(expand(EXPANSION, moving, species=SPECIES, method=Mesh(1e-6)))
    torch.testing.assert_close(found.detach(), kept.clone(), rtol=0, atol=1e-13)


def test_a_density_on_a_mesh():
    basis = GaussianTypeOrbitals(4, 3.0)
    expansion = FieldExpansion(GaussianDensity(0.6), basis, 4, 20.0)
    structures, species = structures_of(triclinic_perovskite()), (8, 22, 38)
    exact = expand(expansion, structures, species=species, method=ReciprocalSum(1e-12))
    found = expand(expansion, structures, species=species, method=Mesh(1e-7))
    for l in range(5):
        size = block(exact, l).abs().max()
        assert (block(found, l) - block(exact, l)).abs().max() < 1e-7 * size


@pytest.mark.parametrize("name", ["tiny cell", "strongly skewed, atoms outside", "left-handed"])
def test_supercells(name):
    """Larger cells have other waves, other meshes and other reductions of their vectors."""
    atoms = TEN[name]()
    expansion = replace(EXPANSION, basis=GaussianTypeOrbitals(4, 3.0))
    sizes, species = typical_sizes(expansion), species_of(atoms)
    single = expand(expansion, structures_of(atoms), species=species, method=Mesh(1e-6))
    for repeats in ((2, 1, 1), (1, 2, 3)):
        many = atoms.repeat(repeats)
        found = expand(expansion, structures_of(many), species=species, method=Mesh(1e-6))
        copies = many.positions.shape[0] // len(atoms)
        blocks = {irrep: b.repeat(copies, 1, 1) for irrep, b in single.blocks.items()}
        assert worst_error(found, replace(found, blocks=blocks), sizes) < 3e-6


def test_a_tolerance_beyond_its_windows_says_so():
    expansion = FieldExpansion(SmearedPotential(1.0, 1.0), GaussianTypeOrbitals(6, 3.0), 12)
    said = r"a mesh reaches \S+ for max_angular 12, not the tolerance of 1.0e-11; .*ReciprocalSum"
    with pytest.raises(ValueError, match=said):
        expand(expansion, structures_of(water_box()), species=SPECIES, method=Mesh(1e-11))


@pytest.mark.parametrize("tolerance", [0.0, 1e-13, 0.5, float("nan"), -1e-6])
def test_tolerances_out_of_range(tolerance):
    with pytest.raises(ValueError, match=r"tolerance is \S+; it must lie between 1e-12 and 0.01"):
        Mesh(tolerance)
    with pytest.raises(ValueError, match=r"tolerance is \S+; it must lie between 1e-12 and 0.01"):
        expand(EXPANSION, structures_of(tiny_cell()), species=(2,), tolerance=tolerance)


@pytest.mark.parametrize("method", ["auto", "mesh", "reciprocal_sum", "ewald_split"])
def test_vacuum_axes_of_length_zero(method):
    """As ASE writes them; any other length gives the same numbers."""
    atoms = triclinic_perovskite()
    atoms.pbc = (True, False, True)
    zero = atoms.copy()
    zero.cell[1] = 0
    species = species_of(atoms)
    found, expected = (
        stacked(expand(EXPANSION, structures_of(a), species=species, method=method, tolerance=1e-6))
        for a in (zero, atoms)
    )
    assert torch.equal(found, expected)


def test_a_degenerate_periodic_axis_is_refused():
    atoms = isolated_cluster()
    atoms.cell[0] = (3.0, 0, 0)
    atoms.cell[2] = (6.0, 0, 0)
    atoms.pbc = (True, False, True)
    with pytest.raises(ValueError, match=r"structure 0 is periodic along ac but .* span area 0; "):
        structures_of(atoms)


@pytest.mark.parametrize(
    ("smearing", "exponent", "said"),
    [
        (1e-3, 1.0, r"smearing is 0.001 Å; it must lie between 0.01 and 100 Å"),
        (500.0, 1.0, r"smearing is 500.0 Å; it must lie between 0.01 and 100 Å"),
        (1.0, 25.0, r"exponent is 25.0; it must lie between 0.0001 and 20"),
        (1.0, -1.0, r"exponent is -1.0; it must lie between 0.0001 and 20"),
        (float("nan"), 1.0, r"smearing is nan Å; it must lie"),
    ],
)
def test_absurd_fields_name_the_supported_range(smearing, exponent, said):
    with pytest.raises(ValueError, match=said):
        SmearedPotential(smearing, exponent)
