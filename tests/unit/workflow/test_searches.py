"""Searches: better settings, by errors of groups that a fit did not see, the same after a stop."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

import multilode as ml
from multilode.config.config import config_from_dict
from multilode.config.errors import ConfigError
from multilode.errors import UserError
from multilode.models.network.fit import validation_set
from multilode.models.network.training import Training
from multilode.workflow import sampler
from multilode.workflow.doubts_of_searches import doubts_of_search
from multilode.workflow.experiment import group_numbers, run_training
from multilode.workflow.sampler import (
    EVEN,
    FEW,
    SearchTrial,
    combinations,
    importances,
    next_values,
)
from multilode.workflow.scores import Judge
from multilode.workflow.sets import Sets, load_training_set

BASIS = {"n_radial": 2, "max_angular": 1}
FIELDS = {"rho": {"basis": BASIS}, "V": {"exponent": 6, "basis": BASIS}}
SETTINGS = {
    "cutoff": {"low": 2.0, "high": 4.0},
    "fields.V.exponent": {"choices": [1, 2, 3, 6]},
    "fields.V.smearing": {"low": 0.5, "high": 1.5, "log": True},
}
TINY_NETWORK = {
    "kind": "network",
    "channels": 3,
    "hidden": 4,
    "charges": 1,
    "dipoles": 0,
    "steps": 6,
    "validation": 0.3,
}


def ions(n: int, seed: int) -> list[Atoms]:
    """A pair of ions and a third one at a distance, with energies and forces of charges."""
    rng, images, signs = np.random.default_rng(seed), [], np.array([1.0, -1.0, 1.0])
    for number, far in enumerate(rng.uniform(3.5, 7.0, n)):
        places = np.array([[0, 0, 0], [2.4, 0, 0], [0, 0, far]])
        atoms = Atoms("NaClNa", places + rng.normal(scale=0.08, size=(3, 3)))
        vectors = atoms.get_all_distances(vector=True)
        r = atoms.get_all_distances() + 1e9 * np.eye(3)
        charges = np.outer(signs, signs)
        forces = -((charges / r**3)[..., None] * vectors).sum(axis=1)
        atoms.calc = SinglePointCalculator(atoms, energy=(charges / r).sum() / 2, forces=forces)
        atoms.info["dipole"] = signs @ atoms.positions
        atoms.info["part"] = f"part {number % 6}"
        images.append(atoms)
    return images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write(tmp_path / "ions.xyz", ions(24, 1), format="extxyz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def raw(**more):
    return {
        "data": {"train": "ions.xyz", "group": "part"},
        "target": {"key": "energy", "unit": "eV"},
        "cutoff": 3.0,
        "fields": FIELDS,
        "features": [["rho", "V"]],
        **more,
    }


def without_time(trials):
    return [(t.number, t.values, t.error, t.folds, t.failure) for t in trials]


def test_the_physics_is_found_and_the_start_is_tried_first(folder):
    calls = []
    found = ml.tune(
        raw(), settings=SETTINGS, trials=14, progress=lambda *counts: calls.append(counts)
    )
    first = found.trials[0]
    assert first.values == {"cutoff": 3.0, "fields.V.exponent": 6, "fields.V.smearing": 1.0}
    assert found.best.values["fields.V.exponent"] == 1  # of charges
    assert found.best.error < 0.5 * first.error
    assert found.best.error == min(t.error for t in found.trials)
    assert calls[0] == (0, 14)
    assert calls[-1] == (14, 14)
    config = config_from_dict(found.configuration)
    crossed = run_training(config, Sets(train=load_training_set(config), test=None))
    row = crossed.cross_validation.rows[0]
    assert row.rmse == pytest.approx(found.best.error, rel=1e-9)
    assert "tune" not in found.configuration
    assert f"{found.best.error:.4g}" in repr(found)


def test_folds_together_are_the_error(folder):
    (trial,) = ml.tune(raw(), settings=SETTINGS, trials=1).trials
    assert len(trial.folds) == 5
    # six parts of four structures in five folds: one has two of them
    counts = np.array(sorted([8, 4, 4, 4, 4]))
    squares = np.array(trial.folds) ** 2
    possible = [(squares.sum() * 4 + squares[k] * 4) / counts.sum() for k in range(5)]
    assert min(abs(np.sqrt(possible) - trial.error)) < 1e-12
    assert trial.target == trial.error


def test_a_seed_decides_what_is_tried(folder):
    one, same, other = (
        ml.tune(raw(), settings=SETTINGS, trials=4, seed=seed) for seed in (1, 1, 2)
    )
    assert without_time(one.trials) == without_time(same.trials)
    assert one.trials[0].values == other.trials[0].values
    assert one.trials[1].values != other.trials[1].values


@pytest.mark.parametrize("kept", [0, 3, 7])
def test_a_search_that_goes_on_is_the_undisturbed_one(folder, monkeypatch, kept):
    """From nothing, among the trials that are spread evenly, and among those that are chosen."""
    monkeypatch.setattr(sampler, "EVEN", 4)
    whole = ml.tune(raw(), settings=SETTINGS, trials=9)
    ml.tune(raw(), settings=SETTINGS, trials=9, folder="kept")
    for number in range(kept, 9):
        (folder / "kept" / f"trial-{number:04}.json").unlink()
    again = ml.tune(raw(), settings=SETTINGS, trials=9, folder="kept")
    assert without_time(again.trials) == without_time(whole.trials)


def test_the_first_trials_are_spread_evenly_and_the_others_depend_on_them(folder):
    found = ml.tune(raw(), settings=SETTINGS, trials=1)
    trials = list(found.trials)
    while len(trials) <= EVEN:
        values = next_values(found.space, 0, trials)
        trials.append(SearchTrial(number=len(trials), values=values, error=1.0))
    exponents = [t.values["fields.V.exponent"] for t in trials[1:]]
    assert sorted(exponents) == sorted(4 * [1, 2, 3, 6])
    lengths = np.array([t.values["fields.V.smearing"] for t in trials[1:]])
    edges = np.geomspace(0.5, 1.5, 5)
    assert np.histogram(lengths, edges)[0].tolist() == [4, 4, 4, 4]
    good = [replace(t, error=0.1 if t.values["fields.V.exponent"] == 3 else 1.0) for t in trials]
    proposed = [next_values(found.space, seed, good)["fields.V.exponent"] for seed in range(12)]
    assert proposed.count(3) > 6  # of chance there would be 3


def test_more_trials_begin_with_the_same_ones(folder):
    short = ml.tune(raw(), settings=SETTINGS, trials=3, folder="kept")
    written = (folder / "kept" / "trial-0001.json").read_text()
    long = ml.tune(raw(), settings=SETTINGS, trials=5, folder="kept")
    assert without_time(long.trials[:3]) == without_time(short.trials)
    assert (folder / "kept" / "trial-0001.json").read_text() == written  # not computed again


@pytest.mark.parametrize(
    "change", [{"settings": {"cutoff": {"low": 2.0, "high": 5.0}}}, {"seed": 3}, {"data": 1}]
)
def test_trials_of_another_search_are_refused(folder, change):
    ml.tune(raw(), settings=SETTINGS, trials=1, folder="kept")
    if "data" in change:
        write(folder / "ions.xyz", ions(24, 2), format="extxyz")
        change = {}
    with pytest.raises(UserError, match="of a search with another configuration or other data"):
        ml.tune(raw(), **{"settings": SETTINGS, "trials": 1, "folder": "kept", **change})


@pytest.mark.parametrize("text", ["", "{}", '{"fingerprint": "x", "trial": {"folds": 3}}', "[1]"])
def test_a_damaged_trial_is_named(folder, text):
    ml.tune(raw(), settings=SETTINGS, trials=1, folder="kept")
    (folder / "kept" / "trial-0000.json").write_text(text)
    with pytest.raises(UserError, match=r"trial-0000\.json: is no trial of a search, or damaged"):
        ml.tune(raw(), settings=SETTINGS, trials=1, folder="kept")


def copies_with_luck(seed: int) -> list[Atoms]:
    """Twelve molecules, each four times nearly the same, whose property is a matter of chance."""
    rng, images = np.random.default_rng(seed), []
    for number in range(12):
        places, luck = 1.5 * rng.normal(size=(4, 3)), rng.normal()
        for _ in range(4):
            atoms = Atoms("OHHC", places + rng.normal(scale=1e-3, size=(4, 3)))
            atoms.info |= {"luck": luck + 1e-3 * rng.normal(), "molecule": f"m{number}"}
            images.append(atoms)
    return images


def test_groups_are_not_torn_apart(folder):
    """Copies of what is predicted make plain cross-validation praise a model that memorises."""
    write(folder / "luck.xyz", copies_with_luck(5), format="extxyz")
    settings = {"estimator.regularization": {"choices": [1e-9, 1e4]}}
    common = {"target": {"key": "luck"}, "features": [["rho", "rho"]], "cutoff": 4.0}
    fields = {"rho": {"basis": {"n_radial": 4, "max_angular": 3}}}
    found = {}
    for name, data in (("torn", "luck.xyz"), ("whole", {"train": "luck.xyz", "group": "molecule"})):
        given = raw(**common, data=data, fields=fields, estimator={"regularization": 1e-9})
        found[name] = ml.tune(given, settings=settings, trials=2)
    torn, whole = found["torn"], found["whole"]
    assert torn.best.values["estimator.regularization"] == 1e-9
    assert torn.best.error < 0.2 * torn.trials[1].error
    assert whole.best.values["estimator.regularization"] == 1e4
    assert whole.trials[0].error > whole.trials[1].error


def test_the_test_set_is_not_looked_at(folder):
    expected = without_time(ml.tune(raw(), settings=SETTINGS, trials=2).trials)
    data = {"train": "ions.xyz", "test": "test.xyz", "group": "part"}
    assert not (folder / "test.xyz").exists()
    assert without_time(ml.tune(raw(data=data), settings=SETTINGS, trials=2).trials) == expected
    (folder / "test.xyz").write_bytes(b"\xff no structures")
    assert without_time(ml.tune(raw(data=data), settings=SETTINGS, trials=2).trials) == expected


def test_few_combinations_are_all_tried_once(folder):
    settings = {
        "fields.V.exponent": {"choices": [1, 6]},
        "fields.V.basis.n_radial": {"low": 1, "high": 3},
    }
    found = ml.tune(raw(), settings=settings, trials=30)
    assert combinations(found.space) == 6 <= FEW
    assert len(found.trials) == 6
    assert len({json.dumps(t.values) for t in found.trials}) == 6
    assert found.trials[0].values == {"fields.V.exponent": 6, "fields.V.basis.n_radial": 2}


def test_failed_trials_are_kept_with_their_reason_and_the_search_goes_on(folder):
    baselines = {"choices": ["composition", {"column": "absent"}]}
    settings = {"target.baseline": baselines, **SETTINGS}
    found = ml.tune(raw(), settings=settings, trials=8, folder="kept")
    failed = [t for t in found.trials if t.error is None]
    assert 0 < len(failed) < 8
    assert all(t.values["target.baseline"] == {"column": "absent"} for t in failed)
    assert all("'absent'" in t.failure and "\n" not in t.failure for t in failed)
    assert all(t not in found.complete for t in failed)
    again = ml.tune(raw(), settings=settings, trials=8, folder="kept")
    assert without_time(again.trials) == without_time(found.trials)


def test_a_search_in_which_all_failed_is_an_error(folder):
    with pytest.raises(UserError, match="all 3 trials failed; that of the given configuration"):
        ml.tune(raw(memory="1 kB"), settings=SETTINGS, trials=3)


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"target": {"key": "enrgy"}}, UserError, "energy"),
        ({"data": "none.xyz"}, UserError, "none.xyz"),
        ({"data": {"train": "ions.xyz", "group": "one"}}, UserError, "'one'"),
        ({"fields": {"V": {"sources": "responding"}}}, ConfigError, "described"),
        (
            {"features": [["rho"], ["V"]], "estimator": {**TINY_NETWORK, "validation": 0.0}},
            ConfigError,
            "estimator.validation",
        ),
    ],
)
def test_what_has_no_error_of_unseen_structures_is_refused(folder, more, error, said):
    with pytest.raises(error, match=said):
        ml.tune(raw(**more), settings={"cutoff": {"low": 2.0, "high": 4.0}}, trials=2)


def test_networks_are_judged_by_what_is_set_aside(folder):
    given = raw(features=[["rho"], ["V"]], estimator=TINY_NETWORK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it learns nothing in so few steps
        found = ml.tune(given, settings={"estimator.hidden": {"low": 4, "high": 6}}, trials=2)
        config = config_from_dict(given)
        train = load_training_set(config)
        model = run_training(config, Sets(train=train, test=None)).predictor
    apart = train.select(validation_set(24, group_numbers(config, train), config.regression))
    errors = apart.column("energy") - model.predict(apart.structures).values.numpy()
    assert found.trials[0].error == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-5)
    assert found.judge.n_unseen == len(apart) == 4
    assert found.trials[0].folds == ()
    assert found.judge.name == "RMSE in validation (eV)"


def test_networks_are_judged_by_forces_in_the_unit_of_the_energy(folder):
    """Those of files in another unit were compared as they are, and decided the search."""
    images = ions(24, 1)
    for image in images:
        image.calc.results["forces"] /= units.Hartree / units.Bohr
    write("other.xyz", images, format="extxyz")
    target, found = {"key": "energy", "unit": "eV", "reduce": "sum"}, []
    for file, unit in (("ions.xyz", "eV/Å"), ("other.xyz", "Hartree/bohr")):
        given = raw(features=[["rho"], ["V"]], estimator=TINY_NETWORK)
        given["data"]["train"] = file
        given["target"] = {**target, "forces": {"key": "forces", "unit": unit}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            ran = ml.tune(given, settings={"estimator.hidden": {"low": 4, "high": 6}}, trials=1)
        found.append((ran.trials[0].target, ran.trials[0].forces, ran.trials[0].error))
    assert found[1] == pytest.approx(found[0], rel=1e-4)


def test_the_training_of_a_network_goes_on_within_its_trial(folder, monkeypatch):
    given = raw(features=[["rho"], ["V"]], estimator=TINY_NETWORK)
    settings, real, epochs = {"estimator.hidden": {"low": 4, "high": 6}}, Training._epoch, []
    (folder / "kept").mkdir()
    left = folder / "kept" / "trial-0001-of another search.safetensors"
    left.write_bytes(b"")

    def interrupted(self):
        if len(epochs) == 9:
            raise KeyboardInterrupt
        epochs.append(self.state.epoch)
        real(self)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        whole = ml.tune(given, settings=settings, trials=2)
        monkeypatch.setattr(Training, "_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ml.tune(given, settings=settings, trials=2, folder="kept")
        assert epochs == [*range(6), 0, 1, 2]  # of the second trial half
        monkeypatch.setattr(Training, "_epoch", lambda self: epochs.append(-1) or real(self))
        again = ml.tune(given, settings=settings, trials=2, folder="kept")
    assert epochs.count(-1) == 3
    assert without_time(again.trials) == without_time(whole.trials)
    names = sorted(path.name for path in (folder / "kept").iterdir())
    assert names == ["trial-0000.json", "trial-0001.json"]


def test_energies_and_forces_count_alike(folder):
    forces = {"key": "energy", "unit": "eV", "forces": True}
    given = raw(target=forces, preset="fast", estimator={"kind": "ridge"})
    found = ml.tune(given, settings={"cutoff": SETTINGS["cutoff"]}, trials=1)
    data = ml.read("ions.xyz")
    spread = {"energy": data.column("energy").std(), "force": data.atom_column("forces").std()}
    (trial,) = found.trials
    parts = [trial.target / spread["energy"], trial.forces / spread["force"]]
    assert trial.error == pytest.approx(100 * np.sqrt(np.mean(np.square(parts))), rel=1e-9)
    config = config_from_dict(given)
    crossed = run_training(config, Sets(train=load_training_set(config), test=None))
    assert trial.target == pytest.approx(crossed.cross_validation.rows[0].rmse, rel=1e-9)
    assert trial.forces == pytest.approx(crossed.cross_validation.forces.rmse, rel=1e-9)
    assert len(trial.folds) == 5


def test_tensors_and_atoms_are_judged_as_their_trainings_are(folder):
    target = {"key": "dipole", "tensor": "vector", "unit": "eA"}
    for given in (raw(target=target), raw(target={**target, "tensor": None})):
        (trial,) = ml.tune(given, settings={"cutoff": SETTINGS["cutoff"]}, trials=1).trials
        config = config_from_dict(given)
        crossed = run_training(config, Sets(train=load_training_set(config), test=None))
        assert trial.error == pytest.approx(crossed.cross_validation.rows[0].rmse, rel=1e-9)


def test_given_settings_have_an_error_too(folder):
    """A training with all settings given does no cross-validation; a search does."""
    chosen = ml.tune(raw(), settings={"cutoff": SETTINGS["cutoff"]}, trials=1)
    config = config_from_dict(raw())
    train = load_training_set(config)
    summary = run_training(config, Sets(train=train, test=None)).predictor.model.summary()
    (part,) = summary.parts
    given = {"regularization": part.regularization, "term_weights": list(part.term_weights)}
    score = Judge.of(config, train).score(config_from_dict(raw(estimator=given)))
    assert score.error == pytest.approx(chosen.best.error, rel=1e-9)


@pytest.mark.parametrize(
    ("values", "folds", "kinds"),
    [
        ((2.01, 6, 1.0), (0.5, 0.6), {"end of a range"}),
        ((3.2, 1, 1.49), (0.5, 0.6), {"end of a range"}),
        ((3.2, 1, 1.0), (0.5, 0.6), set()),
        ((3.2, 1, 1.0), (0.4, 1.4), {"no clear gain"}),
        ((3.2, 1, 1.0), (2.0, 2.0), {"nothing better"}),
    ],
)
def test_doubts_name_the_end_of_a_range_and_what_is_no_gain(folder, values, folds, kinds):
    found = ml.tune(raw(), settings=SETTINGS, trials=1)
    named = dict(zip(SETTINGS, values, strict=True))
    start = replace(found.trials[0], error=1.0, folds=(1.0, 1.0))
    other = SearchTrial(number=1, values=named, error=float(np.mean(folds)), folds=folds)
    doubts = doubts_of_search(replace(found, trials=(start, other)))
    assert {doubt.kind for doubt in doubts} == kinds | {"few structures"}
    failed = [SearchTrial(number=k, values=named, failure="too large") for k in (2, 3)]
    doubts = doubts_of_search(replace(found, trials=(start, other, *failed)))
    (said,) = [str(doubt) for doubt in doubts if doubt.kind == "failed trials"]
    assert "2 of 4 trials failed, as trial 2 (too large)" in said


def test_importance_finds_what_matters(folder):
    found = ml.tune(raw(), settings=SETTINGS, trials=20)
    shares = importances(found.space, found.trials)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.get) == "fields.V.exponent"
    assert importances(found.space, found.trials[:5]) == {}
