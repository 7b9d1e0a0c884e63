"""Curves of dimers near their minima: rigid molecules, stationary pairs, walls, and the split."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from multilode import train
from multilode.datasets import available, load
from multilode.models import Ridge
from multilode_papers.makers import relaxed_dimers, relaxed_pairs
from multilode_papers.makers.dimers import molecules
from multilode_papers.makers.engines import (
    BOHR,
    HARTREE,
    EngineError,
    bohr_of,
    dispersion,
    hartree_fock,
    tblite_energy_and_gradient,
)
from multilode_papers.makers.fragments import Fragment, fragment
from multilode_papers.makers.frames import Frame, dataset_of
from multilode_papers.makers.relaxed_pairs import COUNTS, HIGHEST_WALL, kept, split_of
from multilode_papers.makers.rigid_pairs import (
    STATIONARY,
    _left_jacobian,
    drawn,
    moved,
    relaxed,
    rigid_energy,
    turned,
)
from multilode_papers.systems.interaction import learn_interaction
from multilode_papers.systems.models import group_numbers, species_of
from multilode_papers.systems.relaxed_dimers import TARGET, models
from often import often

SETS = [name for name in ("relaxed-dimers", "relaxed-neutral-dimers") if available(name)]


def lengths(positions):
    return np.linalg.norm(positions[:, None] - positions, axis=-1)


@pytest.fixture
def toy():
    """Two bent molecules that no engine has seen."""
    rng = np.random.default_rng(3)
    species = np.array([8, 1, 1, 6])
    places = [rng.normal(size=(4, 3)) for _ in range(2)]
    a, b = (
        Fragment(name=n, species=species, positions=p - p.mean(axis=0), charge=0)
        for n, p in zip("ab", places, strict=True)
    )
    return drawn(a, b, rng)


def test_moves_and_turns_leave_molecules_rigid_and_centres_in_place(toy):
    rng = np.random.default_rng(0)
    after = moved(toy, rng.normal(size=6))
    tilted = turned(after, 7.0, rng)
    for pair in (after, tilted):
        np.testing.assert_allclose(lengths(pair.first), lengths(toy.first), atol=1e-12)
        np.testing.assert_allclose(lengths(pair.second), lengths(toy.second), atol=1e-12)
        np.testing.assert_allclose(pair.second.mean(axis=0), 0, atol=1e-12)
    assert tilted.contact == after.contact
    for before, later in ((after.first, tilted.first), (after.second, tilted.second)):
        turn = Rotation.align_vectors(later, before)[0]
        assert np.rad2deg(turn.magnitude()) == pytest.approx(7.0, abs=1e-6)


@pytest.mark.parametrize("size", [1e-6, 0.3, 2.0])
def test_the_turn_of_a_rotation_vector_is_that_of_finite_differences(size):
    rng = np.random.default_rng(1)
    turn = rng.normal(size=3)
    turn *= size / np.linalg.norm(turn)
    step = 1e-5 * rng.normal(size=3)
    between = Rotation.from_rotvec(turn + step) * Rotation.from_rotvec(turn - step).inv()
    np.testing.assert_allclose(between.as_rotvec(), 2 * _left_jacobian(turn) @ step, atol=1e-12)


def pair_of(*names, seed=0):
    pytest.importorskip("tblite")
    pytest.importorskip("rdkit")
    return drawn(*(fragment(name) for name in names), np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("names", "solvent"), [(("water", "ammonium"), None), (("formate", "ammonium"), "water")]
)
def test_derivatives_of_rigid_moves_are_those_of_finite_differences(names, solvent):
    pair = pair_of(*names)
    moves = 1e-3 * np.eye(6)
    numeric = [
        (rigid_energy(moved(pair, m), solvent)[0] - rigid_energy(moved(pair, -m), solvent)[0])
        / 2e-3
        for m in moves
    ]
    exact = rigid_energy(pair, solvent)[1]
    assert np.abs(exact).max() > 1e-3
    np.testing.assert_allclose(exact, numeric, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "solvent"),
    often(
        [(("water", "methylamine"), None), (("acetate", "guanidinium"), "water")],
        [(("water", "methylamine"), None)],
    ),
)
def test_a_relaxed_pair_is_stationary_and_a_minimum(names, solvent):
    found = relaxed(pair_of(*names), solvent)
    assert found is not None
    assert np.abs(rigid_energy(found, solvent)[1]).max() < STATIONARY
    rng = np.random.default_rng(2)
    for _ in range(4):
        near = moved(found, 0.1 * rng.normal(size=6))
        assert rigid_energy(near, solvent)[0] > found.depth


def test_two_waters_are_bound_as_their_hydrogen_bond():
    """GFN2-xTB: about 0.2 eV at an O-O distance of 2.8 to 3 Å."""
    found = relaxed(pair_of("water", "water", seed=5), None)
    alone = tblite_energy_and_gradient(found.a.species, bohr_of(found.first), 0)[0]
    assert HARTREE * (found.depth - 2 * alone) == pytest.approx(-0.21, abs=0.03)


def test_candidates_are_those_of_their_name_and_their_energies_vanish_far_away():
    pytest.importorskip("tblite")
    pytest.importorskip("rdkit")
    pair, again = relaxed_pairs.candidate("AA-0003"), relaxed_pairs.candidate("AA-0003")
    np.testing.assert_array_equal(pair.second, again.second)
    shared = relaxed_pairs.labels_of("AA-0003", pair)
    rigid = [
        lengths(f.positions[: len(pair.first)]) for f in relaxed_pairs.gfn2_curve(pair, shared)
    ]
    for found in rigid:
        np.testing.assert_allclose(found, rigid[0], atol=3e-5)
    far = moved(pair, np.concatenate([200 * pair.direction, np.zeros(3)]))
    frames = relaxed_pairs.gfn2_curve(far, shared)
    assert np.abs([f.values["interaction_energy"] for f in frames]).max() < 2e-6


@pytest.mark.parametrize(
    ("charges", "energy", "is_kept"),
    [((0, 0), 0.49, True), ((0, 0), 0.51, False), ((0, -1), 0.69, True), ((1, -1), 0.71, False)],
)
def test_the_wall_is_half_an_electronvolt_and_higher_with_a_charge(charges, energy, is_kept):
    values = {"charge_a": charges[0], "charge_b": charges[1], "interaction_energy": energy}
    assert kept(Frame(species=np.array([1]), positions=np.zeros((1, 3)), values=values)) == is_kept


def test_every_fifth_candidate_is_for_the_test_before_anything_is_known_of_it():
    parts = [split_of(f"PA-{number:04d}") for number in range(100)]
    assert parts.count("test") == 20
    assert parts[4::5] == ["test"] * 20
    for learned, asked in COUNTS.values():
        assert asked == pytest.approx(learned / 4, abs=0.5)


def test_dropped_candidates_are_replaced_by_later_ones(tmp_path, monkeypatch):
    def batch(name):
        label, first, last = name.split("-")
        numbers = [n for n in range(int(first), int(last)) if n % 3]  # a third is dropped
        return [point(f"{label}-{n:04d}") for n in numbers]

    monkeypatch.setattr(relaxed_pairs, "batch", batch)
    data = relaxed_pairs.gfn2_curves("PA", tmp_path, count=40, workers=1, progress=None)
    names = data.labels("dimer")
    assert data.labels("split") == ("train",) * 32 + ("test",) * 8
    tests = [n for n in range(100) if n % 3 and n % 5 == 4][:8]
    assert names[32:] == tuple(f"PA-{n:04d}" for n in tests)
    assert names[:3] == ("PA-0001", "PA-0002", "PA-0005")


def point(name):
    values = {"dimer": name, "label": name[:2], "split": split_of(name), "e": 0.5}
    return Frame(species=np.array([1]), positions=np.zeros((1, 3)), values=values)


def test_classes_take_turns_and_finished_curves_are_taken_over(tmp_path, monkeypatch):
    chosen = {"CP": [f"CP-{n:04d}" for n in range(8)], "CC": ["CC-0000", "CC-0002"]}
    names = relaxed_dimers.in_turns(chosen)
    assert names[:3] == ["CP-0000", "CP-0001", "CC-0000"]
    assert sorted(names) == sorted(chosen["CP"] + chosen["CC"])
    (tmp_path / "CC-0000.xyz").write_text("done before")
    known = dataset_of([point(n) for n in ("CC-0000", "CC-0002", "CC-0007")])
    relaxed_dimers.take_over(known, names, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["CC-0000.xyz", "CC-0002.xyz"]
    assert (tmp_path / "CC-0000.xyz").read_text() == "done before"
    (tmp_path / "CC-0000.xyz").rename(tmp_path / "CC-0-20.xyz")  # a batch of candidates
    assert relaxed_dimers.finished(tmp_path).labels("dimer") == ("CC-0002",)


def test_a_charged_candidate_without_a_minimum_is_refused(monkeypatch):
    monkeypatch.setattr(relaxed_dimers, "candidate", lambda name: None)
    with pytest.raises(EngineError, match="CP-0001 has no minimum"):
        relaxed_dimers.binding_curve("CP-0001")


def test_like_charges_are_about_a_seventh_of_the_charged_pairs():
    pytest.importorskip("tblite")
    pytest.importorskip("rdkit")
    rng = np.random.default_rng(0)
    products = [
        np.prod([fragment(name).charge for name in molecules("CC", rng)]) for _ in range(400)
    ]
    assert np.mean(np.array(products) == 1) == pytest.approx(0.15, abs=0.05)


@pytest.mark.parametrize("name", SETS)
def test_curves_that_ship_are_whole_rigid_and_split_by_dimer(name):
    points = {"relaxed-dimers": 7, "relaxed-neutral-dimers": 13}[name]
    data = load(name, "test", index=f":{12 * points}")
    names = np.array(data.labels("dimer")).reshape(-1, points)
    assert (names == names[:, :1]).all()
    assert {split_of(dimer) for dimer in names[:, 0]} == set(data.labels("split")) == {"test"}
    steps = data.column("displacement").reshape(-1, points)
    np.testing.assert_allclose(steps, [np.linspace(-0.5, 2.5, points)] * len(names))
    places = data.structures.positions.split(data.structures.counts.tolist())
    for i, xyz in enumerate(places):
        molecules = data.atom_columns["monomer"][i]
        parts = [xyz.numpy()[molecules == side] for side in (0, 1)]
        assert len(parts[0]) == data.column("n_atoms_a")[i]
        first = places[i - i % points].numpy()
        for side, part in enumerate(parts):
            np.testing.assert_allclose(lengths(part), lengths(first[molecules == side]), atol=4e-5)
        apart = np.linalg.norm(parts[1].mean(axis=0) - parts[0].mean(axis=0))
        assert apart == pytest.approx(data.column("distance")[i], abs=2e-5)


@pytest.mark.skipif("relaxed-neutral-dimers" not in SETS, reason="the set is not here")
def test_neutral_curves_that_ship_have_no_high_walls_and_all_curves_of_the_table():
    nearest = load("relaxed-neutral-dimers", "test", index="::13")
    assert set(nearest.column("displacement")) == {-0.5}
    assert nearest.column("interaction_energy").max() <= HIGHEST_WALL[0]
    labels = nearest.labels("label")
    assert {k: labels.count(k) for k in set(labels)} == {
        k: COUNTS[k][1] for k in ("PP", "PA", "AA")
    }


def energies_again(data, method):
    """Interaction energies (eV) from the positions that ship."""
    found = []
    for frame in range(len(data)):
        mine = (data.structures.structure_index == frame).numpy()
        molecules = data.atom_columns["monomer"][frame]
        species = data.structures.species.numpy()[mine]
        positions = data.structures.positions.numpy()[mine]
        charges = [int(data.column(f"charge_{side}")[frame]) for side in "ab"]
        whole = method(species, positions, sum(charges))
        alone = [
            method(species[molecules == side], positions[molecules == side], charges[side])
            for side in (0, 1)
        ]
        found.append(HARTREE * (whole - sum(alone)))
    return found


@pytest.mark.skipif("relaxed-neutral-dimers" not in SETS, reason="the set is not here")
def test_neutral_energies_that_ship_are_computed_again():
    pytest.importorskip("tblite")
    data = load("relaxed-neutral-dimers", "test", index=":1500:499")

    def gfn2(species, positions, charge):
        return tblite_energy_and_gradient(species, bohr_of(positions), charge)[0]

    np.testing.assert_allclose(
        energies_again(data, gfn2), data.column("interaction_energy"), atol=2e-6
    )


@pytest.mark.slow
@pytest.mark.skipif("relaxed-dimers" not in SETS, reason="the set is not here")
def test_charged_energies_that_ship_are_computed_again():
    """Positions have six decimals; energies are converged to 1e-7 Hartree: 0.01 meV."""
    pytest.importorskip("pyscf")
    pytest.importorskip("dftd3")
    data = load("relaxed-dimers", "test", index=":8:6")

    def level(species, positions, charge):
        return hartree_fock(species, positions, charge).e_tot + dispersion(species, positions)

    np.testing.assert_allclose(
        energies_again(data, level), data.column("interaction_energy"), atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.skipif("relaxed-neutral-dimers" not in SETS, reason="the set is not here")
def test_the_column_of_monomers_gives_the_same_model_as_the_systems_subtraction():
    """`fragments` of a target subtract inside of the representation what `interaction` does."""
    learned, asked = (
        load("relaxed-neutral-dimers", part, index=index)
        for part, index in (("train", ":26"), ("test", ":13"))
    )
    model, species = models()[1], species_of(learned, asked)
    model = replace(model, estimator=Ridge(regularization=1e-6))
    _, values = learn_interaction([model], learned, asked, TARGET, species=species, group="dimer")
    predictor = train(
        model.representation(species),
        learned,
        replace(TARGET, fragments="monomer"),
        estimator=model.estimator,
        groups=group_numbers(learned, "dimer"),
    )
    np.testing.assert_allclose(values[:, 0], predictor.predict(asked).values, atol=1e-9)


def test_units_of_moves():
    """Ångström: the energy of a stretched bond of the same engine, per Bohr, is 0.53 of it."""
    pair = pair_of("water", "ammonium")
    _, gradient = tblite_energy_and_gradient(
        pair.species, bohr_of(pair.at(pair.contact)), pair.a.charge + pair.b.charge
    )
    force = gradient[len(pair.first) :].sum(axis=0) / BOHR
    np.testing.assert_allclose(rigid_energy(pair, None)[1][:3], force, rtol=1e-6)
