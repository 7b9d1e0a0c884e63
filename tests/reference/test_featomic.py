"""Numbers laid beside featomic, computed by it during the test.

featomic sums over the sphere |k| < 9 / smearing with its own splines switched off. Our numbers are
the defaults that a user gets.
"""

import featomic
import numpy as np
import pytest
import torch
from featomic.clebsch_gordan import PowerSpectrum

from crystals import (
    DIVERSE,
    block,
    largest,
    slab_with_vacuum,
    species_of,
    structures_of,
    triclinic_perovskite,
    water_box,
    water_in_box,
)
from multilode.equivariants.labels import FeatureLabels
from multilode.expansion import FieldExpansion, ReciprocalSum, expand
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import RadialScaling, ShiftedCosine, StepCutoff
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.representation import Representation
from multilode.symmetry.irrep import INVARIANT
from often import often

N_RADIAL, MAX_ANGULAR, RADIUS = 4, 4, 3.0
GTO = GaussianTypeOrbitals(N_RADIAL, RADIUS)
CUTOFFS = {
    "step": (StepCutoff(), featomic.cutoff.Cutoff(RADIUS, featomic.cutoff.Step())),
    "cosine": (
        ShiftedCosine(0.7),
        featomic.cutoff.Cutoff(RADIUS, featomic.cutoff.ShiftedCosine(width=0.7)),
    ),
}


def peer_basis():
    radial = featomic.basis.Gto(max_radial=N_RADIAL - 1, radius=RADIUS)
    return featomic.basis.TensorProduct(
        max_angular=MAX_ANGULAR, radial=radial, spline_accuracy=None
    )


def peer_potential(smearing, exponent, center_weight=1.0):
    return featomic.LodeSphericalExpansion(
        density=featomic.density.SmearedPowerLaw(
            smearing=smearing, exponent=exponent, center_atom_weight=center_weight
        ),
        basis=peer_basis(),
        k_cutoff=9 / smearing,
    )


def peer_density(smearing, cutoff, center_weight=1.0):
    return featomic.SphericalExpansion(
        cutoff=cutoff,
        density=featomic.density.Gaussian(width=smearing, center_atom_weight=center_weight),
        basis=peer_basis(),
    )


def largest_difference(ours, peer, species):
    """Over all blocks of the peer; those that it leaves out (no such pair) must vanish in ours."""
    remaining = {l: block(ours, l).clone() for l in range(MAX_ANGULAR + 1)}
    for key, theirs in peer.items():
        atoms = torch.from_numpy(np.array(theirs.samples.column("atom"), dtype=np.int64))
        first = species.index(int(key["neighbor_type"])) * N_RADIAL
        columns = slice(first, first + N_RADIAL)
        remaining[int(key["o3_lambda"])][atoms, :, columns] -= torch.from_numpy(
            np.array(theirs.values)
        )
    return max(float(rest.abs().max()) for rest in remaining.values())


# large cells have many waves of a narrow field
LARGE = ("molecule in a box", "slab in a box", "water, 96 atoms")
CASES = [(n, p, s) for n in DIVERSE for p in (0, 1, 2, 3, 4, 5, 6) for s in (0.7, 1.0)]


@pytest.mark.parametrize(
    ("name", "exponent", "smearing"),
    often(CASES, [c for c in CASES if c[2] == 1.0 or (c[0] not in LARGE and c[1] in (0, 1, 3, 6))]),
)
def test_coefficients_of_crystals(name, exponent, smearing):
    atoms = DIVERSE[name]()
    species = species_of(atoms)
    if exponent == 0:
        reach = GTO.support + 9 * smearing
        expansion = FieldExpansion(GaussianDensity(smearing), GTO, MAX_ANGULAR, reach)
        method = expand_reciprocally
    else:
        expansion = FieldExpansion(SmearedPotential(smearing, float(exponent)), GTO, MAX_ANGULAR)
        method = expand_closely
    ours = method(expansion, structures_of(atoms), species=species)
    peer = peer_potential(smearing, exponent).compute(atoms)
    assert largest_difference(ours, peer, species) < 1e-8 * largest(ours)


