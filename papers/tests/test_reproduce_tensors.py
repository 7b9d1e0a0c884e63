"""Tensors of third-party data: splits, choices of centers, errors by irrep, and data that lack."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from multilode import Irrep, Target
from multilode.data import random_split
from multilode.symmetry import tensor_kind
from multilode_papers.makers.frames import Frame, dataset_of
from multilode_papers.systems import system, tensors
from multilode_papers.systems.study import Study
from multilode_papers.systems.tensor_models import WATER_SEED, families

STUDY = Study(quick=True, folder=None, seed=0, stage=lambda _: lambda _done, _all: None)
ALPHA = Target(key="alpha", unit="a.u.", tensor="symmetric")


def water(n=40):
    """Distorted molecules with a dipole of fixed charges and a polarizability of their bonds."""
    rng = np.random.default_rng(3)
    frames = []
    for _ in range(n):
        axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        flat = np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
        place = (flat + rng.normal(scale=0.04, size=(3, 3))) @ axes
        bonds = place[1:] - place[0]
        values = {"mu": 0.4 * bonds.sum(axis=0), "alpha": 1.2 * np.eye(3) + bonds.T @ bonds}
        flattened = {key: value.flatten() for key, value in values.items()}
        frames.append(Frame(species=np.array([8, 1, 1]), positions=place, values=flattened))
    return dataset_of(frames)


def test_data_that_lack_are_named_and_nothing_else_happens(monkeypatch):
    monkeypatch.delenv("MULTILODE_DATA", raising=False)
    outcome = system("tensors").run(STUDY)
    assert outcome.rows == outcome.data == ()
    names = [family.data for family in families(quick=True)]
    assert len(names) == 7
    assert [note.split()[0] for note in outcome.notes] == names
    assert all("is left out" in note for note in outcome.notes)


def test_splits_are_those_of_the_seeds():
    zundel = next(f for f in families(quick=False) if f.data == "water-zundel")
    numbered = water().with_values({"number": list(range(40))})
    ((train, test),) = zundel.splits(numbered)
    expected = random_split(40, 0.2, seed=WATER_SEED)
    for part, indices in zip((train, test), expected, strict=True):
        assert part.column("number").tolist() == indices.tolist()
    molecules = next(f for f in families(quick=False) if f.data == "qm7x-chno")
    assert len(molecules.splits(numbered)) == 8


@pytest.fixture(scope="module")
def learned():
    """The linear and kernel models of the short form, on molecules that are easy."""
    family = next(f for f in families(quick=True) if f.data == "water-zundel")
    dataset = water()
    split = dataset.select(range(30)), dataset.select(range(30, 40))
    found = {
        target.key: tensors._learn(STUDY, replace(family, sizes=(10,)), target, [split], (1, 8))
        for target in (Target(key="mu", unit="a.u.", tensor="vector"), ALPHA)
    }
    return split, found


def test_tensors_of_bonds_are_learned(learned):
    _, found = learned
    for one in found.values():
        whole = {row.model: row.rmse_percent for row in one.rows if row.subset.endswith("all")}
        assert len(whole) == 4
        assert max(whole.values()) < 20
        assert min(whole.values()) < 2


def test_a_vector_has_a_curve_that_ends_with_the_whole_set(learned):
    _, found = learned
    assert found["alpha"].series == {}
    for model, series in found["mu"].series.items():
        assert series.sizes == (10, 30)
        row = next(row for row in found["mu"].rows if row.model == model)
        assert series.errors[-1] == pytest.approx(row.rmse_percent)


def test_errors_of_components_add_up_to_that_of_the_tensor(learned):
    rows = {row.subset: row for row in learned[1]["alpha"].rows if row.model == "local, kernel"}
    parts = [rows[f"test, alpha, l = {degree}"].rmse ** 2 * (2 * degree + 1) for degree in (0, 2)]
    assert 9 * rows["test, alpha, all"].rmse ** 2 == pytest.approx(sum(parts))


def test_each_component_takes_the_centers_with_the_lower_error(learned):
    (train, test), _ = learned
    family = next(f for f in families(quick=True) if f.data == "water-zundel")
    (model,) = family.models["local, linear"]
    both = replace(model, centers=(8,)), replace(model, centers=(1, 8))
    alone = [tensors._predicted(ALPHA, (one,), (train, test), (1, 8)) for one in both]
    chosen = tensors._predicted(ALPHA, both, (train, test), (1, 8))
    kind = tensor_kind("symmetric")
    assert set(chosen.found) == set(kind.irreps) == {Irrep(0), Irrep(2)}
    for irrep, centers in chosen.centers.items():
        own = alone[both.index(next(m for m in both if m.centers == centers))]
        torch.testing.assert_close(chosen.found[irrep], own.found[irrep])
