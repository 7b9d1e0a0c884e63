import numpy as np
import pytest
import torch

from crystals import isolated_cluster, one_atom_crystal, rock_salt, structures_of, water_in_box
from multilode.structures.batch import Structures


def arrays(**changes):
    given = {
        "positions": torch.zeros(2, 3, dtype=torch.float64),
        "species": torch.tensor([1, 8]),
        "cell": torch.eye(3, dtype=torch.float64)[None],
        "pbc": torch.ones(1, 3, dtype=torch.bool),
        "structure_index": torch.zeros(2, dtype=torch.int64),
    }
    return {**given, **changes}


def test_sizes_of_a_batch():
    batch = structures_of(rock_salt(), isolated_cluster(), one_atom_crystal())
    assert (batch.n_structures, batch.n_atoms) == (3, 8 + 7 + 1)
    assert batch.counts.tolist() == [8, 7, 1]
    assert batch.volumes.tolist() == pytest.approx([5.64**3, 0, 3.61**3 / 4])
    assert batch.positions.dtype == torch.float64


def test_select_keeps_the_order_given_and_may_repeat():
    atoms = [rock_salt(), isolated_cluster(), one_atom_crystal(), water_in_box()]
    chosen = structures_of(*atoms).select([3, 1, 1, 0])
    expected = structures_of(*[atoms[k] for k in (3, 1, 1, 0)])
    for name in ("positions", "species", "cell", "pbc", "structure_index"):
        assert torch.equal(getattr(chosen, name), getattr(expected, name)), name
    assert structures_of(*atoms).select([]).n_structures == 0


def test_empty_structures_in_a_batch():
    empty, full = (np.zeros((0, 3)), np.ones((2, 3)) * [[1], [2]])
    batch = Structures.from_arrays(
        [empty, full, empty],
        [np.zeros(0, int), np.array([1, 8]), np.zeros(0, int)],
        [np.zeros((3, 3))] * 3,
        [np.zeros(3, bool)] * 3,
    )
    assert batch.counts.tolist() == [0, 2, 0]
    assert batch.select([2, 1]).counts.tolist() == [0, 2]


def test_conversion_keeps_what_it_should():
    single = structures_of(rock_salt()).to(dtype=torch.float32)
    assert single.positions.dtype == single.cell.dtype == torch.float32
    assert single.species.dtype == torch.int64
    assert single.to(device="cpu").positions.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"structure_index": torch.tensor([1, 0])}, "must ascend"),
        ({"structure_index": torch.tensor([0, 1])}, "between 0 and"),
        ({"positions": torch.tensor([[0, 0, 0], [1, np.nan, 0]]).double()}, "atom 1 .*not finite"),
        ({"positions": torch.tensor([[np.inf, 0, 0], [1, 0, 0]]).double()}, "atom 0 .*not finite"),
        ({"cell": torch.zeros(1, 3, 3).double()}, "structure 0 is periodic along abc .* volume 0"),
        ({"cell": torch.full((1, 3, 3), np.nan).double()}, "volume 0"),
        ({"cell": torch.ones(1, 3, 3).double()}, "volume 0"),
        ({"cell": torch.eye(3)[None]}, "positions are torch.float64 but the cell is torch.float32"),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        Structures(**arrays(**changes))


@pytest.mark.parametrize(
    ("rows", "pbc", "message"),
    [
        ([[5, 0, 0], [0, 0, 0], [0, 0, 0]], (1, 1, 0), "along ab but .* span area 0"),
        ([[5, 1, 0], [0, 0, 0], [5, 1, 1e-12]], (1, 0, 1), "along ac but .* span area 0"),
        ([[0, 0, 0], [0, 4, 0], [0, 0, 7]], (1, 0, 0), "along a but .* span length 0"),
        ([[0, 0, 1], [0, 4, 0], [0, 0, np.nan]], (0, 0, 1), "along c but .* span length 0"),
        ([[0, 0, 1], [0, np.nan, 0], [0, 0, 0]], (1, 1, 0), "along ab but .* span area 0"),
    ],
)
def test_degenerate_periods_are_named(rows, pbc, message):
    with pytest.raises(ValueError, match=message):
        Structures(**arrays(cell=torch.tensor([rows]).double(), pbc=torch.tensor([pbc]) > 0))


@pytest.mark.parametrize("free", [0.0, 1e-9, np.nan, 300.0])
def test_vectors_along_free_axes_do_not_matter(free):
    cell = torch.diag(torch.tensor([4.0, free, 5.0], dtype=torch.float64))[None]
    for pbc in ((1, 0, 1), (1, 0, 0), (0, 0, 0)):
        Structures(**arrays(cell=cell, pbc=torch.tensor([pbc]) > 0))


def test_left_handed_cells_are_cells():
    left = torch.eye(3, dtype=torch.float64)[[1, 0, 2]][None]
    assert float(Structures(**arrays(cell=left)).volumes[0]) == 1


def test_arrays_of_different_count_are_refused():
    with pytest.raises(ValueError, match="got 1, 2, 1 and 1"):
        Structures.from_arrays(
            [np.zeros((1, 3))], [np.array([1])] * 2, [np.eye(3)], [np.ones(3, bool)]
        )


def test_gradients_flow_through_selection():
    batch = structures_of(rock_salt(), water_in_box())
    positions = batch.positions.clone().requires_grad_()
    moved = Structures(**{**vars(batch), "positions": positions}).select([1])
    (gradient,) = torch.autograd.grad(moved.positions.sum(), positions)
    assert gradient.sum(dim=1).tolist() == [0.0] * 8 + [3.0] * 3


def same(left, right):
    names = ("positions", "species", "cell", "pbc", "structure_index")
    return all(torch.equal(getattr(left, name), getattr(right, name)) for name in names)


def test_indices_choose_structures_as_select_does():
    batch = structures_of(rock_salt(), isolated_cluster(), one_atom_crystal())
    assert len(batch) == 3
    assert same(batch[-1], batch.select([2]))
    assert same(batch[::2], batch.select([0, 2]))
    assert same(batch[np.array([1, 0])], batch.select([1, 0]))
    assert same(batch[[False, True, True]], batch.select([1, 2]))
    assert [part.n_atoms for part in batch] == [8, 7, 1]
    assert len(batch[:0]) == 0


@pytest.mark.parametrize(
    ("which", "error", "match"),
    [
        (3, IndexError, "no structure 3: there are 3, counted from 0"),
        (-4, IndexError, "no structure -4"),
        ([True, False], IndexError, "mask of shape"),
        (np.array([1.5]), TypeError, "whole numbers"),
    ],
)
def test_indices_of_no_structure_are_refused(which, error, match):
    batch = structures_of(rock_salt(), isolated_cluster(), one_atom_crystal())
    with pytest.raises(error, match=match):
        batch[which]


def test_a_batch_is_described_on_three_lines():
    batch = structures_of(rock_salt(), one_atom_crystal(), rock_salt())
    assert repr(batch).splitlines() == [
        "Structures(3 structures, 17 atoms, 1 to 8 each",
        "  species: Na 8, Cl 8, Cu 1",
        "  periodicity: 3 periodic in 3D)",
    ]
    assert "1 structure, 7 atoms" in repr(structures_of(isolated_cluster()))
    assert "1 isolated" in repr(structures_of(isolated_cluster()))
