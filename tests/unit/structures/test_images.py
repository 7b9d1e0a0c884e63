"""Batched search in small crystals: any periodicity, cell shape and size, against ASE."""

import ase
import numpy as np
import pytest
import torch
from ase.neighborlist import primitive_neighbor_list

from crystals import structures_of
from multilode.structures import neighbors
from multilode.structures.images import whole_cells
from multilode.structures.neighbors import pairs_within

CELLS = {
    "cubic": np.diag([5.0, 5.0, 5.0]),
    "skewed": np.array([[4.0, 0, 0], [3.5, 3.0, 0], [-2.5, 2.0, 5.0]]),
    "left-handed": np.array([[0.5, 4.0, 0.3], [4.2, 0.1, -0.4], [0, 1.0, 5.0]]),
    "tiny": np.array([[1.6, 0.1, 0], [0.2, 1.7, 0.3], [0, 0.4, 1.5]]),
}
PERIODICITIES = [
    (True, True, True),
    (True, True, False),
    (False, True, True),
    (True, False, True),
    (False, True, False),
    (False, False, True),
]
CUTOFF = 4.1


def scattered(cell, pbc, *, n_atoms=5, far=0.0, empty=False, seed=0) -> ase.Atoms:
    """Atoms up to `far` cells away along periodic axes; free cell vectors may be zero."""
    rng = np.random.default_rng(seed)
    fractions = rng.uniform(0, 1, (n_atoms, 3)) + np.round(
        far * rng.uniform(-1, 1, (n_atoms, 3)) * np.array(pbc)
    )
    atoms = ase.Atoms("C" * n_atoms, positions=fractions @ cell, cell=cell, pbc=pbc)
    if empty:
        atoms.cell[~atoms.pbc] = 0
    return atoms


def described(pairs):
    columns = [pairs.center[:, None], pairs.neighbor[:, None], pairs.shift]
    return sorted(map(tuple, torch.cat(columns, dim=1).tolist()))


def by_ase(atoms):
    i, j, shift = primitive_neighbor_list(
        "ijS", atoms.pbc, atoms.cell.complete()[:], atoms.positions, CUTOFF
    )
    return sorted(map(tuple, np.column_stack([i, j, shift]).tolist()))


@pytest.mark.parametrize("pbc", PERIODICITIES)
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("far", [0.0, 6.0])
def test_every_periodicity_against_ase(name, pbc, far):
    atoms = scattered(CELLS[name], pbc, far=far)
    found = described(pairs_within(structures_of(atoms), CUTOFF))
    assert found == by_ase(atoms)
    assert found


@pytest.mark.parametrize("pbc", PERIODICITIES[1:])
def test_free_cell_vectors_do_not_matter(pbc):
    given, empty = (scattered(CELLS["skewed"], pbc, empty=e) for e in (False, True))
    assert described(pairs_within(structures_of(given), CUTOFF)) == described(
        pairs_within(structures_of(empty), CUTOFF)
    )


@pytest.mark.parametrize("pbc", [*PERIODICITIES, (False, False, False)])
def test_free_axes_become_unit_vectors_normal_to_the_others(pbc):
    structures = structures_of(scattered(CELLS["skewed"], pbc))
    (cell,), periodic = whole_cells(structures), torch.tensor(pbc)
    torch.testing.assert_close(cell[periodic], structures.cell[0][periodic])
    products = cell[~periodic] @ cell.T
    expected = torch.eye(3, dtype=torch.float64)[~periodic]
    torch.testing.assert_close(products, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("limit", [0, 10**9], ids=["one by one", "compared"])
def test_both_searches_find_the_same(limit, monkeypatch):
    """Different sizes and periodicities in one batch, with an isolated and an empty structure."""
    batch = [
        scattered(CELLS[name], pbc, n_atoms=n, seed=n, empty=n == 4)
        for n, name, pbc in (
            (1, "tiny", PERIODICITIES[0]),
            (9, "cubic", PERIODICITIES[0]),
            (3, "skewed", PERIODICITIES[5]),
            (2, "left-handed", (False, False, False)),
            (4, "skewed", PERIODICITIES[2]),
            (0, "cubic", PERIODICITIES[0]),
            (40, "left-handed", PERIODICITIES[0]),
        )
    ]
    monkeypatch.setattr(neighbors, "_DENSE_LIMIT", limit)
    expected, start = [], 0
    for atoms in batch:
        expected += [(i + start, j + start, *s) for i, j, *s in by_ase(atoms)]
        start += len(atoms)
    assert described(pairs_within(structures_of(*batch), CUTOFF)) == sorted(expected)
    # the same in small parts
    monkeypatch.setattr("multilode.structures.images._COMPARISONS", 50)
    assert described(pairs_within(structures_of(*batch), CUTOFF)) == sorted(expected)


def test_a_large_slab_without_a_free_vector():
    cell = np.diag([30.0, 25.0, 20.0])
    atoms = scattered(cell, (True, True, False), n_atoms=700, empty=True)
    assert described(pairs_within(structures_of(atoms), CUTOFF)) == by_ase(atoms)
