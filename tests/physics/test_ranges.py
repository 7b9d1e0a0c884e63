"""Near and far field, 2021 Eq. 5."""

from dataclasses import replace

import ase
import pytest
import torch

from crystals import (
    isolated_cluster,
    relative_difference,
    species_of,
    stacked,
    structures_of,
    triclinic_perovskite,
    water_molecule,
)
from multilode.expansion import FieldExpansion, PairSum, ReciprocalSum, expand
from multilode.fields.cutoffs import ShiftedCosine, StepCutoff
from multilode.fields.field import GaussianDensity, SmearedPotential
from multilode.radial.bases import Monomials

BASIS = Monomials(2, 2.0)
DIVIDED = 3.0


def ranges(exponent=1.0, **more):
    whole = FieldExpansion(SmearedPotential(0.7, exponent), BASIS, 3, **more)
    near = replace(whole, range="near", near_radius=DIVIDED)
    return whole, near, replace(near, range="far")


def slab():
    atoms = triclinic_perovskite()
    atoms.pbc = (True, False, True)
    return atoms


def wire():
    atoms = triclinic_perovskite()
    atoms.pbc = (False, False, True)
    return atoms


STRUCTURES = {
    "isolated": isolated_cluster,
    "crystal": triclinic_perovskite,
    "slab": slab,
    "wire": wire,
}


@pytest.mark.parametrize("center_weight", [1.0, 0.3])
@pytest.mark.parametrize("exponent", [1.0, 6.0])
@pytest.mark.parametrize("name", STRUCTURES)
def test_near_and_far_make_all(name, exponent, center_weight):
    atoms = STRUCTURES[name]()
    structures, species = structures_of(atoms), species_of(atoms)
    whole, near, far = (
        expand(e, structures, species=species)
        for e in ranges(exponent, center_weight=center_weight)
    )
    for irrep, block in near.blocks.items():
        block += far.blocks[irrep]
    assert relative_difference(near, whole) < 1e-13
    assert stacked(far).abs().max() > 1e-4 * stacked(whole).abs().max()


def test_near_is_the_sum_under_a_cutoff():
    atoms = triclinic_perovskite()
    structures, species = structures_of(atoms), species_of(atoms)
    whole, near, _ = ranges(center_weight=0.4, cutoff_function=ShiftedCosine(0.8))
    cut = replace(whole, neighbor_cutoff=DIVIDED)
    expected = expand(cut, structures, species=species, method=PairSum(1e-10))
    for method in ("auto", PairSum(1e-10), ReciprocalSum(1e-10)):
        found = expand(near, structures, species=species, method=method, tolerance=1e-10)
        assert relative_difference(found, expected) < 1e-14


