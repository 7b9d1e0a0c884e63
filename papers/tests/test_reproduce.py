"""Studies of the papers: their metrics, their check, and what they put together."""

import json
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import torch

from multilode import Target
from multilode.data.dataset import Dataset
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import KernelRidge, Ridge
from multilode.prediction import rmse_percent
from multilode.radial import GaussianTypeOrbitals, Monomials
from multilode_papers.expected import CheckError, check, differences, expected_metrics
from multilode_papers.makers.frames import Frame, dataset_of
from multilode_papers.systems import SYSTEMS, DataUsed, Outcome, Row, system
from multilode_papers.systems.dimers import APART, SOURCES, first_curves, of_classes, with_limit
from multilode_papers.systems.interaction import (
    in_first_monomer,
    interaction_features,
    learn_interaction,
)
from multilode_papers.systems.learning import Task
from multilode_papers.systems.models import Model, error_row, fit, species_of
from multilode_papers.systems.multipole_numbers import (
    coefficient_deviation,
    coulomb_deviation,
    energy_deviation,
    surrounded,
)
from multilode_papers.systems.outcome import metrics
from multilode_papers.systems.page import markdown
from multilode_papers.systems.point_charge_fit import fit_charges

ROW = Row(
    model="a",
    data="here",
    subset="test",
    n_train=10,
    rmse=0.5,
    rmse_percent=12.0,
    unit="eV",
    paper=9.0,
)
USED = DataUsed(name="here", structures=12, paper=None, origin="made")
OUTCOME = Outcome(rows=(ROW,), data=(USED,), config={"folds": 5}, seed=0, numbers={"q": 1.0})
ENERGY = Target(key="interaction_energy", unit="eV")


