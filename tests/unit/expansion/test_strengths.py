"""Fields of atoms with strengths: every method, every periodicity, and what follows from them."""

from dataclasses import replace

import pytest
import torch

from crystals import isolated_cluster, structures_of, triclinic_perovskite
from multilode.errors import StructureError
from multilode.expansion import (
    EwaldSplit,
    FieldExpansion,
    Mesh,
    PairSum,
    ReciprocalSum,
    expand,
)
from multilode.expansion.auto import workload_of
from multilode.expansion.problem import Problem
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.radial import Monomials

BASIS = Monomials(2, 1.5)
COULOMB = FieldExpansion(SmearedPotential(0.8, 1.0), BASIS, 2)
DENSITY = FieldExpansion(GaussianDensity(0.5), BASIS, 2, 4.0, center_weight=0.3)
EXPANSIONS = {
    "density": DENSITY,
    "potential": COULOMB,
    "dispersion": replace(COULOMB, field=SmearedPotential(0.8, 6.0)),
    "near": replace(COULOMB, range="near", near_radius=3.0),
    "far": replace(COULOMB, range="far", near_radius=3.0),
}
PERIODICITIES = {"3D": (1, 1, 1), "2D": (1, 1, 0), "1D": (0, 1, 0), "0D": (0, 0, 0)}
METHODS = (
    ReciprocalSum(1e-10),
    Mesh(1e-9),
    EwaldSplit(1e-9),
    EwaldSplit(1e-10, long_range=ReciprocalSum),
    PairSum(1e-10),
)


def some_slow(names, *slow):
    return [pytest.param(n, marks=pytest.mark.slow) if n in slow else n for n in names]


def crystal(periodicity: str):
    atoms = triclinic_perovskite()
    atoms.pbc = PERIODICITIES[periodicity]
    return structures_of(atoms)


def random_strengths(structures, n_channels=3):
    generator = torch.Generator().manual_seed(5)
    return torch.randn((structures.n_atoms, n_channels), generator=generator, dtype=torch.float64)


def assert_close(found, expected, tolerance=1e-12):
    scale = max(float(block.abs().max()) for block in expected)
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=tolerance * scale)


def blocks_of(*args, **given):
    return list(expand(*args, **given).blocks.values())


def methods_for(periodicity):
    return [m for m in METHODS if periodicity == "0D" or not isinstance(m, PairSum)]


@pytest.mark.parametrize("periodicity", some_slow(PERIODICITIES, "3D", "1D"))
@pytest.mark.parametrize("kind", some_slow(EXPANSIONS, "dispersion", "near", "far"))
def test_strengths_of_species_are_species_and_fields_are_linear(kind, periodicity):
    structures = crystal(periodicity)
    strengths = random_strengths(structures)
    one_hot = (structures.species[:, None] == structures.species.unique()).double()
    identity = torch.eye(structures.n_atoms, dtype=torch.float64)
    methods = ["auto"] if kind == "density" else ["auto", *methods_for(periodicity)]
    found = {}
    for method in methods:
        given = {"method": method}
        species = blocks_of(EXPANSIONS[kind], structures, species=(8, 22, 38), **given)
        assert_close(blocks_of(EXPANSIONS[kind], structures, strengths=one_hot, **given), species)
        single = blocks_of(EXPANSIONS[kind], structures, strengths=identity, **given)
        single = [block.unflatten(2, (structures.n_atoms, -1)) for block in single]
        summed = [torch.einsum("imjn,ja->iman", b, strengths).flatten(2) for b in single]
        found[method] = blocks_of(EXPANSIONS[kind], structures, strengths=strengths, **given)
        assert_close(found[method], summed)
    for blocks in found.values():  # and all methods agree
        assert_close(blocks, found[methods[-1]], 1e-7)


