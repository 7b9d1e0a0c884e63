"""Which method is chosen where one of them is clearly the right one."""

import json
from dataclasses import replace

import ase
import numpy as np
import pytest
import torch

from crystals import (
    isolated_cluster,
    one_atom_crystal,
    relative_difference,
    species_of,
    structures_of,
    tiny_cell,
    triclinic_perovskite,
    water_box,
    water_in_box,
    water_molecule,
)
from multilode.errors import StructureError
from multilode.expansion import (
    COSTS,
    DERIVATIVE_COSTS,
    METHODS,
    EwaldSplit,
    FieldExpansion,
    Mesh,
    PairSum,
    Problem,
    ReciprocalSum,
    costs_path,
    expand,
)
from multilode.expansion import auto as auto_module
from multilode.expansion.auto import choose_all
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import ShiftedCosine
from multilode.radial import GaussianTypeOrbitals, Monomials

BASIS = GaussianTypeOrbitals(6, 3.0)
WIDE = FieldExpansion(SmearedPotential(1.0, 1.0), BASIS, 4)
SHARP = FieldExpansion(SmearedPotential(0.3, 1.0), BASIS, 4)


def kinds(expansion, tolerance, *atoms):
    return [type(m) for m in choose_all(problem(expansion, tolerance, *atoms))]


def problem(expansion, tolerance, *atoms):
    return Problem.checked(expansion, structures_of(*atoms), species_of(*atoms), None, tolerance)