@pytest.mark.parametrize("method", ["auto", PairSum(1e-10)], ids=str)
def test_far_of_two_distant_atoms_is_everything_but_themselves(method):
    """The center's own field is near, whatever its weight."""
    atoms = ase.Atoms("HF", positions=[[0, 0, 0], [0, 0, DIVIDED + 0.01]])
    structures, species = structures_of(atoms), species_of(atoms)
    whole, near, far = ranges()
    others = expand(replace(whole, center_weight=0.0), structures, species=species, method=method)
    found = expand(far, structures, species=species, method=method)
    assert relative_difference(found, others) < 1e-13
    assert stacked(others).abs().max() > 0.1
    own = stacked(expand(near, structures, species=species, method=method))
    everything = stacked(expand(whole, structures, species=species, method=method))
    torch.testing.assert_close(own, everything - stacked(others), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_weight_of_the_center_is_that_of_the_near_field(name):
    atoms = STRUCTURES[name]()
    structures, species = structures_of(atoms), species_of(atoms)
    one, other = (ranges(center_weight=w) for w in (1.0, 0.2))
    near, far = (
        [stacked(expand(e[k], structures, species=species, tolerance=1e-8)) for e in (one, other)]
        for k in (1, 2)
    )
    torch.testing.assert_close(far[1], far[0], rtol=0, atol=1e-12 * float(near[0].abs().max()))
    assert (near[1] - near[0]).abs().max() > 0.1 * near[0].abs().max()


def test_far_against_the_atoms_beyond():
    """With a sharp border, far is the field of the other atoms: a cluster without its neighbors."""
    atoms = isolated_cluster()
    structures, species = structures_of(atoms), species_of(atoms)
    whole, _, far = ranges(cutoff_function=StepCutoff())
    found = expand(far, structures, species=species)
    for center in range(len(atoms)):
        distances = atoms.get_distances(center, range(len(atoms)))
        kept = [center, *[j for j in range(len(atoms)) if distances[j] >= DIVIDED]]
        rest = structures_of(atoms[kept])
        expected = expand(
            replace(whole, center_weight=0.0), rest, species=species, centers=torch.tensor([0])
        )
        for irrep, block in expected.blocks.items():
            scale = found.blocks[irrep].abs().max()
            difference = (found.blocks[irrep][center] - block[0]).abs().max()
            assert difference < 1e-12 * scale
    assert len(kept) > 1


@pytest.mark.parametrize("range_", ["near", "far"])
@pytest.mark.parametrize("periodic", [False, True])
def test_forces_are_continuous_at_the_border(periodic, range_):
    """The slope of the slope stays bounded as an atom crosses: steps shrink with the step length.

    With a sharp border the same forces jump, which shows that the test can see it.
    """
    atoms = water_molecule()
    atoms += ase.Atoms("F", positions=[[0.0, 0.0, 3.0]])
    if periodic:
        atoms.set_cell([7.0, 7.5, 8.0])
        atoms.pbc = True
    # fluorine crosses the border of the first atom
    direction = torch.tensor(atoms.positions[3] - atoms.positions[0])
    direction = direction / direction.norm()

    def slopes(function, step):
        structures, species = structures_of(atoms), species_of(atoms)
        expansion = ranges(cutoff_function=function)[1 if range_ == "near" else 2]
        found = []
        for n in range(-2, 3):
            distance = DIVIDED + (n + 0.5) * step
            positions = structures.positions.clone()
            positions[3] = positions[0] + distance * direction
            positions.requires_grad_()
            moved = replace(structures, positions=positions)
            values = stacked(expand(expansion, moved, species=species))[0]
            weights = torch.linspace(-1, 1, len(values), dtype=torch.float64)
            (force,) = torch.autograd.grad(values @ weights, positions)
            found.append(torch.cat([(values @ weights).detach()[None], force.flatten()]))
        return torch.stack(found).diff(dim=0).abs().amax(dim=1)

    coarse, fine = (slopes(ShiftedCosine(0.6), step).max() for step in (1e-3, 1e-4))
    assert fine < 0.15 * coarse
    jump = slopes(StepCutoff(), 1e-4)
    assert jump.max() > 50 * fine


@pytest.mark.parametrize("name", ["isolated", "crystal"])
def test_derivatives_of_the_far_field(name):
    atoms = STRUCTURES[name]()[:4]
    structures, species = structures_of(atoms), species_of(atoms)
    _, _, far = ranges(cutoff_function=ShiftedCosine(1.5))

    def function(positions):
        moved = replace(structures, positions=positions)
        values = stacked(expand(far, moved, species=species, centers=torch.tensor([0])))
        return (values * torch.linspace(-1, 1, values.shape[1], dtype=torch.float64)).sum()

    positions = structures.positions.clone().requires_grad_()
    assert torch.autograd.gradcheck(function, (positions,), eps=1e-5, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"range": "near"}, r"range is 'near' and near_radius is None; give the radius"),
        ({"range": "far", "near_radius": float("nan")}, "near_radius is nan; give the radius"),
        ({"range": "far", "near_radius": -1.0}, r"near_radius is -1\.0; give the radius"),
        ({"near_radius": 3.0}, "near_radius is 3.0 Å, but the range is 'all'"),
        ({"range": "near", "near_radius": 3.0, "neighbor_cutoff": 4.0}, "give one of them"),
    ],
)
def test_contradictions_are_named(more, said):
    with pytest.raises(ValueError, match=said):
        FieldExpansion(SmearedPotential(0.7, 1.0), BASIS, 3, **more)


def test_a_density_has_no_ranges():
    with pytest.raises(ValueError, match=r"near and far are for potentials, a density has its cut"):
        FieldExpansion(
            GaussianDensity(0.7), BASIS, 3, neighbor_cutoff=4.0, range="near", near_radius=DIVIDED
        )