@pytest.mark.parametrize("periodicity", some_slow(PERIODICITIES, "2D", "1D"))
def test_derivatives_of_both_orders_in_strengths_positions_and_cells(periodicity):
    structures = crystal(periodicity)
    generator = torch.Generator().manual_seed(7)
    start = (structures.positions, structures.cell, random_strengths(structures, 2))
    along = [torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in start]

    def slopes(method, step, *, again=False):
        x, cell, q = ((v + step * d).requires_grad_() for v, d in zip(start, along, strict=True))
        moved = replace(structures, positions=x, cell=cell)
        blocks = blocks_of(COULOMB, moved, strengths=q, method=method)
        value = sum(block.square().sum() for block in blocks)
        for _ in range(1 + again):
            before = value
            given = torch.autograd.grad(
                value, (x, cell, q), create_graph=again, materialize_grads=True, allow_unused=True
            )
            value = sum((g * d).sum() for g, d in zip(given, along, strict=True))
        return before.detach(), value.detach()

    for method in methods_for(periodicity):
        near = [slopes(method, n * 1e-3) for n in (-2, -1, 1, 2)]
        size = max(abs(value) for pair in near for value in pair)
        for order, exact in enumerate(slopes(method, 0.0, again=True)):
            low, lower, higher, high = (pair[order] for pair in near)
            numerical = (low - 8 * lower + 8 * higher - high) / 12e-3
            torch.testing.assert_close(exact, numerical, rtol=1e-6, atol=1e-7 * float(size))


def test_many_channels_and_blocks_change_nothing(monkeypatch):
    structures = structures_of(isolated_cluster(), triclinic_perovskite(), isolated_cluster())
    strengths = random_strengths(structures, 7)
    expected = blocks_of(DENSITY, structures, strengths=strengths)
    monkeypatch.setattr("multilode.expansion.pairs.pair_sum._BLOCK_PAIRS", 9)
    assert_close(blocks_of(DENSITY, structures, strengths=strengths), expected)


def test_structures_of_a_batch_keep_their_strengths():
    """Each by its own method: a crystal between molecules; some of the centers."""
    parts = [isolated_cluster(), triclinic_perovskite(), isolated_cluster()]
    structures = structures_of(*parts)
    strengths = random_strengths(structures)
    centers = torch.arange(1, structures.n_atoms, 2)
    found = blocks_of(COULOMB, structures, strengths=strengths, centers=centers)
    alone = [
        blocks_of(COULOMB, structures_of(atoms), strengths=q)
        for atoms, q in zip(parts, strengths.split([len(p) for p in parts]), strict=True)
    ]
    whole = [torch.cat(blocks)[centers] for blocks in zip(*alone, strict=True)]
    assert_close(found, whole, 1e-7)


def test_columns_name_the_channel():
    structures = crystal("0D")
    found = expand(DENSITY, structures, strengths=random_strengths(structures, 2))
    for labels in found.labels.values():
        assert labels.names == ("channel", "n")
        assert labels.values.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_no_centers_have_no_coefficients():
    structures = crystal("0D")
    given = {"strengths": random_strengths(structures), "centers": torch.arange(0)}
    assert [b.shape for b in blocks_of(COULOMB, structures, **given)] == [
        (0, 2 * l + 1, 6) for l in range(3)
    ]


def test_pairs_with_strengths_cost_more_the_more_channels():
    structures = crystal("0D")
    work = {}
    for n in (1, 8):
        problem = Problem.checked(COULOMB, structures, random_strengths(structures, n), None, 1e-8)
        workload = workload_of(problem, 0, slice(0, structures.n_atoms))
        work[n] = PairSum().estimate(workload).nanoseconds - workload.costs.start
    assert 1 < work[8] / work[1] <= 8


WRONG = {
    "one row for each of the 5 atoms": torch.ones(4, 2).double(),
    "at least one column": torch.ones(5, 0).double(),
    "convert them with strengths.to": torch.ones(5, 2),
}


@pytest.mark.parametrize("said", WRONG)
def test_strengths_that_fit_no_atoms_are_refused(said):
    with pytest.raises(ValueError, match=said):
        expand(COULOMB, crystal("0D"), strengths=WRONG[said])


def test_exactly_one_kind_of_sources_is_given():
    structures = crystal("0D")
    with pytest.raises(ValueError, match="neither of species and strengths"):
        expand(COULOMB, structures)
    with pytest.raises(ValueError, match="both of species and strengths"):
        expand(COULOMB, structures, species=(8, 22, 38), strengths=random_strengths(structures))


def test_a_strength_that_is_no_number_is_named_with_its_structure():
    structures = structures_of(isolated_cluster(), triclinic_perovskite())
    strengths = random_strengths(structures)
    strengths[-1, 0] = torch.nan
    with pytest.raises(StructureError, match="structure 1: the strength of its atom 4"):
        expand(COULOMB, structures, strengths=strengths)