def chlorides(n: int = 24, seed: int = 0, distances: tuple[float, float] = (4.0, 9.0)) -> Dataset:
    """Pairs of diatomic molecules with charges +q and -q, and their exact Coulomb energies."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        places = [np.array([[0, 0, 0.6], [0, 0, -0.6]]) for _ in range(2)]
        turned = [p @ np.linalg.qr(rng.normal(size=(3, 3)))[0] for p in places]
        turned[1] = turned[1] + np.array([rng.uniform(*distances), 0, 0])
        positions, charges = np.concatenate(turned), np.array([0.3, -0.3, 0.3, -0.3])
        between = np.linalg.norm(positions[:2, None] - positions[2:], axis=-1)
        energy = 14.399645 * (charges[:2, None] * charges[2:] / between).sum()
        values = {
            "interaction_energy": float(energy),
            "n_atoms_a": 2,
            "dimer": f"d{k // 3}",
            "label": "PP" if k < n // 2 else "AA",
        }
        frames.append(Frame(species=np.array([1, 17, 1, 17]), positions=positions, values=values))
    return dataset_of(frames)


def test_metrics_are_plain_and_follow_the_row_format():
    found = json.loads(json.dumps(metrics("name", OUTCOME, quick=True), allow_nan=False))
    assert found["system"] == "name"
    assert found["seed"] == 0
    assert {"model", "subset", "n_train", "rmse", "rmse_percent", "unit", "paper"} <= set(
        found["rows"][0]
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rmse": 0.54}, None),
        ({"rmse": 0.56}, "0.56 instead of 0.5"),
        ({"rmse": 0.44}, "0.44 instead of 0.5"),
        ({"model": "b"}, "is missing"),
    ],
)
def test_check_finds_what_changed(change, said):
    kept = metrics("name", OUTCOME, quick=True)
    ours = metrics("name", replace(OUTCOME, rows=(replace(ROW, **change),)), quick=True)
    found = differences(kept, ours)
    assert (found == []) if said is None else (said in found[0])


def test_check_compares_single_numbers_and_skips_absent_data():
    kept = metrics("name", OUTCOME, quick=True)
    ours = metrics("name", replace(OUTCOME, numbers={"q": 1.3}), quick=True)
    assert "q: 1.3 instead of 1" in differences(kept, ours)[0]
    elsewhere = replace(OUTCOME, data=(replace(USED, name="other"),), rows=())
    assert differences(kept, metrics("name", elsewhere, quick=True)) == []


KEPT = sorted(files("multilode_papers.expected").glob("*.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_results_that_are_kept_are_those_of_a_system(path):
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept == expected_metrics(kept["system"], quick=kept["quick"])
    assert path.name == f"{kept['system']}{'.quick' if kept['quick'] else ''}.json"
    assert kept["system"] in SYSTEMS
    assert kept["config"]
    present = {data["name"] for data in kept["data"]}
    assert all(row["rmse"] >= 0 and row["data"] in present for row in kept["rows"])


def test_every_system_has_results_that_are_kept():
    assert {path.name.split(".")[0] for path in KEPT} == set(SYSTEMS)


def test_check_names_the_system_and_the_row():
    kept = expected_metrics("multipoles", quick=True)
    assert check("multipoles", kept) == len(kept["rows"])
    kept["rows"][-1]["rmse"] = 3.0
    with pytest.raises(CheckError, match=r"'multipoles' differs .* octupole"):
        check("multipoles", kept)


def test_check_refuses_results_of_another_seed():
    """Other splits have other errors: no disagreement, and no agreement either."""
    found = expected_metrics("multipoles", quick=True)
    found["seed"] += 3
    with pytest.raises(CheckError) as caught:
        check("multipoles", found)
    assert str(caught.value) == (
        "the results of 'multipoles' are kept for seed 0, this run has seed 3; check without --seed"
    )


def test_check_needs_results_that_are_kept(monkeypatch, tmp_path):
    monkeypatch.setattr("multilode_papers.expected.comparison.files", lambda _: tmp_path)
    with pytest.raises(CheckError, match=r"kept under multipoles\.json; run it without --check"):
        expected_metrics("multipoles", quick=False)


def test_unknown_systems_are_refused():
    with pytest.raises(ValueError, match=r"no system 'water'; known are point-charges"):
        system("water")


def test_text_holds_paper_and_ours():
    text = markdown("name", "Title", OUTCOME, quick=True)
    assert "multilode reproduce name --quick" in text
    assert "| a | test | 10 | 0.5 eV | 12 | 9 % |" in text


def test_dimers_apart_no_longer_interact():
    dimers = chlorides()
    limited = with_limit(dimers, "dimer")
    added = limited.select(range(len(dimers), len(limited)))
    assert len(added) == len(set(dimers.labels("dimer")))
    assert (added.column("interaction_energy") == 0).all()
    positions = added.structures.positions.reshape(-1, 4, 3)
    gap = (positions[:, 2:] - positions[:, :2]).norm(dim=-1)
    assert float(gap.min()) > 0.9 * APART
    inner = (positions[:, 0] - positions[:, 1]).norm(dim=-1)
    torch.testing.assert_close(inner, torch.full_like(inner, 1.2), rtol=0, atol=1e-9)


def test_classes_and_splits_keep_curves_together():
    dimers = chlorides()
    assert set(of_classes(dimers, "PP").labels("label")) == {"PP"}
    train, test = SOURCES["charged-curves"].split(
        dimers.with_values({"system": dimers.labels("dimer")}), seed=1
    )
    assert len(train) + len(test) == len(dimers)
    assert not set(train.labels("dimer")) & set(test.labels("dimer"))


def model(estimator) -> Model:
    basis = GaussianTypeOrbitals(3, 3.0)
    return Model(
        name="rho x V",
        fields={
            "rho": FieldExpansion(GaussianDensity(0.4), basis, 2, neighbor_cutoff=3.0),
            "V": FieldExpansion(SmearedPotential(0.4, 1.0), basis, 2),
        },
        products=(("rho", "V"),),
        estimator=estimator,
    )


def test_interaction_features_vanish_apart():
    dimers = chlorides(60)
    species = species_of(dimers)
    assert in_first_monomer(dimers).reshape(-1, 4).tolist() == [[True, True, False, False]] * 60
    apart = with_limit(dimers, "dimer").select(range(60, 80))
    near, far = (interaction_features(model(Ridge()), d, species).terms[0] for d in (dimers, apart))
    assert float(far.abs().max()) < 1e-3 * float(near.abs().max())


def candidates() -> list[Model]:
    """A local model, which the molecules leave at 2.8 Å, and one of the potential."""
    basis = GaussianTypeOrbitals(3, 2.5)
    rho = FieldExpansion(GaussianDensity(0.3), basis, 1, neighbor_cutoff=2.5)
    potential = FieldExpansion(SmearedPotential(0.3, 1.0), Monomials(1, 0.5), 1)
    recipes = {
        "local": ({"rho": rho}, ("rho", "rho")),
        "rho x V": ({"rho": rho, "V": potential}, ("rho", "V")),
    }
    return [
        Model(name=name, fields=fields, products=(pair,), estimator=Ridge())
        for name, (fields, pair) in recipes.items()
    ]


def test_interaction_features_learn_the_coulomb_sum():
    """Potentials of the other molecule, weighted with charges, are its energy at any distance."""
    dimers = chlorides(60)
    train, near = dimers.select(range(45)), dimers.select(range(45, 60))
    far = chlorides(15, seed=1, distances=(10.0, 20.0))
    for test in (near, far):
        reference = torch.from_numpy(test.column("interaction_energy"))[:, None]
        errors = {}
        for tried in ([c] for c in candidates()):
            name, found = learn_interaction(
                tried, train, test, ENERGY, species=(1, 17), group="dimer"
            )
            errors[name] = rmse_percent(reference, found)
        assert errors["rho x V"] < 1e-3
        assert errors["local"] > 95  # all that it knows of molecules apart is a constant


def test_cross_validation_chooses_the_interaction_model():
    dimers = chlorides(45)
    train, test = dimers.select(range(36)), dimers.select(range(36, 45))
    options = {"species": (1, 17), "group": "dimer"}
    local, potential = candidates()
    for rivals in ([local, potential], [potential, local]):
        name, found = learn_interaction(rivals, train, test, ENERGY, **options)
        assert name == "rho x V"
        alone = learn_interaction([potential], train, test, ENERGY, **options)[1]
        torch.testing.assert_close(found, alone, rtol=0, atol=0)


def test_first_curves_are_whole_and_in_the_order_of_the_file():
    """Names that would be sorted another way, and points of a dimer that stand apart."""
    dimers = chlorides(7).with_values({"system": list("zbzaabz"), "place": list(range(7))})
    assert first_curves(dimers, "system", 1).column("place").tolist() == [0, 2, 6]
    assert first_curves(dimers, "system", 2).labels("system") == tuple("zbzbz")
    for count in (3, 40):  # no more than there are
        assert first_curves(dimers, "system", count).column("place").tolist() == list(range(7))


def test_a_task_agrees_with_training_and_predicting():
    """Two ways to the same predictions: pooled designs, and a predictor."""
    dimers = chlorides(60)
    train, test = dimers.select(range(45)), dimers.select(range(45, 60))
    task = Task(train=train, test=test, species=(1, 17), target=ENERGY, group="dimer")
    found = task.learn(model(Ridge()))
    predictor = fit(model(Ridge()), train, ENERGY, group="dimer")
    expected = predictor.predict(test.structures).values
    torch.testing.assert_close(found.predicted[:, 0], expected, rtol=1e-7, atol=1e-10)


def test_estimators_compete_in_cross_validation():
    dimers = chlorides(45)
    train, test = dimers.select(range(36)), dimers.select(range(36, 45))
    task = Task(train=train, test=test, species=(1, 17), target=ENERGY, group="dimer", sizes=(4, 8))
    rivals = {
        "linear": Ridge(),
        "kernel": KernelRidge(uncertainty=False),
    }
    found = task.learn(model(Ridge()), rivals)
    assert set(found.cv_rmse) == {"linear", "kernel"}
    assert found.estimator == min(found.cv_rmse, key=found.cv_rmse.get)
    assert found.series().sizes == (4, 8)


def test_error_rows_hold_percent_of_the_spread():
    reference = torch.tensor([0.0, 2.0], dtype=torch.float64)
    row = error_row("m", reference, reference + 0.5, data="d", subset="s", n_train=1, unit="eV")
    assert row.rmse == pytest.approx(0.5)
    assert row.rmse_percent == pytest.approx(50)


def test_charges_are_found_again():
    """Energies made with known charges give them back, up to the sign of all."""
    rng = np.random.default_rng(0)
    species, exact = np.array([8, 1, 1, 6, 8, 8]), {1: 0.21, 6: 0.8, 8: -0.4}
    charges = np.array([exact[z] for z in species])
    frames = []
    for _ in range(40):
        a, b = rng.normal(size=(3, 3)), rng.normal(size=(3, 3)) + np.array([8.0, 0, 0])
        inverse = 1 / np.linalg.norm(a[:, None] - b, axis=-1)
        energy = 14.399645 * charges[:3] @ inverse @ charges[3:]
        frames.append(
            Frame(
                species=species,
                positions=np.concatenate([a, b]),
                values={"interaction_energy": float(energy)},
            )
        )
    found, predicted = fit_charges(dataset_of(frames), dataset_of(frames[:5]), 3)
    assert [found[name] for name in ("q_H", "q_C", "q_O")] == pytest.approx([0.21, 0.8, -0.4])
    assert len(predicted[1]) == 5


@pytest.mark.parametrize("seed", [0, 3])
def test_multipole_identities(seed):
    structures = surrounded(seed)
    assert max(coefficient_deviation(structures)) < 1e-9
    assert energy_deviation(structures, seed) < 1e-8


def test_the_limit_of_point_charges_is_approached():
    errors = [coulomb_deviation(r, s, 0) for r, s in ((0.5, 1.0), (0.5, 0.5), (0.25, 0.25))]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-6