def gas(count, edge, seed=0):
    positions = np.random.default_rng(seed).uniform(0, edge, (count, 3))
    return ase.Atoms(["H", "O"] * (count // 2), positions=positions, cell=[edge] * 3, pbc=True)


def test_small_crystals_are_summed_over_waves():
    assert kinds(WIDE, 1e-8, one_atom_crystal(), tiny_cell()) == [ReciprocalSum] * 2
    assert kinds(WIDE, 1e-4, triclinic_perovskite()) == [ReciprocalSum]


@pytest.mark.parametrize("tolerance", [1e-4, 1e-8])
def test_molecules_are_summed_over_pairs(tolerance):
    assert kinds(WIDE, tolerance, isolated_cluster()) == [PairSum]


def test_large_liquids_take_a_mesh():
    liquid = water_box() * (4, 4, 4)
    assert kinds(WIDE, 1e-4, liquid) == [Mesh]
    assert kinds(WIDE, 1e-6, liquid) == [Mesh]


def test_a_sharp_field_in_a_large_dilute_cell_is_split():
    chosen = kinds(SHARP, 1e-6, gas(60, 60.0), gas(400, 80.0))
    assert chosen == [EwaldSplit] * 2


def test_a_cutoff_means_neighbors():
    expansion = FieldExpansion(GaussianDensity(0.4), BASIS, 4, 4.0, ShiftedCosine(0.5))
    assert kinds(expansion, 1e-6, water_box() * (4, 4, 4), isolated_cluster()) == [PairSum] * 2


def test_under_a_cutoff_a_batch_is_one_sum():
    """To the last digit: `auto` divides no batch whose structures have neighbors only."""
    expansion = FieldExpansion(GaussianDensity(0.4), BASIS, 4, 4.0, ShiftedCosine(0.5))
    atoms = [water_box(), isolated_cluster(), triclinic_perovskite()]
    given = {"species": species_of(*atoms), "tolerance": 1e-6}
    batch = structures_of(*atoms)
    found, pairs = (expand(expansion, batch, method=m, **given) for m in ("auto", PairSum()))
    for irrep, block in pairs.blocks.items():
        torch.testing.assert_close(found.blocks[irrep], block, rtol=0, atol=0)


def test_a_large_molecule_is_not_a_sum_over_all_pairs():
    cloud = gas(6000, 40.0)
    cloud.pbc = False
    assert kinds(WIDE, 1e-4, cloud) != [PairSum]


def test_where_no_mesh_reaches_the_tolerance_waves_do():
    expansion = FieldExpansion(SmearedPotential(1.0, 1.0), GaussianTypeOrbitals(1, 3.0), 14)
    assert kinds(expansion, 1e-12, water_in_box()) == [ReciprocalSum]


def test_the_choice_is_the_cheapest_of_the_model():
    """With costs that are set by hand the choice follows them."""
    liquid = problem(WIDE, 1e-6, water_box())
    dear = replace(COSTS, node=1e9, touched=1e9, pair=1e9)
    cheap = replace(COSTS, phase=1e9, product=1e9, pair=1e9)
    for costs, expected in ((dear, ReciprocalSum), (cheap, Mesh)):
        (chosen,) = choose_all(liquid, costs)
        assert type(chosen) is expected


def test_measured_costs_are_read_from_their_file():
    written = json.loads(costs_path().read_text(encoding="utf-8"))
    assert written == {"values": vars(COSTS), "derivatives": vars(DERIVATIVE_COSTS)}


def test_where_derivatives_are_wanted_their_costs_decide():
    """A mesh of 768 atoms at 1e-8 is faster than waves with a backward pass: both measured."""
    liquid = problem(WIDE, 1e-8, water_box() * (2, 2, 2))
    moving = replace(
        liquid.structures, positions=liquid.structures.positions.clone().requires_grad_()
    )
    with_derivatives = replace(liquid, structures=moving)
    assert choose_all(with_derivatives) == choose_all(liquid, DERIVATIVE_COSTS) == [Mesh()]
    with torch.no_grad():
        assert choose_all(with_derivatives) == choose_all(liquid)


def test_only_structures_that_are_alike_share_a_choice(monkeypatch):
    """Equal volumes are not enough; turned or slightly strained cells are alike."""
    looked_at = []

    def choose(workload):
        looked_at.append(float(workload.box.cell.norm()))
        return Mesh()

    monkeypatch.setattr(auto_module, "choose", choose)
    cube, needle, turned, strained = (gas(60, 20.2) for _ in range(4))
    needle.set_cell([4, 5, 20.2**3 / 20])
    turned.rotate(30, (1, 2, 3), rotate_cell=True)
    strained.set_cell(1.001 * strained.cell[:])
    assert kinds(WIDE, 1e-4, cube, needle, turned, strained, needle) == [Mesh] * 5
    norms = [np.linalg.norm(a.cell[:]) for a in (cube, needle)]
    np.testing.assert_allclose(looked_at, norms, rtol=1e-12)


def test_a_batch_of_all_kinds_is_as_one_by_one():
    slab = water_in_box()
    slab.pbc = (True, True, False)
    atoms = [water_box(), isolated_cluster(), tiny_cell(), slab, one_atom_crystal(), water_box()]
    species, batch = species_of(*atoms), structures_of(*atoms)
    assert len(set(kinds(WIDE, 1e-8, *atoms))) > 1
    together = expand(WIDE, batch, species=species)
    start = 0
    for single in atoms:
        alone = expand(WIDE, structures_of(single), species=species)
        part = slice(start, start + len(single))
        for irrep, block in alone.blocks.items():
            difference = (together.blocks[irrep][part] - block).abs().max()
            assert difference < 1e-11 * alone.blocks[(0, 1)].abs().max()
        start += len(single)


@pytest.mark.parametrize("chosen", [[0, 5, 100, 110], [97], []])
def test_centers_of_a_batch(chosen):
    atoms = [water_box(), isolated_cluster(), tiny_cell()]
    species, batch = species_of(*atoms), structures_of(*atoms)
    centers = torch.tensor([c for c in chosen if c < batch.n_atoms], dtype=torch.int64)
    everything = expand(WIDE, batch, species=species)
    some = expand(WIDE, batch, species=species, centers=centers)
    for irrep, block in some.blocks.items():
        torch.testing.assert_close(block, everything.blocks[irrep][centers], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["pair_sum", "reciprocal_sum", "ewald_split", "mesh"])
def test_a_method_by_its_name(name):
    structures, species = structures_of(isolated_cluster()), species_of(isolated_cluster())
    found = expand(WIDE, structures, species=species, method=name, tolerance=1e-8)
    exact = expand(WIDE, structures, species=species, method=PairSum(1e-12))
    assert relative_difference(found, exact) < 1e-7


def test_the_structure_at_fault_is_counted_in_the_whole_batch():
    """It is another number in the part of the batch that a method does."""
    huge, collided = water_in_box((40_000.0,) * 3), water_molecule()
    collided.positions[2] = collided.positions[0]
    ordinary = [water_box(), water_molecule(), tiny_cell(), water_molecule()]
    with pytest.raises(StructureError, match="structure 4: a mesh of") as found:
        expand(WIDE, structures_of(*ordinary, huge, water_box()), species=(1, 2, 8))
    assert found.value.structure == 4
    with pytest.raises(StructureError, match="structure 4: its atoms 0 and 2 are in the same"):
        expand(WIDE, structures_of(*ordinary, collided, water_box()), species=(1, 2, 8))


@pytest.mark.parametrize("chosen", [[2, 1], [0, 2, 1], [1, 1], [-1, 0], [0, 3], [3]])
@pytest.mark.parametrize("method", ["auto", "pair_sum", "mesh"])
def test_centers_that_do_not_ascend_or_are_no_atoms(method, chosen):
    structures, centers = structures_of(water_molecule()), torch.tensor(chosen)
    with pytest.raises(ValueError, match="atoms of the batch, 0 to 2, ascending and without rep"):
        expand(WIDE, structures, species=(1, 8), centers=centers, method=method)


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("range_", [{}, {"range": "far", "near_radius": 3.0}])
def test_empty_batches(method, range_):
    """No structures, none with atoms, or none with centers: blocks of the right shapes."""
    expansion = FieldExpansion(SmearedPotential(1.0, 1.0), Monomials(2, 3.0), 2, **range_)
    nothing, chosen = ase.Atoms(), torch.zeros(0, dtype=torch.int64)
    for atoms, centers in [([], None), ([nothing, nothing], None), ([water_molecule()], chosen)]:
        given = {"species": (1, 8), "centers": centers, "method": method, "tolerance": 1e-4}
        found = expand(expansion, structures_of(*atoms), **given)
        assert [b.shape for b in found.blocks.values()] == [(0, 1, 4), (0, 3, 4), (0, 5, 4)]
        assert {len(labels) for labels in found.labels.values()} == {4}


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_structures_without_atoms_among_others(method):
    given = {"species": (1, 8), "method": method, "tolerance": 1e-4}
    batch = [ase.Atoms(), water_molecule(), ase.Atoms(), water_molecule(), ase.Atoms()]
    found = expand(WIDE, structures_of(*batch), **given)
    alone = expand(WIDE, structures_of(water_molecule(), water_molecule()), **given)
    for irrep, block in alone.blocks.items():
        torch.testing.assert_close(found.blocks[irrep], block, rtol=0, atol=1e-10)


def test_unknown_names_list_the_known_ones():
    said = r"method is 'pme'; choose among auto, pair_sum, reciprocal_sum, ewald_split, mesh"
    with pytest.raises(ValueError, match=said):
        expand(WIDE, structures_of(tiny_cell()), species=(2,), method="pme")
