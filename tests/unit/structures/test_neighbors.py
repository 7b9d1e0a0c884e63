"""Neighbor lists against a brute-force search over many images."""

import ase
import numpy as np
import pytest
import torch
from ase.neighborlist import primitive_neighbor_list

from crystals import (
    DIVERSE,
    isolated_cluster,
    one_atom_crystal,
    rock_salt,
    structures_of,
    tiny_cell,
    triclinic_perovskite,
    water_molecule,
)
from multilode.structures.neighbors import all_pairs, pairs_within


def long_chain() -> ase.Atoms:
    """More isolated atoms than are compared one by one."""
    rng = np.random.default_rng(0)
    return ase.Atoms("C400", positions=rng.uniform(0, 14, (400, 3)))


def periodic_sheet() -> ase.Atoms:
    atoms = triclinic_perovskite()
    atoms.pbc = (True, True, False)
    return atoms


def described(pairs):
    columns = [pairs.center[:, None], pairs.neighbor[:, None], pairs.shift]
    return sorted(map(tuple, torch.cat(columns, dim=1).tolist()))


def brute_force(atoms, cutoff):
    """All images that can reach, one by one."""
    found = []
    cell = atoms.cell[:]
    reach = [0, 0, 0]
    if atoms.pbc.any():
        heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
        spread = np.ptp(atoms.positions @ np.linalg.inv(cell), axis=0)
        reach = [
            int(np.ceil(cutoff / h + s)) if p else 0
            for h, s, p in zip(heights, spread, atoms.pbc, strict=True)
        ]
    for shift in np.ndindex(*[2 * n + 1 for n in reach]):
        steps = np.array(shift) - reach
        apart = atoms.positions[None] + steps @ cell - atoms.positions[:, None]
        near = np.linalg.norm(apart, axis=-1) < cutoff
        if not steps.any():
            np.fill_diagonal(near, False)
        found += [
            (int(i), int(j), *map(int, steps)) for i, j in zip(*np.nonzero(near), strict=True)
        ]
    return sorted(found)


CASES = {**DIVERSE, "cluster": isolated_cluster, "sheet": periodic_sheet}


@pytest.mark.parametrize("cutoff", [0.5, 2.9, 5.3])
@pytest.mark.parametrize("name", CASES)
def test_against_brute_force(name, cutoff):
    atoms = CASES[name]()
    assert described(pairs_within(structures_of(atoms), cutoff)) == brute_force(atoms, cutoff)


@pytest.mark.parametrize("make", [rock_salt, tiny_cell, long_chain, triclinic_perovskite])
def test_against_ase(make):
    atoms = make()
    i, j, shift = primitive_neighbor_list("ijS", atoms.pbc, atoms.cell[:], atoms.positions, 3.3)
    expected = sorted(map(tuple, np.column_stack([i, j, shift]).tolist()))
    assert described(pairs_within(structures_of(atoms), 3.3)) == expected


def test_a_batch_is_its_structures_side_by_side():
    batch = [water_molecule(), rock_salt(), isolated_cluster(), one_atom_crystal(), long_chain()]
    pairs, expected, start = described(pairs_within(structures_of(*batch), 3.0)), [], 0
    for atoms in batch:
        alone = described(pairs_within(structures_of(atoms), 3.0))
        expected += [(i + start, j + start, *shift) for i, j, *shift in alone]
        start += len(atoms)
    assert pairs == sorted(expected)


def test_vectors_point_from_the_center_to_the_neighbor():
    structures = structures_of(rock_salt(), triclinic_perovskite())
    pairs = pairs_within(structures, 4.0)
    vectors = pairs.vectors(structures)
    cell = structures.cell[structures.structure_index[pairs.center]]
    shift = (pairs.shift[:, :, None] * cell).sum(dim=1)
    expected = structures.positions[pairs.neighbor] + shift - structures.positions[pairs.center]
    torch.testing.assert_close(vectors, expected)
    lengths = vectors.norm(dim=1)
    assert 3.9 < float(lengths.max()) < 4.0
    assert float(lengths.min()) > 0.5


def test_every_pair_appears_from_both_ends():
    pairs = described(pairs_within(structures_of(triclinic_perovskite()), 4.0))
    assert pairs == sorted((j, i, -a, -b, -c) for i, j, a, b, c in pairs)


def test_all_pairs():
    batch = structures_of(water_molecule(), isolated_cluster(), water_molecule()[:1])
    pairs = all_pairs(batch)
    assert len(pairs.center) == 3 * 2 + 7 * 6
    same = batch.structure_index[pairs.center] == batch.structure_index[pairs.neighbor]
    assert bool(same.all())
    assert bool((pairs.center != pairs.neighbor).all())
    assert not bool(pairs.shift.any())
    assert described(pairs) == described(pairs_within(batch, 50.0))


def test_nothing_within_reach():
    structures = structures_of(water_molecule()[:1])
    for pairs in (pairs_within(structures, 3.0), all_pairs(structures)):
        assert pairs.vectors(structures).shape == (0, 3)
