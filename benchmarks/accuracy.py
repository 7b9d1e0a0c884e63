"""Print how far coefficients deviate from those of featomic, which the tests bound."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "reference"), str(TESTS / "physics")]

import test_featomic as peer  # noqa: E402

from crystals import DIVERSE, largest, species_of, structures_of  # noqa: E402
from multilode.expansion import FieldExpansion, expand  # noqa: E402
from multilode.fields import GaussianDensity, SmearedPotential  # noqa: E402


def deviation(name, exponent, smearing):
    """Largest deviation of a coefficient over the largest coefficient of the structure."""
    atoms = DIVERSE[name]()
    species, structures = species_of(atoms), structures_of(atoms)
    if exponent == 0:
        reach = peer.GTO.support + 9 * smearing
        expansion = FieldExpansion(GaussianDensity(smearing), peer.GTO, peer.MAX_ANGULAR, reach)
        ours = peer.expand_reciprocally(expansion, structures, species=species)
    else:
        field = SmearedPotential(smearing, float(exponent))
        ours = expand(
            FieldExpansion(field, peer.GTO, peer.MAX_ANGULAR), structures, species=species
        )
    theirs = peer.peer_potential(smearing, exponent).compute(atoms)
    return peer.largest_difference(ours, theirs, species) / largest(ours)


def main():
    exponents = range(7)
    print(f"{'structure':32} {'smearing':>8} " + " ".join(f"{f'p = {p}':>8}" for p in exponents))
    for name in DIVERSE:
        for smearing in (0.7, 1.0):
            found = [deviation(name, p, smearing) for p in exponents]
            print(f"{name:32} {smearing:8} " + " ".join(f"{d:8.0e}" for d in found))


if __name__ == "__main__":
    main()
