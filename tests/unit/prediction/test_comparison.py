"""Errors per atom, by size and by element, of forces and stresses: against their definitions."""

import math

import numpy as np
import pytest
import torch

from multilode.errors import UserError
from multilode.models.targets import Target
from multilode.prediction.comparison import compare, size_names
from multilode.prediction.predictor import Prediction
from multilode.structures.batch import Structures

COUNTS = (2, 5, 3, 2)
OPTIONS = {"model": "model", "split": "test", "target": Target(key="energy", unit="eV")}


def draw(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def structures(pbc=(True, True, True)):
    rng = np.random.default_rng(0)
    return Structures.from_arrays(
        [rng.normal(size=(n, 3)) for n in COUNTS],
        [np.array(([1, 8] * 3)[:n]) for n in COUNTS],
        [5 * np.eye(3) + rng.normal(size=(3, 3)) for _ in COUNTS],
        [np.array(pbc)] * len(COUNTS),
    )


def test_errors_per_atom_and_by_size():
    reference, values, base = draw(0, 4, 1), draw(1, 4), draw(2, 4)
    predicted = Prediction(values=values, baseline=Prediction(values=base))
    errors = compare(predicted, reference, structures=structures(), groups=list("aabb"), **OPTIONS)
    counts = np.array(COUNTS)
    wrong = (values - reference[:, 0]).numpy() / counts
    assert errors.per_atom.rmse == pytest.approx(math.sqrt(np.mean(wrong**2)))
    rest = (reference[:, 0] - base).numpy() / counts
    assert errors.per_atom.rmse_percent_of_rest == pytest.approx(
        100 * errors.per_atom.rmse / np.std(rest)
    )
    assert [(row.group, row.n) for row in errors.sizes] == [
        ("2 atoms", 2),
        ("3 atoms", 1),
        ("5 atoms", 1),
    ]
    assert errors.sizes[0].rmse == pytest.approx(math.sqrt(np.mean(wrong[[0, 3]] ** 2)))
    rows = errors.as_dicts()
    assert [(row["group"], row.get("component")) for row in rows[:4]] == [
        ("all", None),
        ("a", None),
        ("b", None),
        ("all", "per atom"),
    ]
    assert rows[0]["unit"] == "eV"
    assert (rows[3]["unit"], rows[3]["rmse"]) == ("meV/atom", 1000 * errors.per_atom.rmse)
    assert "per atom: RMSE" in repr(errors)
    mean = {**OPTIONS, "target": Target(key="gap", unit="eV", reduce="mean")}
    plain = compare(predicted, reference, structures=structures(), **mean)
    assert plain.per_atom is None
    assert plain.sizes[0].rmse == pytest.approx(math.sqrt(np.mean((wrong * counts)[[0, 3]] ** 2)))


def test_many_sizes_are_in_few_bins_of_equal_weight():
    counts = torch.arange(1, 101)
    names = size_names(counts)
    assert list(dict.fromkeys(names)) == [
        "1 to 25 atoms",
        "26 to 50 atoms",
        "51 to 75 atoms",
        "76 to 100 atoms",
    ]
    assert size_names(torch.tensor([7, 7, 7])) == ["7 atoms"] * 3
    mostly = size_names(torch.tensor([4] * 50 + [5, 6, 7, 8]))
    assert set(mostly) == {"4 to 8 atoms"}


def test_forces_by_element_and_relative_to_what_a_model_leaves():
    atoms = structures()
    reference, forces, base = draw(0, 12, 3), draw(1, 12, 3), 2 * draw(2, 12, 3)
    bars = draw(3, 12, 3).abs()
    part = Prediction(values=draw(4, 4), forces=base)
    predicted = Prediction(values=draw(4, 4), forces=forces, forces_std=bars, baseline=part)
    errors = compare(predicted, draw(5, 4, 1), structures=atoms, forces=reference, **OPTIONS)
    wrong, oxygen = (forces - reference).numpy(), atoms.species.numpy() == 8
    assert errors.forces.rmse == pytest.approx(math.sqrt(np.mean(wrong**2)))
    rest = (reference - base).numpy()
    deviation = math.sqrt(np.mean(np.var(rest, axis=0)))
    assert errors.forces.rmse_percent_of_rest == pytest.approx(100 * errors.forces.rmse / deviation)
    inside = 100 * np.mean(np.abs(wrong) <= bars.numpy())
    assert errors.forces.within_bars_percent == pytest.approx(inside)
    assert [(row.group, row.n) for row in errors.elements] == [("H", 7), ("O", 5)]
    assert errors.elements[1].rmse == pytest.approx(math.sqrt(np.mean(wrong[oxygen] ** 2)))
    found = [row for row in errors.as_dicts() if row.get("component") == "forces"]
    assert [row["group"] for row in found] == ["all", "H", "O"]
    assert {row["unit"] for row in found} == {"meV/Å"}
    assert found[0]["rmse"] == pytest.approx(1000 * errors.forces.rmse)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, True, False)])
def test_stresses_along_the_periods(pbc):
    atoms = structures(pbc)
    reference, found = draw(0, 4, 3, 3), draw(1, 4, 3, 3)
    reference, found = reference + reference.mT, found + found.mT
    wrong = []
    for cell, a, b in zip(atoms.cell.numpy(), reference.numpy(), found.numpy(), strict=True):
        axes = np.linalg.qr(cell[np.array(pbc)].T)[0]  # orthonormal, within the periods
        wrong.append(axes.T @ (b - a) @ axes)
    periods = atoms.cell * torch.tensor(pbc)[:, None]
    along = torch.linalg.pinv(periods) @ periods
    predicted = Prediction(values=draw(2, 4), stress=along @ found @ along)
    errors = compare(predicted, draw(3, 4, 1), structures=atoms, stress=reference, **OPTIONS)
    assert errors.stress.rmse == pytest.approx(math.sqrt(np.mean(np.square(wrong))))
    assert errors.stress.n == 4
    if all(pbc):
        mean_absolute = (found - reference).abs().mean()
        assert errors.stress.mae == pytest.approx(float(mean_absolute))
    assert errors.as_dicts()[-1]["unit"] == "meV/Å^3"


def test_what_was_not_predicted_is_not_compared():
    predicted = Prediction(values=draw(0, 4))
    with pytest.raises(UserError, match="no predicted stress"):
        compare(
            predicted, draw(1, 4, 1), structures=structures(), stress=draw(2, 4, 3, 3), **OPTIONS
        )
    with pytest.raises(UserError, match="no predicted forces"):
        compare(predicted, draw(1, 4, 1), forces=draw(2, 12, 3), **OPTIONS)