def expand_closely(expansion, structures, *, species):
    return expand(expansion, structures, species=species, tolerance=1e-10)


def expand_reciprocally(expansion, structures, *, species):
    return expand(expansion, structures, species=species, method=ReciprocalSum(1e-10))


@pytest.mark.parametrize("exponent", [1, 6])
@pytest.mark.parametrize("center_weight", [0.0, 0.3])
def test_center_weight_of_the_potential(exponent, center_weight):
    atoms = triclinic_perovskite()
    species = species_of(atoms)
    field = SmearedPotential(0.8, float(exponent))
    expansion = FieldExpansion(field, GTO, MAX_ANGULAR, center_weight=center_weight)
    ours = expand(expansion, structures_of(atoms), species=species)
    peer = peer_potential(0.8, exponent, center_weight).compute(atoms)
    assert largest_difference(ours, peer, species) < 1e-8 * largest(ours)


@pytest.mark.parametrize("center_weight", [1.0, 0.0])
@pytest.mark.parametrize("cutoff", CUTOFFS)
@pytest.mark.parametrize("name", DIVERSE)
def test_coefficients_of_the_density(name, cutoff, center_weight):
    atoms = DIVERSE[name]()
    species = species_of(atoms)
    mine, theirs = CUTOFFS[cutoff]
    expansion = FieldExpansion(
        GaussianDensity(0.5), GTO, MAX_ANGULAR, RADIUS, mine, center_weight=center_weight
    )
    ours = expand(expansion, structures_of(atoms), species=species)
    peer = peer_density(0.5, theirs, center_weight).compute(atoms)
    assert largest_difference(ours, peer, species) < 1e-8 * largest(ours)


def test_radial_scaling():
    atoms = triclinic_perovskite()
    species = species_of(atoms)
    scaling = RadialScaling(scale=1.7, exponent=3.0, rate=0.8, width=0.6)
    expansion = FieldExpansion(GaussianDensity(0.5), GTO, MAX_ANGULAR, RADIUS, scaling)
    ours = expand(expansion, structures_of(atoms), species=species)
    density = featomic.density.Gaussian(
        width=0.5, scaling=featomic.density.Willatt2018(exponent=3, rate=0.8, scale=1.7)
    )
    smooth = featomic.cutoff.Cutoff(RADIUS, featomic.cutoff.ShiftedCosine(width=0.6))
    peer = featomic.SphericalExpansion(cutoff=smooth, density=density, basis=peer_basis())
    assert largest_difference(ours, peer.compute(atoms), species) < 1e-8 * largest(ours)


MOLECULES = {
    "molecule in a box": water_in_box,
    "triclinic perovskite": triclinic_perovskite,
    "slab in a box": slab_with_vacuum,
    "water, 96 atoms": water_box,
}


def features_of(atoms, expansions, names):
    species = species_of(atoms)
    recipe = Representation(fields=expansions, products=(names,), species=species, centers=species)
    features = recipe.compute(structures_of(atoms))
    assert features.centers.tolist() == list(range(len(atoms)))
    return features.invariants[0], features.terms[0].labels[INVARIANT]


def dictionary(labels: FeatureLabels, columns):
    assert labels.names == ("species_1", "n_1", "species_2", "n_2", "l")
    return {tuple(int(v) for v in row): columns[:, i] for i, row in enumerate(labels.values)}


