"""Tensor maps and hyper-parameters of featomic, and ours."""

import featomic
import numpy as np
import pytest
import torch
from featomic.clebsch_gordan import PowerSpectrum

from crystals import slab_with_vacuum, triclinic_perovskite
from multilode.data.ase_atoms import from_ase
from multilode.engines.featomic_hypers import from_featomic
from multilode.engines.tensor_maps import from_metatensor, to_metatensor
from multilode.errors import UserError
from multilode.representation.representation import Representation
from multilode.symmetry.irrep import Irrep

BASIS = featomic.basis.TensorProduct(
    max_angular=2, radial=featomic.basis.Gto(max_radial=2, radius=3.0), spline_accuracy=None
)
SMOOTH = featomic.cutoff.Cutoff(3.0, featomic.cutoff.ShiftedCosine(width=0.6))
LOCAL = featomic.SphericalExpansion(
    cutoff=SMOOTH,
    density=featomic.density.Gaussian(
        width=0.5, scaling=featomic.density.Willatt2018(exponent=3, rate=0.8, scale=1.7)
    ),
    basis=BASIS,
)
STEP = featomic.SphericalExpansion(
    cutoff=featomic.cutoff.Cutoff(3.0, featomic.cutoff.Step()),
    density=featomic.density.Gaussian(width=0.5, center_atom_weight=0.5),
    basis=BASIS,
)
FAR = featomic.LodeSphericalExpansion(
    density=featomic.density.SmearedPowerLaw(smearing=1.0, exponent=1), basis=BASIS, k_cutoff=9.0
)
IMAGES = [triclinic_perovskite(), slab_with_vacuum()]
SPECIES = tuple(int(z) for z in np.unique(np.concatenate([image.numbers for image in IMAGES])))


def recipe(products, **fields):
    return Representation(
        fields=fields, products=products, species=SPECIES, centers=SPECIES, tolerance=1e-10
    )


@pytest.mark.parametrize("peer", [LOCAL, STEP, FAR], ids=["local", "step", "far"])
def test_coefficients_are_the_blocks_of_featomic(peer):
    own = recipe((("f",),), f=from_featomic(peer.parameters))
    structures = from_ase(IMAGES).structures
    (ours,) = to_metatensor(own.coefficients(structures), structures)
    theirs = peer.compute(IMAGES)
    assert ours.keys.names == theirs.keys.names
    largest = max(np.abs(block.values).max() for block in theirs.blocks())
    for key, block in theirs.items():
        same = ours.block({name: int(key[name]) for name in theirs.keys.names})
        assert same.components == block.components
        assert same.properties == block.properties
        rows = same.samples.select(block.samples)
        np.testing.assert_allclose(same.values[rows], block.values, rtol=0, atol=1e-8 * largest)


def test_power_spectra_have_the_properties_of_featomic():
    own = recipe(
        (("rho", "V"),), rho=from_featomic(LOCAL.parameters), V=from_featomic(FAR.parameters)
    )
    (ours,) = to_metatensor(own.compute(IMAGES), IMAGES)
    theirs = PowerSpectrum(LOCAL, FAR).compute(IMAGES)
    largest = max(np.abs(block.values).max() for block in theirs.blocks())
    for key, block in theirs.items():
        same = ours.block(center_type=int(key["center_type"]))
        assert same.samples == block.samples
        assert set(same.properties.names) == set(block.properties.names)
        named = block.properties.values[
            :, [block.properties.names.index(name) for name in same.properties.names]
        ]
        columns = [same.properties.position(row) for row in named]
        sign = (-1.0) ** np.asarray(block.properties.column("l"))
        values = same.values[:, 0, columns] * sign
        expected = block.values.reshape(len(block.samples), -1)
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-8 * largest)


