"""What ships is what the makers of today make: some frames of each set, computed again."""

import numpy as np
import pytest

from multilode.data.io import read
from multilode_papers.datasets import COLLECTION
from multilode_papers.makers.lithium_water import binding_curve
from multilode_papers.makers.water_dielectric import model_dielectric

SHIPPED = COLLECTION.shipped


def test_lithium_water():
    test = read(SHIPPED / "lithium-water_test.xyz.gz")
    assert len(test) == 6 * 31
    number = int(test.column("configuration")[0])
    for k, frame in enumerate(binding_curve(f"water-{number:02d}")):
        np.testing.assert_allclose(
            test.structures.select([k]).positions.numpy(), frame.positions, atol=1e-9
        )
        for key in ("interaction_energy", "image_energy", "polarization"):
            np.testing.assert_allclose(test.column(key)[k], frame.values[key], atol=2e-8)
    assert set(test.labels("split")) == {"test"}
    assert not test.structures.pbc[:, 2].any()


def test_polypeptides():
    pytest.importorskip("dftd4")
    from multilode_papers.makers.polypeptides import model_polarizability

    test = read(SHIPPED / "polypeptides_test.xyz.gz")
    kinds = test.column("kind").astype(int)
    assert [int(n) for n in np.bincount(kinds)] == [0, 0, 30, 20, 16, 10]
    for k in (0, 29, 40, 75):
        one = test.structures.select([k])
        tensor = model_polarizability(one.species.numpy(), one.positions.numpy()[None])[0]
        np.testing.assert_allclose(tensor.ravel(), test.column("polarizability")[k], atol=1e-3)


def test_water_dielectric():
    test = read(SHIPPED / "water-dielectric_test.xyz.gz")
    assert len(test) == 200
    for k in (0, 77, 199):
        one = test.structures.select([k])
        molecules = one.positions.numpy().reshape(-1, 3, 3)
        epsilon = model_dielectric(molecules, float(one.cell[0, 0, 0]))
        np.testing.assert_allclose(epsilon.ravel(), test.column("epsilon")[k], atol=2e-7)


def test_water_dielectric_is_a_liquid():
    """Oxygens first meet at 2.75 Å; O-H up to 1.28 Å; densities on both sides of 1 g/cm³."""
    test = read(SHIPPED / "water-dielectric_test.xyz.gz")
    molecules = test.structures.positions.numpy().reshape(200, 32, 3, 3)
    lengths = test.structures.cell[:, 0, 0].numpy()
    d = molecules[:, :, None, 0] - molecules[:, None, :, 0]
    d -= lengths[:, None, None, None] * np.rint(d / lengths[:, None, None, None])
    r = np.linalg.norm(d, axis=-1)
    counts, edges = np.histogram(r, bins=np.arange(2.0, 4.6, 0.1))
    middle = 0.5 * (edges[1:] + edges[:-1])
    assert middle[np.argmax(counts[:12] / middle[:12] ** 2)] == pytest.approx(2.75, abs=0.11)
    bonds = np.linalg.norm(molecules[:, :, 1:] - molecules[:, :, :1], axis=-1)
    assert 1.2 < bonds.max() < 1.281
    masses = 32 * 18.015 / 0.60221408 / lengths**3
    assert masses.min() < 0.95 < 1.0 < masses.max()