def check_general_spectrum(atoms, ours, peer):
    """featomic.PowerSpectrum keeps both orders of the channels and has a factor (-1)^l."""
    values, labels = ours
    mine = dictionary(labels, values)
    same_field = len(mine) < len(peer[0].properties)
    seen = set()
    for theirs in peer:
        atoms_here = np.array(theirs.samples.column("atom"), dtype=np.int64)
        for column, (l, a1, n1, a2, n2) in enumerate(theirs.properties.values.tolist()):
            key, weight = (a1, n1, a2, n2, l), (-1) ** l
            if same_field and (a1, n1) > (a2, n2):
                key = (a2, n2, a1, n1, l)
            if same_field and (a1, n1) != (a2, n2):
                weight *= np.sqrt(2)
            expected = weight * np.array(theirs.values)[:, column]
            error = np.abs(mine[key].numpy()[atoms_here] - expected).max()
            assert error < 1e-8 * float(values.abs().max()), key
            seen.add(key)
    assert seen == mine.keys()


SMALLER = [name for name in MOLECULES if name != "molecule in a box"]


@pytest.mark.parametrize("cutoff", CUTOFFS)
@pytest.mark.parametrize("name", often(MOLECULES, SMALLER))
def test_spectrum_of_density_and_potential(name, cutoff):
    atoms = MOLECULES[name]()
    mine, theirs = CUTOFFS[cutoff]
    expansions = {
        "rho": FieldExpansion(GaussianDensity(0.5), GTO, MAX_ANGULAR, RADIUS, mine),
        "V": FieldExpansion(SmearedPotential(0.8, 1.0), GTO, MAX_ANGULAR),
    }
    ours = features_of(atoms, expansions, ("rho", "V"))
    peer = PowerSpectrum(peer_density(0.5, theirs), peer_potential(0.8, 1)).compute(atoms)
    check_general_spectrum(atoms, ours, list(peer.blocks()))


@pytest.mark.parametrize("exponent", [1, 4])
@pytest.mark.parametrize("name", often(MOLECULES, SMALLER))
def test_spectrum_of_the_potential_with_itself(name, exponent):
    atoms = MOLECULES[name]()
    expansions = {"V": FieldExpansion(SmearedPotential(0.8, float(exponent)), GTO, MAX_ANGULAR)}
    ours = features_of(atoms, expansions, ("V", "V"))
    peer = PowerSpectrum(peer_potential(0.8, exponent)).compute(atoms)
    check_general_spectrum(atoms, ours, list(peer.blocks()))


@pytest.mark.parametrize("cutoff", CUTOFFS)
@pytest.mark.parametrize("name", MOLECULES)
def test_spectrum_of_the_density_with_itself(name, cutoff):
    """SoapPowerSpectrum stores species once, with sqrt2, but still every pair (n_1, n_2)."""
    atoms = MOLECULES[name]()
    mine, theirs = CUTOFFS[cutoff]
    expansions = {"rho": FieldExpansion(GaussianDensity(0.5), GTO, MAX_ANGULAR, RADIUS, mine)}
    values, labels = features_of(atoms, expansions, ("rho", "rho"))
    ours = dictionary(labels, values)
    peer = featomic.SoapPowerSpectrum(
        cutoff=theirs, density=featomic.density.Gaussian(width=0.5), basis=peer_basis()
    ).compute(atoms)
    seen = set()
    for key, theirs_block in peer.items():
        a1, a2 = int(key["neighbor_1_type"]), int(key["neighbor_2_type"])
        atoms_here = np.array(theirs_block.samples.column("atom"), dtype=np.int64)
        for column, (l, n1, n2) in enumerate(theirs_block.properties.values.tolist()):
            pair = ((a1, n1), (a2, n2)) if (a1, n1) <= (a2, n2) else ((a2, n2), (a1, n1))
            weight = np.sqrt(2) if a1 == a2 and n1 != n2 else 1.0
            expected = (-1) ** l * weight * np.array(theirs_block.values)[:, column]
            feature = (*pair[0], *pair[1], l)
            error = np.abs(ours[feature].numpy()[atoms_here] - expected).max()
            assert error < 1e-8 * float(values.abs().max()), feature
            seen.add(feature)
    assert seen == ours.keys()
