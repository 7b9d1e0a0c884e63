"""Water in boxes: dielectric tensors by other ways, forces, the structure of the liquid."""

import numpy as np
import pytest

from multilode_papers.makers import water_dielectric
from multilode_papers.makers.box_sums import dielectric_tensor, dipole_coupling
from multilode_papers.makers.water_boxes import MOLECULES, energy, forces, initial_boxes, simulate
from multilode_papers.makers.water_dielectric import model_dielectric, vibrating

SPREAD = 0.3
LATTICES = {
    "simple": np.zeros((1, 3)),
    "body-centred": np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]),
    "face-centred": np.array([[0.0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]),
}


@pytest.mark.parametrize("name", LATTICES)
@pytest.mark.parametrize("alpha", [0.4, 2.0])
def test_clausius_mossotti(name, alpha):
    sites, length = 4.0 * LATTICES[name] + 0.7, 4.0
    tensors = np.tile(alpha * np.eye(3), (len(sites), 1, 1))
    x = 4 * np.pi / 3 * alpha * len(sites) / length**3
    expected = (1 + 2 * x) / (1 - x) * np.eye(3)
    epsilon = dielectric_tensor(sites, tensors, length, 0.1)
    np.testing.assert_allclose(epsilon, expected, rtol=1e-8, atol=1e-8)


def test_coupling_by_images():
    """Spheres of images with a soft edge see a vacuum; a conductor adds -4π/3V to each pair."""
    length, sites = 3.0, np.array([[0.0, 0, 0], [0.9, 1.3, 0.2]])
    steps = np.arange(-26, 27)
    images = length * np.stack(np.meshgrid(*(steps,) * 3), axis=-1).reshape(-1, 3)
    expected = np.zeros((2, 2, 3, 3))
    for i in range(2):
        for j in range(2):
            d = sites[i] - sites[j] + images
            r = np.linalg.norm(d, axis=1)
            d, r = d[(r > 1e-9) & (r < 70)], r[(r > 1e-9) & (r < 70)]
            soft = 0.5 * (1 - np.tanh(np.clip((r - 45) / 5, -50, 50)))
            expected[i, j] = np.eye(3) * np.sum(soft / r**3) - 3 * np.einsum(
                "n,nx,ny->xy", soft / r**5, d, d
            )
            expected[i, j] -= 4 * np.pi / (3 * length**3) * np.eye(3)
    coupling = dipole_coupling(sites, length, 0.1)  # narrow, as points
    np.testing.assert_allclose(coupling, expected, atol=1e-6)


def test_coupling_does_not_depend_on_the_split(monkeypatch):
    sites = np.random.default_rng(1).uniform(0, 5, size=(4, 3))
    once = dipole_coupling(sites, 5.0, SPREAD)
    monkeypatch.setattr("multilode_papers.makers.box_sums._WIDE", 0.12)
    np.testing.assert_allclose(dipole_coupling(sites + 5, 5.0, SPREAD), once, atol=1e-8)


def test_dipoles_in_a_small_field():
    """The field of iterated dipoles, with coupled sites of different anisotropic tensors."""
    rng = np.random.default_rng(3)
    sites, length = rng.uniform(0, 6, size=(5, 3)), 6.0
    roots = rng.normal(size=(5, 3, 3))
    tensors = np.eye(3) + 0.1 * roots @ roots.transpose(0, 2, 1)
    coupling = dipole_coupling(sites, length, 0.6)
    polarization = np.zeros((3, 3))
    for axis in range(3):
        dipoles = np.zeros((5, 3))
        for _ in range(300):
            acting = np.eye(3)[axis] - np.einsum("ijxy,jy->ix", coupling, dipoles)
            dipoles = 0.7 * dipoles + 0.3 * np.einsum("ixy,iy->ix", tensors, acting)
        polarization[axis] = dipoles.sum(axis=0) / length**3
    epsilon = dielectric_tensor(sites, tensors, length, 0.6)
    np.testing.assert_allclose(epsilon, np.eye(3) + 4 * np.pi * polarization, atol=1e-9)


def test_forces():
    rng = np.random.default_rng(0)
    lengths = np.array([9.5, 10.4])
    boxes = initial_boxes(lengths, rng)
    boxes += 0.05 * rng.normal(size=boxes.shape)
    direction = rng.normal(size=boxes.shape)
    ends = [energy(boxes + s * direction, lengths) for s in (1e-5, -1e-5)]
    work = -np.sum(forces(boxes, lengths) * direction, axis=(1, 2, 3))
    np.testing.assert_allclose((ends[0] - ends[1]) / 2e-5, work, rtol=1e-6)


