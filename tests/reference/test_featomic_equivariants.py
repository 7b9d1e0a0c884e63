"""Products of fields laid beside those of featomic, computed by it during the test."""

import featomic
import numpy as np
import pytest
from featomic.clebsch_gordan import DensityCorrelations, EquivariantPowerSpectrum
from metatensor import Labels

from crystals import species_of, structures_of, triclinic_perovskite
from multilode.correlations import correlate, equivariant_power_spectrum
from multilode.expansion import FieldExpansion, expand
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import ShiftedCosine
from multilode.radial import GaussianTypeOrbitals
from multilode.symmetry.irrep import Irrep

N_RADIAL, MAX_ANGULAR, RADIUS = 2, 2, 3.0
GTO = GaussianTypeOrbitals(N_RADIAL, RADIUS)
ATOMS = triclinic_perovskite()
SPECIES = species_of(ATOMS)
IRREPS = [Irrep(0), *(Irrep(l, parity) for l in (1, 2, 3) for parity in (1, -1))]


def peer_basis():
    radial = featomic.basis.Gto(max_radial=N_RADIAL - 1, radius=RADIUS)
    return featomic.basis.TensorProduct(
        max_angular=MAX_ANGULAR, radial=radial, spline_accuracy=None
    )


def peer_density():
    return featomic.SphericalExpansion(
        cutoff=featomic.cutoff.Cutoff(RADIUS, featomic.cutoff.ShiftedCosine(width=0.7)),
        density=featomic.density.Gaussian(width=0.6),
        basis=peer_basis(),
    )


def peer_potential():
    return featomic.LodeSphericalExpansion(
        density=featomic.density.SmearedPowerLaw(smearing=0.8, exponent=1),
        basis=peer_basis(),
        k_cutoff=9 / 0.8,
    )


def density():
    expansion = FieldExpansion(GaussianDensity(0.6), GTO, MAX_ANGULAR, RADIUS, ShiftedCosine(0.7))
    return expand(expansion, structures_of(ATOMS), species=SPECIES, tolerance=1e-12)


def potential():
    expansion = FieldExpansion(SmearedPotential(0.8, 1.0), GTO, MAX_ANGULAR)
    return expand(expansion, structures_of(ATOMS), species=SPECIES, tolerance=1e-11)


def gram(block):
    return np.einsum("imq,jkq->imjk", block, block)


@pytest.mark.parametrize("order", [2, 3])
def test_scalar_products_of_one_field(order):
    """featomic multiplies in all orders, we in one with its weight."""
    neighbors = Labels(["neighbor_type"], np.array(SPECIES)[:, None])
    expanded = peer_density().compute(ATOMS).keys_to_properties(neighbors)
    product = DensityCorrelations(
        n_correlations=order - 1, max_angular=2 * MAX_ANGULAR, skip_redundant=False
    )
    keys = Labels(["o3_lambda", "o3_sigma"], np.array(IRREPS))
    theirs = product.compute(expanded, angular_cutoff=2 * MAX_ANGULAR, selected_keys=keys)
    field = density()
    ours = correlate([field] * order, IRREPS)
    for irrep in IRREPS:
        total = 0.0
        for kind in SPECIES:
            blocks = [
                np.array(b.values)
                for key, b in theirs.items()
                if (key["o3_lambda"], key["o3_sigma"], key["center_type"]) == (*irrep, kind)
            ]
            rows = np.flatnonzero(ATOMS.numbers == kind)
            expected = sum(gram(block) for block in blocks)
            found = gram(ours.blocks[irrep].numpy()[rows])
            scale = np.abs(expected).max()
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * scale)
            total += scale
        assert total > 0


def test_columns_of_two_fields():
    """All columns of featomic are ours up to a sign; it has none with l_1 > l_2, we do."""
    peer = EquivariantPowerSpectrum(peer_density(), peer_potential(), neighbor_types=list(SPECIES))
    theirs = peer.compute(ATOMS, neighbors_to_properties=True)
    ours = equivariant_power_spectrum(density(), potential(), IRREPS)
    names = ["species_1", "n_1", "l_1", "species_2", "n_2", "l_2"]
    peer_names = ["neighbor_1_type", "n_1", "l_1", "neighbor_2_type", "n_2", "l_2"]
    compared, in_peer = 0, {irrep: set() for irrep in IRREPS}
    for key, block in theirs.items():
        irrep = Irrep(int(key["o3_lambda"]), int(key["o3_sigma"]))
        if irrep not in IRREPS:
            continue
        assert ours.labels[irrep].names == tuple(names)
        place = {tuple(row): k for k, row in enumerate(ours.labels[irrep].values.tolist())}
        columns = [tuple(int(p[name]) for name in peer_names) for p in block.properties]
        mine = ours.blocks[irrep].numpy()[block.samples.column("atom")]
        mine = mine[:, :, [place[column] for column in columns]]
        values = np.array(block.values)
        pairs = np.array(columns)[:, 2::3]  # one sign for each l_1, l_2
        for pair in np.unique(pairs, axis=0):
            here = (pairs == pair).all(axis=1)
            sign = np.sign((mine[:, :, here] * values[:, :, here]).sum())
            np.testing.assert_allclose(
                sign * mine[:, :, here],
                values[:, :, here],
                rtol=0,
                atol=1e-8 * np.abs(values).max(),
            )
        in_peer[irrep] |= {column[2::3] for column in columns}
        compared += len(columns)
    assert compared > 0
    assert all(l1 <= l2 for pairs in in_peer.values() for l1, l2 in pairs)
    degrees = {tuple(row[2::3]) for row in ours.labels[Irrep(1)].values.tolist()}
    assert degrees == {(0, 1), (1, 0), (1, 2), (2, 1)}
