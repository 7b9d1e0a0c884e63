"""Polarisable atoms that act on each other: closed forms, iterated dipoles, quantum chemistry."""

import itertools
import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.special import erf

from multilode_papers.datasets import COLLECTION
from multilode_papers.makers import polypeptides, screening
from multilode_papers.makers.screening import screened_polarizability

CHECKS = COLLECTION.shipped / "polypeptides-check.json"
RNG = np.random.default_rng(4)
ATOMS = RNG.normal(size=(2, 6, 3)) * 2.5
ALPHAS = RNG.uniform(2, 9, size=(2, 6))


def test_two_distant_atoms():
    """Source: Silberstein (1917), for points: along and across the axis."""
    a, b, r = 5.0, 9.0, 12.0
    tensor = screened_polarizability(np.array([[[0.0, 0, 0], [0, 0, r]]]), np.array([[a, b]]))[0]
    along = (a + b + 4 * a * b / r**3) / (1 - 4 * a * b / r**6)
    across = (a + b - 2 * a * b / r**3) / (1 - a * b / r**6)
    np.testing.assert_allclose(tensor, np.diag([across, across, along]), rtol=1e-9, atol=1e-9)


def test_dipoles_by_iteration():
    """Each dipole in the field of the others, again and again, with a coupling by differences."""
    for positions, alphas, tensor in zip(
        ATOMS, ALPHAS, screened_polarizability(ATOMS, ALPHAS), strict=True
    ):
        widths = screening.WIDENING * (np.sqrt(2 / np.pi) * alphas / 3) ** (1 / 3)
        coupling = coupling_by_differences(positions, widths)
        dipoles = np.zeros((6, 3, 3))
        for _ in range(200):
            acting = np.eye(3) - np.einsum("ijxy,jyz->ixz", coupling, dipoles)
            dipoles = 0.5 * dipoles + 0.5 * alphas[:, None, None] * acting
        np.testing.assert_allclose(tensor, dipoles.sum(axis=0), rtol=2e-5, atol=2e-5)


def coupling_by_differences(positions, widths):
    """Energies of Gaussian dipoles, each a pair of charges a small distance apart."""
    step, energies = 1e-3, np.zeros((6, 6, 3, 3))
    for i, j in itertools.permutations(range(6), 2):
        spread = np.hypot(widths[i], widths[j]) / np.sqrt(2)
        for x, y in itertools.product(range(3), repeat=2):
            for s, t in itertools.product((1, -1), repeat=2):
                apart = positions[i] - positions[j] + step * (s * np.eye(3)[x] - t * np.eye(3)[y])
                r = np.linalg.norm(apart)
                energies[i, j, x, y] += s * t * erf(r / (np.sqrt(2) * spread)) / r / (4 * step**2)
    return energies


def test_turned_molecules():
    turn = Rotation.from_euler("zyx", [0.4, -1.2, 0.7]).as_matrix()
    before = screened_polarizability(ATOMS, ALPHAS)
    after = screened_polarizability(ATOMS @ turn.T + 3.0, ALPHAS)
    np.testing.assert_allclose(after, turn @ before @ turn.T, rtol=1e-12)


def test_screened_atoms_stay_stable():
    """Two atoms nearly in one place: Gaussians cannot diverge as points do."""
    near = np.array([[[0.0, 0, 0], [0, 0, 0.3]]])
    tensor = screened_polarizability(near, np.array([[8.0, 8.0]]))[0]
    assert np.all(np.linalg.eigvalsh(tensor) > 0)


def test_the_model_against_hartree_fock():
    """The table that ships: sizes within 8 %, anisotropies within 15 %; one of its rows anew."""
    table = json.loads(CHECKS.read_text())
    quantum, model = (
        np.array([row[key] for row in table["molecules"]]).reshape(-1, 3, 3)
        for key in ("hartree_fock", "model")
    )
    assert len(quantum) == 8
    for name, part in (("isotropic", isotropic), ("anisotropic", anisotropic)):
        a, b = part(model), part(quantum)
        assert np.corrcoef(a, b)[0, 1] > 0.95
        assert a @ b / (a @ a) == pytest.approx(1, abs=0.15)
        assert a @ b / (a @ a) == pytest.approx(table["statistics"][name]["slope"], abs=1e-3)
    pytest.importorskip("dftd4")
    row = table["molecules"][0]
    again = polypeptides.model_polarizability(
        np.array(row["species"]), np.array([row["positions"]], dtype=float)
    )
    np.testing.assert_allclose(again[0], model[0], atol=1e-3)


def isotropic(tensors):
    return np.trace(tensors, axis1=1, axis2=2) / 3


def anisotropic(tensors):
    return (tensors - isotropic(tensors)[:, None, None] * np.eye(3)).ravel()


def test_frames_of_the_model(tmp_path):
    pytest.importorskip("rdkit")
    pytest.importorskip("dftd4")
    data = polypeptides.make(tmp_path, count=3)
    assert [int(k) for k in data.column("kind")] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]
    assert data.labels("sequence")[:3] == ("ala", "arg", "asn")
    assert data.labels("split") == ("train",) * 6 + ("test",) * 9
    assert set(data.labels("model")) == {"D4 + dipole screening"}
    tensors = data.column("polarizability").reshape(-1, 3, 3)
    np.testing.assert_array_equal(tensors, tensors.transpose(0, 2, 1))
    assert np.all(np.linalg.eigvalsh(tensors) > 20)
    one = data.structures.select([0])
    again = polypeptides.model_polarizability(one.species.numpy(), one.positions.numpy()[None])
    np.testing.assert_allclose(again[0], tensors[0], atol=6e-4)
    amounts = [sum(data.structures.species[: one.n_atoms] == z) for z in (6, 7, 8, 1)]
    assert [int(n) for n in amounts] == [3, 1, 2, 7]  # alanine, neutral


def test_missing_engine_is_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rdkit", None)
    monkeypatch.setitem(__import__("sys").modules, "rdkit.Chem", None)
    with pytest.raises(polypeptides.EngineError, match="needs rdkit, which is not installed"):
        polypeptides.conformations("G", 1, seed=1)