def test_images_of_molecules_make_no_difference():
    lengths = np.array([9.7])
    boxes = initial_boxes(lengths, np.random.default_rng(5))
    moved = boxes + 9.7 * np.random.default_rng(6).integers(-2, 3, size=(1, MOLECULES, 1, 3))
    np.testing.assert_allclose(energy(moved, lengths), energy(boxes, lengths), rtol=1e-10)
    one = model_dielectric(boxes[0], 9.7)
    np.testing.assert_allclose(model_dielectric(moved[0], 9.7), one, atol=1e-8)


def test_spread_of_bonds_and_angles():
    lengths = np.full(12, 9.9)
    rng = np.random.default_rng(8)
    boxes = initial_boxes(lengths, rng)
    moved = vibrating(boxes, rng)
    bonds = moved[:, :, 1:] - moved[:, :, :1]
    size = np.linalg.norm(bonds, axis=-1)
    assert size.mean() == pytest.approx(0.977, abs=0.01)
    assert size.std() == pytest.approx(0.069, abs=0.006)
    assert size.max() <= 1.28
    cosine = np.einsum("bmx,bmx->bm", bonds[:, :, 0], bonds[:, :, 1]) / size.prod(axis=-1)
    assert np.degrees(np.arccos(cosine)).std() == pytest.approx(9.0, abs=1.2)
    normal = np.cross(boxes[:, :, 1] - boxes[:, :, 0], boxes[:, :, 2] - boxes[:, :, 0])
    out_of_plane = np.einsum("bmhx,bmx->bmh", bonds, normal)
    np.testing.assert_allclose(out_of_plane, 0, atol=1e-10)


@pytest.mark.slow
def test_liquid():
    """Neighbours at 2.8 Å, four of them, no ice; the temperature is that of the thermostat."""
    rng = np.random.default_rng(1)
    lengths = np.full(4, 9.865)
    boxes, speeds = simulate(initial_boxes(lengths, rng), lengths, 3000, rng)
    distances, kinetic = [], []
    for _ in range(20):
        boxes, speeds = simulate(boxes, lengths, 100, rng, speeds)
        oxygens = boxes[:, :, 0]
        d = oxygens[:, :, None] - oxygens[:, None]
        d -= 9.865 * np.rint(d / 9.865)
        r = np.linalg.norm(d, axis=-1)
        distances.append(r[r > 0.1])
        kinetic.append(np.mean(speeds[:, :, 0] ** 2) * 16 / 4.184e-4 / 0.001987204)
    counts, edges = np.histogram(np.concatenate(distances), bins=np.arange(2.0, 4.9, 0.1))
    middle = 0.5 * (edges[1:] + edges[:-1])
    density = MOLECULES / 9.865**3 * 4 * np.pi * middle**2 * 0.1 * 80 * MOLECULES
    shape = counts / density
    assert 2.6 < middle[shape.argmax()] < 2.95
    assert 2.2 < shape.max() < 4.0
    assert 3.5 < counts[edges[1:] <= 3.35].sum() / (80 * MOLECULES) < 6
    assert np.mean(kinetic) == pytest.approx(300, rel=0.05)


def test_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(water_dielectric, "WARM_UP", 300)
    monkeypatch.setattr(water_dielectric, "BETWEEN", 1)
    monkeypatch.setattr(water_dielectric, "REPLICAS", 3)
    monkeypatch.setattr(water_dielectric, "SNAPSHOTS", 2)
    data = water_dielectric.make(tmp_path, count=5)
    assert len(data) == 5
    assert data.labels("split") == ("train", "test", "test", "train", "test")
    epsilon = data.column("epsilon").reshape(-1, 3, 3)
    assert np.all(np.trace(epsilon, axis1=1, axis2=2) / 3 > 1.6)
    assert np.all(np.trace(epsilon, axis1=1, axis2=2) / 3 < 2.1)
    first = data.structures.select([0])
    length = float(first.cell[0, 0, 0])
    molecules = first.positions.numpy().reshape(-1, 3, 3)
    assert np.all((molecules[:, 0] >= 0) & (molecules[:, 0] <= length))
    np.testing.assert_allclose(model_dielectric(molecules, length), epsilon[0], atol=1e-6)