def test_features_come_back():
    fields = {"rho": from_featomic(LOCAL.parameters), "V": from_featomic(FAR.parameters)}
    own = recipe((("rho", "rho"), ("rho", "V")), **fields)
    structures = from_ase(IMAGES).structures
    for features in (own.compute(structures), own.coefficients(structures)):
        back = from_metatensor(to_metatensor(features, structures), structures)
        assert torch.equal(back.structure_index, features.structure_index)
        assert torch.equal(back.center_species, features.center_species)
        for ours, theirs in zip(features.terms, back.terms, strict=True):
            for irrep, block in ours.blocks.items():
                a, b = ours.labels[irrep], theirs.labels[irrep]
                assert a.names == b.names
                order = np.lexsort(a.values.T[::-1])
                assert np.array_equal(a.values[order], b.values)
                assert torch.equal(block[:, :, torch.from_numpy(order)], theirs.blocks[irrep])


def test_features_of_featomic_become_ours():
    found = from_metatensor([FAR.compute(IMAGES)], IMAGES)
    own = recipe((("V",),), V=from_featomic(FAR.parameters)).coefficients(IMAGES)
    for irrep in (Irrep(0), Irrep(2)):
        assert found.terms[0].labels[irrep].names == ("species", "n")
        ours = own.terms[0].blocks[irrep]
        error = (found.terms[0].blocks[irrep] - ours).abs().max()
        assert error < 1e-8 * ours.abs().max()
    soap = featomic.SoapPowerSpectrum(
        cutoff=SMOOTH, density=featomic.density.Gaussian(width=0.5), basis=BASIS
    )
    spectrum = from_metatensor([soap.compute(IMAGES)], IMAGES)
    names = spectrum.terms[0].labels[Irrep(0)].names
    assert names == ("species_1", "species_2", "l", "n_1", "n_2")
    assert spectrum.joined().shape[0] == sum(map(len, IMAGES))


PLAIN = {
    "cutoff": {"radius": 3.0, "smoothing": {"type": "Step"}},
    "density": {"type": "Gaussian", "width": 0.5},
    "basis": {
        "type": "TensorProduct",
        "max_angular": 2,
        "radial": {"type": "Gto", "max_radial": 2},
    },
}


def changed(*path, value):
    hypers = {k: dict(v) for k, v in PLAIN.items()}
    hypers["basis"]["radial"] = dict(PLAIN["basis"]["radial"])
    part = hypers
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return hypers


@pytest.mark.parametrize(
    ("hypers", "said"),
    [
        (changed("density", value={"type": "DiracDelta"}), "density.type: 'DiracDelta' has no"),
        (changed("basis", value={"type": "Explicit"}), "basis.type: 'Explicit' has no equivalent"),
        (changed("basis", "radial", value={"type": "Tabulated"}), "basis.radial.type: 'Tabulated'"),
        (changed("basis", "max_radial", value=3), "basis.max_radial: is not known"),
        (changed("cutoff", "radius", value=None), "cutoff.radius: is None; give a number"),
        (changed("cutoff", "radius", value=-1.0), "radius of a radial basis is -1.0 Å"),
        (changed("cutoff", "smoothing", value={"type": "Tanh"}), "cutoff.smoothing.type: 'Tanh'"),
        (changed("density", "scaling", value={"type": "Willatt2018"}), "goes to zero smoothly"),
        ({"density": PLAIN["density"]}, "basis: is missing"),
        ("{", "are no JSON"),
    ],
)
def test_what_has_no_equivalent_is_named(hypers, said):
    assert from_featomic(PLAIN).basis.n_radial == 3
    with pytest.raises(UserError, match=said):
        from_featomic(hypers)


def test_maps_of_another_kind_are_refused():
    with pytest.raises(UserError, match="samples are system"):
        from_metatensor([pooled(STEP.compute(IMAGES))], IMAGES)
    with pytest.raises(UserError, match="an atom that the structures do not have"):
        from_metatensor([STEP.compute(IMAGES)], IMAGES[:1])
    own = recipe((("f",),), f=from_featomic(PLAIN)).compute(IMAGES)
    with pytest.raises(ValueError, match="other structures"):
        to_metatensor(own, IMAGES[:1])


def pooled(tensor):
    import metatensor

    return metatensor.sum_over_samples(tensor, ["atom"])
