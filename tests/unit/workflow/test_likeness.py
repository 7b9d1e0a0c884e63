"""Energies against forces of neighboring structures, without a model."""

from functools import cache

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from multilode.data.ase_atoms import from_ase
from multilode.workflow.likeness import contradictions


@cache
def rattled(seed, n=24, size=0.25):
    """Crystals of argon, whose repulsion is felt, with energies and forces."""
    images, energies, forces = [], [], []
    for k in range(n):
        image = bulk("Ar", "fcc", a=5.26, cubic=True)
        image.rattle(size, seed=1000 * seed + k)
        image.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=6.0)
        energies.append(image.get_potential_energy())
        forces.append(image.get_forces())
        image.calc = None
        images.append(image)
    return from_ase(images).structures, np.array(energies), np.concatenate(forces)


@pytest.mark.parametrize("seed", [9, 11, 17])
def test_a_steep_repulsion_is_no_other_unit(seed):
    """Of seeds 11 and 17, sums of squares change less than half as much as the work of forces."""
    found = contradictions(*rattled(seed))
    assert found is not None
    assert found.correlation > 0.9
    assert not found.other_unit


@pytest.mark.parametrize("factor", [27.2114, 1 / 27.2114, 4.184, 1 / 23.06])
def test_another_unit_is_found_in_spite_of_it(factor):
    structures, energies, forces = rattled(11)
    found = contradictions(structures, factor * energies, forces)
    assert found is not None
    assert found.other_unit
    assert 0.5 < found.factors[1] / factor < 1.1


def test_a_wrong_sign_is_found_in_spite_of_it():
    structures, energies, forces = rattled(11)
    found = contradictions(structures, energies, -forces)
    assert found is not None
    assert found.correlation < -0.8
    assert not found.other_unit


def test_energies_that_have_nothing_to_do_with_forces_have_no_unit():
    structures, energies, forces = rattled(11)
    noise = np.random.default_rng(0).normal(size=len(energies))
    found = contradictions(structures, noise, forces)
    assert found is not None
    assert abs(found.correlation) < 0.8
    assert not found.other_unit
