"""Calculators of ASE: ours and those of others pass, and each check finds what it is for."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from multilode.engines.calculator import PredictorCalculator
from multilode.models import Ridge
from multilode.testing import CALCULATOR_CHECKS, check_calculator
from salt import crystals, trained

# slabs, wires and molecules are not like the crystals of the training
pytestmark = pytest.mark.filterwarnings(
    "ignore:the surroundings of atom:multilode.errors.DataWarning"
)


def crystal():
    image = crystals(3)[1]
    image.rattle(0.1, seed=7)
    return image


def slab():
    image = crystals(3)[2]
    image.pbc = (True, True, False)
    return image


def molecule():
    return Atoms("NaClClNa", [[0, 0, 0], [2.5, 0.1, 0], [0.2, 2.4, 0.3], [2.6, 2.7, 0.9]])


def copper_layer():
    image = fcc111("Cu", (1, 2, 2), vacuum=8.0)
    image.rattle(0.1, seed=3)
    return image


def argon():
    image = bulk("Ar", a=5.2) * (2, 1, 1)
    image.rattle(0.1, seed=3)
    return image


def lennard_jones():
    return LennardJones(sigma=3.4, epsilon=0.01, rc=8.0, ro=6.0, smooth=True)


@pytest.fixture(scope="module")
def model():
    return trained(Ridge(regularization=1e-6, term_weights=(1.0,)))


@pytest.mark.parametrize("make", [crystal, slab, molecule], ids=lambda f: f.__name__)
def test_ours(model, make):
    # the potentials of the atoms of a layer grow with the distance from it
    skip = ["extensivity"] if make is slab else []
    atoms = make()
    outcomes = check_calculator(
        lambda: PredictorCalculator(model, tolerance=None), atoms, skip=skip
    )
    names = {outcome.check for outcome in outcomes}
    left_out = {
        "crystal": {"extensivity", "dissociation"},
        "slab": {"extensivity", "dissociation"},
        "molecule": {"wrapping", "strain", "supercell"},
    }[make.__name__]
    assert names == set(CALCULATOR_CHECKS) - left_out


@pytest.mark.parametrize(
    ("make", "atoms"), [(EMT, copper_layer), (lennard_jones, argon), (lennard_jones, molecule)]
)
def test_those_of_ase(make, atoms):
    check_calculator(make, atoms())


class Wrong(LennardJones):
    """With something added that one check is for."""

    def __init__(self, kind):
        super().__init__(sigma=3.4, epsilon=0.01, rc=8.0, ro=6.0, smooth=True)
        self.kind, self.calls = kind, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, list(properties), list(system_changes))
        self.calls += 1
        energy, forces, change = ADDED[self.kind](self.atoms, self.calls)
        self.results["energy"] += energy
        self.results["forces"] = self.results["forces"] * (1 + forces)
        if "stress" in self.results:
            self.results["stress"] = self.results["stress"] * (1 + change)


def apart(atoms):
    return float(np.linalg.norm(atoms.positions[0] - atoms.positions[-1]))


# energy that is added, and what forces and stresses are multiplied with
ADDED = {
    "repeat": lambda atoms, calls: (1e-3 * (calls - 1), 0, 0),
    "translation": lambda atoms, calls: (1e-3 * atoms.positions[0, 0], 0, 0),
    "rotation": lambda atoms, calls: (1e-3 * atoms.positions[:, 0].var(), 0, 0),
    "permutation": lambda atoms, calls: (1e-3 * apart(atoms), 0, 0),
    "wrapping": lambda atoms, calls: (1e-3 * apart(atoms), 0, 0),
    "gradients": lambda atoms, calls: (0, 0.01, 0),
    "strain": lambda atoms, calls: (0, 0, 0.01),
    "supercell": lambda atoms, calls: (1e-3, 0, 0),
    "extensivity": lambda atoms, calls: (1e-3, 0, 0),
    "dissociation": lambda atoms, calls: (1e-3 * (len(atoms) > 1), 0, 0),
}


@pytest.mark.parametrize("kind", CALCULATOR_CHECKS)
def test_each_check_finds_what_it_is_for(kind):
    isolated = kind in ("extensivity", "dissociation", "rotation", "permutation")
    atoms = molecule() if isolated else argon()
    others = [name for name in CALCULATOR_CHECKS if name != kind]
    with pytest.raises(AssertionError, match=rf"checks of a calculator:\n  {kind}: FAILED, [\d.]+"):
        check_calculator(lambda: Wrong(kind), atoms, skip=others)
    if kind != "repeat":  # which all others feel, computed by one calculator
        skip = {kind, "strain", "supercell", *LIKEWISE.get(kind, [])}
        check_calculator(lambda: Wrong(kind), atoms, skip=sorted(skip))


# checks that find the same mistake
LIKEWISE = {
    "translation": ["rotation", "permutation", "wrapping", "gradients", "strain", "supercell"],
    "rotation": ["gradients", "extensivity", "dissociation"],
    "permutation": ["gradients", "extensivity", "dissociation"],
    "wrapping": ["gradients", "strain", "supercell"],
    "extensivity": ["dissociation"],
    "dissociation": ["extensivity"],
}


def test_a_calculator_that_fails_and_a_check_that_is_not_there():
    with pytest.raises(AssertionError, match=r"repeat: FAILED, inf .*NotImpl"):
        check_calculator(EMT, Atoms("Na2", [[0, 0, 0], [3, 0, 0]]))
    with pytest.raises(ValueError, match="no check is called 'charge'; use repeat, translation"):
        check_calculator(EMT, molecule(), skip=["charge"])
