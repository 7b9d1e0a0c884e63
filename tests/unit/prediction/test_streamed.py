"""Fits that store no rows: against stored rows, in blocks of any size, stopped and continued."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from crystals import random_structures
from multilode.errors import UserError
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import (
    KernelRidge,
    Problem,
    Ridge,
    SparseKernelModel,
    SparseKernelRidge,
    polynomial_kernels,
)
from multilode.models.targets import Forces, Stress, Target
from multilode.numerics.limits import limits
from multilode.prediction.baseline import NoBaseline
from multilode.prediction.streamed import choice, plan, state
from multilode.prediction.streamed.rows import StreamedRows
from multilode.prediction.training import train
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.representation import Representation

BASIS = GaussianTypeOrbitals(n_radial=2, radius=3.0)
RECIPE = Representation(
    fields={
        "rho": FieldExpansion(GaussianDensity(0.5), BASIS, 1, neighbor_cutoff=3.0),
        "V": FieldExpansion(SmearedPotential(smearing=0.8, exponent=1.0), BASIS, 1),
    },
    products=(("rho", "rho"), ("rho", "V"), ("V",)),
    species=(1, 8),
    centers=(1, 8),
)
ENERGY = Target(key="energy", unit="eV")
GIVEN = {"regularization": 1e-5, "term_weights": (1.0, 0.3, 0.1)}


def references(structures):
    """Energies of a function of distances, and its forces."""
    positions = structures.positions.clone().requires_grad_()
    index = structures.structure_index
    far = torch.cdist(positions, positions) + 1e3 * (index[:, None] != index)
    far = far + 1e3 * torch.eye(len(far))
    kinds = structures.species.double()
    pairs = kinds[:, None] * kinds * torch.exp(-far)
    energies = torch.zeros(structures.n_structures).double()
    energies = energies.index_add(0, index, pairs.sum(dim=1))
    (slopes,) = torch.autograd.grad(energies.sum(), positions)
    return energies.detach(), -slopes


DATA = random_structures(RECIPE.species, 14)
ENERGIES, FORCES = references(DATA)


def learned(estimator, *, dense=False, monkeypatch=None, **options):
    if monkeypatch is not None:
        monkeypatch.setattr(choice, "DENSE_ROWS", 1e9 if dense else 0)
    return train(
        RECIPE,
        DATA,
        ENERGY,
        y=ENERGIES,
        forces=Forces(values=FORCES),
        baseline=NoBaseline(),
        estimator=estimator,
        **options,
    )


def difference(first, second):
    """Of energies and forces, relative to the largest."""
    one, other = (model.predict(DATA, forces=True) for model in (first, second))
    values = (one.values - other.values).abs().max() / one.values.abs().max()
    return max(float(values), float((one.forces - other.forces).abs().max() / FORCES.abs().max()))


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 15.0)])
def test_fit_is_that_of_stored_rows(weights, monkeypatch):
    stored = learned(Ridge(**GIVEN), dense=True, monkeypatch=monkeypatch, weights=weights)
    streamed = learned(Ridge(**GIVEN), monkeypatch=monkeypatch, weights=weights)
    assert difference(stored, streamed) < 1e-8
    assert streamed.model.scales == pytest.approx(stored.model.scales)


def test_choice_is_that_of_stored_rows(monkeypatch):
    stored = learned(Ridge(folds=3), dense=True, monkeypatch=monkeypatch)
    streamed = learned(Ridge(folds=3), monkeypatch=monkeypatch)
    expected = min(stored.model.cv_table, key=lambda trial: trial.judged)
    (found,) = streamed.model.cv_table
    assert found.term_weights == expected.term_weights
    assert found.regularization == pytest.approx(expected.regularization, rel=1e-6)
    for name in ("judged", "rmse", "forces"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-5)


@pytest.mark.parametrize("open_settings", [False, True])
def test_sparse_kernels_are_those_of_stored_rows(open_settings, monkeypatch):
    kernel = polynomial_kernels(zeta=(2, 1, 1), normalize=(True, False, False))
    given = {} if open_settings else GIVEN
    estimator = SparseKernelRidge(kernel=kernel, n_active=12, uncertainty=False, **given)
    stored = learned(estimator)
    monkeypatch.setattr(choice, "DENSE_BYTES", 0)
    streamed = learned(estimator)
    assert isinstance(streamed.model, SparseKernelModel)
    if not open_settings:
        assert difference(stored, streamed) < 1e-7
        return
    errors = [model.model.summary().cv_rmse for model in (stored, streamed)]
    assert errors[1] < 1.3 * errors[0]
    with pytest.raises(ValueError, match="has no standard deviations"):
        streamed.predict(DATA, std=True)


def test_size_of_blocks_does_not_matter(monkeypatch):
    whole = learned(Ridge(**GIVEN), monkeypatch=monkeypatch)
    monkeypatch.setattr(plan, "_BATCH_BYTES", 1.0)
    assert difference(whole, learned(Ridge(**GIVEN), monkeypatch=monkeypatch)) < 1e-10


def test_combinations_take_the_place_of_too_many_features(monkeypatch):
    whole = learned(Ridge(regularization=1e-2, term_weights=(1, 1, 1)), monkeypatch=monkeypatch)
    monkeypatch.setattr(plan, "EXACT_COLUMNS", 10)
    monkeypatch.setattr(plan, "_COMBINATIONS", (90,))
    told = []
    fewer = learned(
        Ridge(regularization=1e-2, term_weights=(1, 1, 1)),
        monkeypatch=monkeypatch,
        tell=told.append,
    )
    assert "features in 90 combinations" in told[0]
    assert difference(whole, fewer) < 0.02


class Stopped(Exception):
    pass


@pytest.mark.parametrize("combinations", [None, 40])
def test_a_stopped_fit_goes_on(combinations, monkeypatch, tmp_path):
    monkeypatch.setattr(plan, "_BATCH_BYTES", 1.0)
    monkeypatch.setattr(state, "_SECONDS", 0.0)
    monkeypatch.setattr(state, "_SHARE", 0)
    if combinations is not None:
        monkeypatch.setattr(plan, "EXACT_COLUMNS", 10)
        monkeypatch.setattr(plan, "_COMBINATIONS", (combinations,))
    undisturbed = learned(Ridge(), monkeypatch=monkeypatch)
    own, done = StreamedRows.groups, []

    def failing(self, numbers):
        done.append(len(numbers))
        if len(done) == 9:  # two of them for the probe
            raise Stopped
        return own(self, numbers)

    path, told = tmp_path / "checkpoint.safetensors", []
    monkeypatch.setattr(StreamedRows, "groups", failing)
    with pytest.raises(Stopped):
        learned(Ridge(), monkeypatch=monkeypatch, checkpoint=path, tell=told.append)
    done[:] = [0] * 100
    again = learned(Ridge(), monkeypatch=monkeypatch, checkpoint=path, tell=told.append)
    assert len(done) == 100 + 2 + 14 - 6, "six batches were not added up again"
    assert "goes on from there" in told[-1]
    assert difference(undisturbed, again) < 1e-10


def test_a_state_of_other_data_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    learned(Ridge(**GIVEN), monkeypatch=monkeypatch, checkpoint=path)
    with pytest.raises(UserError, match="other settings or data"):
        learned(Ridge(seed=1, **GIVEN), monkeypatch=monkeypatch, checkpoint=path)
    path.write_bytes(os.urandom(100))
    with pytest.raises(UserError, match=r"damaged .*remove it"):
        learned(Ridge(**GIVEN), monkeypatch=monkeypatch, checkpoint=path)


def test_too_little_memory_names_the_value_that_would_do(monkeypatch):
    with limits(memory=1e8), pytest.raises(ValueError, match=r"set memory to '\d+\.\d GB' or more"):
        learned(Ridge(**GIVEN), monkeypatch=monkeypatch)


def test_less_memory_takes_fewer_combinations(monkeypatch):
    monkeypatch.setattr(plan, "_bytes", lambda _rows, _columns, k, _folds: 1e8 * (k or 1e4))
    monkeypatch.setattr(plan, "_COMBINATIONS", (100, 40, 30, 20))
    rows = StreamedRows(
        map=own_map(),
        representation=RECIPE,
        structures=DATA,
        y=ENERGIES,
        forces=Forces(values=FORCES),
    )
    found = []
    for memory in (1e11, 35e8):
        with limits(memory=memory):
            found.append(plan.planned(rows, 5))
    numbers = [one.combinations for one in found]
    assert numbers == [40, 30], "no more than a quarter of the rows, and what fits"
    assert "so few combinations cost accuracy" in plan.forecast(rows, found[1], 60.0)
    assert "accuracy" not in plan.forecast(rows, replace(found[1], limited=False), 60.0)


def own_map():
    return Ridge().map(Problem.of(RECIPE), lambda _number, _seed: iter(()))


@pytest.mark.parametrize("periodic", [2, 3])
def test_rows_of_stresses_are_finite_differences(periodic):
    structures = random_structures(RECIPE.species, 2, periodic=periodic)
    stress = Stress(values=torch.ones(2, 3, 3), weight=1.0)
    rows = StreamedRows(
        map=own_map(),
        representation=RECIPE,
        structures=structures,
        y=ENERGIES[:2],
        stress=stress,
    )
    group = rows.stresses(torch.arange(2), structures)
    found = torch.cat(group.terms, dim=1).unflatten(0, (2, 6))
    for row, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        strain = torch.zeros(3, 3).double()
        strain[a, b] += 0.5
        strain[b, a] += 0.5
        if periodic == 2:  # strains within the plane of the layer
            cell = structures.cell[0, :2]
            projector = torch.linalg.pinv(cell) @ cell
            strain = projector @ strain @ projector

        def energies(step, strain=strain):
            return torch.cat(
                rows.energies(
                    replace(
                        structures,
                        positions=structures.positions @ (torch.eye(3) + step * strain),
                        cell=structures.cell @ (torch.eye(3) + step * strain),
                    )
                ),
                dim=1,
            )

        slope = (energies(1e-4) - energies(-1e-4)) / 2e-4 / structures.volumes[:, None]
        expected = slope * (1.0 if a == b else 2**0.5)
        assert (found[:, row] - expected).abs().max() < 1e-6 * found.abs().max()


def test_stresses_are_learned():
    structures = random_structures(RECIPE.species, 12, periodic=3)
    known = train(
        RECIPE, structures, ENERGY, y=ENERGIES[:12], baseline=NoBaseline(), estimator=Ridge(**GIVEN)
    )
    truth = known.predict(structures, forces=True, stress=True)
    given = {"y": truth.values, "baseline": NoBaseline(), "estimator": Ridge(**GIVEN)}
    alone = train(RECIPE, structures.select(range(4)), ENERGY, **{**given, "y": truth.values[:4]})
    learned_too = train(
        RECIPE,
        structures.select(range(4)),
        ENERGY,
        stress=truth.stress[:4],
        **{**given, "y": truth.values[:4]},
    )
    errors = [
        float((model.predict(structures, stress=True).stress - truth.stress).square().mean().sqrt())
        for model in (alone, learned_too)
    ]
    assert errors[1] < 0.5 * errors[0]


def test_stresses_that_cannot_be_learned_are_refused():
    structures = random_structures(RECIPE.species, 4, periodic=3)
    options = {"y": ENERGIES[:4], "stress": torch.ones(4, 3, 3)}
    with pytest.raises(ValueError, match=r"stresses are learned by linear models"):
        train(RECIPE, structures, ENERGY, estimator=KernelRidge(), **options)
    with pytest.raises(ValueError, match="not periodic in any direction"):
        train(RECIPE, random_structures(RECIPE.species, 4), ENERGY, **options)
    with pytest.raises(ValueError, match="got 3 stresses for 4 structures"):
        train(RECIPE, structures, ENERGY, y=ENERGIES[:4], stress=torch.ones(3, 3, 3))
