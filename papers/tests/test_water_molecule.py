"""The water molecule of the models: its fit, its table of checks, its rotations."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from multilode_papers.datasets import COLLECTION
from multilode_papers.makers import water_molecule
from multilode_papers.makers.engines import BOHR
from multilode_papers.makers.water_molecule import dipole, polarizability, water

TABLE = COLLECTION.shipped / "water-molecule.json"
ROWS = json.loads(TABLE.read_text())["geometries"]
SHAPES = [water(*row["geometry"]) for row in ROWS]


def test_near_hartree_fock():
    """At six geometries that the fit did not see."""
    assert len(ROWS) == 6
    for row, positions in zip(ROWS, SHAPES, strict=True):
        error = dipole(positions) - row["dipole"]
        assert np.abs(error).max() < 0.003
        error = polarizability(positions) - np.reshape(row["polarizability"], (3, 3))
        assert np.abs(error).max() < 0.04


def test_near_experiment():
    """1.855 D and 1.45 Å³; Hartree-Fock is 10 % above the one and 16 % below the other."""
    free = water(0.9572, 0.9572, 104.52)
    assert np.linalg.norm(dipole(free)) == pytest.approx(0.386, rel=0.12)
    assert np.trace(polarizability(free)) / 3 == pytest.approx(1.45, rel=0.17)


def test_rotation():
    turn = Rotation.from_euler("zyx", [0.3, 1.1, -0.4]).as_matrix()
    for shape in SHAPES:
        np.testing.assert_allclose(dipole(shape @ turn.T), turn @ dipole(shape), atol=1e-12)
        turned = turn @ polarizability(shape) @ turn.T
        np.testing.assert_allclose(polarizability(shape @ turn.T), turned, atol=1e-12)


def test_hydrogens_are_alike():
    for shape in SHAPES:
        swapped = shape[[0, 2, 1]]
        np.testing.assert_allclose(dipole(swapped), dipole(shape), atol=1e-14)
        np.testing.assert_allclose(polarizability(swapped), polarizability(shape), atol=1e-14)


def linear_in(parameters: str, function, shapes) -> np.ndarray:
    """Columns: the values of a function for one parameter of value 1, all others 0."""
    count = len(getattr(water_molecule, parameters))
    columns = []
    for unit in np.eye(count):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(water_molecule, parameters, tuple(unit))
            columns.append(np.concatenate([function(shape).ravel() for shape in shapes]))
    return np.stack(columns, axis=1)


@pytest.mark.slow
def test_the_table_and_the_fit_from_new_calculations():
    pytest.importorskip("pyscf")
    from multilode_papers.makers.finite_field import dipole_and_polarizability

    rng = np.random.default_rng(11)
    drawn = [(0.9572, 0.9572, 104.52)]
    for _ in range(39):
        bonds = 0.97 + 0.06 * rng.normal(size=2)
        drawn.append(tuple(np.round([*bonds, 105.0 + 8 * rng.normal()], 4).tolist()))
    assert [row["geometry"] for row in ROWS] == [list(shape) for shape in drawn[:6]]
    shapes = [water(*shape) for shape in drawn]
    computed = [dipole_and_polarizability(np.array([8, 1, 1]), shape) for shape in shapes]
    for row, (moment, tensor) in zip(ROWS, computed[:6], strict=True):
        np.testing.assert_allclose(moment * BOHR, row["dipole"], atol=2e-5)
        np.testing.assert_allclose(tensor.ravel() * BOHR**3, row["polarizability"], atol=2e-4)
    for name, function, values in (
        ("CHARGE", dipole, [moment * BOHR for moment, _ in computed[6:]]),
        ("POLARIZABILITY", polarizability, [tensor * BOHR**3 for _, tensor in computed[6:]]),
    ):
        columns = linear_in(name, function, shapes[6:])
        fitted = np.linalg.lstsq(columns, np.concatenate([v.ravel() for v in values]))[0]
        np.testing.assert_allclose(fitted, getattr(water_molecule, name), atol=1e-4)
