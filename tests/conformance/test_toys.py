"""A stranger's field and basis: checked, expanded everywhere, trained on, saved and loaded."""

import math

import numpy as np
import pytest
import torch
from toys import CosineBasis, SlaterDensity

from crystals import relative_difference, species_of, structures_of, triclinic_perovskite
from multilode.config.config import config_from_dict
from multilode.config.store import load, save
from multilode.expansion import EwaldSplit, FieldExpansion, Mesh, PairSum, ReciprocalSum, expand
from multilode.fields import FIELDS, ClosedForms
from multilode.fields.field import (
    SMEARING_RANGE,
    far_moments_by_measure,
    fourier_by_measure,
    profile_by_measure,
)
from multilode.models import Ridge
from multilode.models.targets import Target
from multilode.prediction import train
from multilode.radial import RADIAL_BASES, GaussianTypeOrbitals
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures
from multilode.testing import check_field, check_method, check_radial_basis


@pytest.fixture
def registered(monkeypatch):
    """Rows of the tables, for one test."""
    monkeypatch.setitem(FIELDS, "slater", SlaterDensity)
    monkeypatch.setitem(RADIAL_BASES, "cosine", CosineBasis)


def slab():
    atoms = triclinic_perovskite()
    atoms.pbc = (True, True, False)
    return structures_of(atoms), species_of(atoms)


@pytest.mark.parametrize("length", [0.4, pytest.param(1.5, marks=pytest.mark.slow)])
def test_the_field_passes_its_check(length):
    check_field(SlaterDensity(0.5, length))


def test_its_profile_is_the_formula_away_from_the_cusp():
    """Of Slater's function the measure leaves out what is sharper than the smearing."""
    r = torch.tensor([1.0, 2.5, 6.0], dtype=torch.float64)
    found = SlaterDensity(0.05, 1.3).profile(r)
    torch.testing.assert_close(found, torch.exp(-r / 1.3), rtol=1e-9, atol=0)


def closed(**forms):
    return {"closed_forms": ClosedForms(**forms)}


WRONG = {
    "half a profile": closed(profile=lambda f, r: 0.5 * profile_by_measure(f, r)),
    "a width taken for another": closed(
        fourier=lambda f, k: fourier_by_measure(SlaterDensity(1.1 * f.smearing, f.length), k)
    ),
    "a background where none is": closed(fourier_origin=lambda f: 0.0),
    "moments that are not quite": closed(
        far_moments=lambda f, x, r, l: (1 + 1e-6) * far_moments_by_measure(f, x, r, l)
    ),
    "another wide part": closed(wider=lambda f, w: SlaterDensity(w, 1.01 * f.length)),
    "a tail that it has not": {"tail": property(lambda f: 4.0)},
    "an end that it has not": {"widest": property(lambda f: 2.0)},
    "a parameter without a range": {"ranges": {"smearing": SMEARING_RANGE}},
    "a range that is not checked": {"__post_init__": lambda f: None},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_check_notices(wrong, monkeypatch):
    for name, value in WRONG[wrong].items():
        monkeypatch.setattr(SlaterDensity, name, value)
    with pytest.raises(AssertionError):
        check_field(SlaterDensity(0.5, 0.8))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("support", property(lambda b: 1.5 * b.radius)),
        ("primitives", lambda b, r, l: np.where(r > 1, r, np.nan) + np.arange(b.n_radial)[:, None]),
        ("primitives", lambda b, r, l: np.cos(np.arange(b.n_radial)[:, None] * r / b.radius)),
    ],
)
def test_the_check_of_bases_notices(name, value, monkeypatch):
    """A wrong support, functions that are not finite, a setting that nothing uses."""
    monkeypatch.setattr(CosineBasis, name, value)
    with pytest.raises(AssertionError):
        check_radial_basis(CosineBasis(3, 2.0))


@pytest.mark.parametrize("sharpness", [2.0, 3.5])
def test_the_basis_passes_its_check(sharpness):
    check_radial_basis(CosineBasis(4, 3.0, sharpness))


OWN = FieldExpansion(SlaterDensity(0.5, 0.5), CosineBasis(2, 1.2, 3.5), 2)


def test_every_method_on_a_slab():
    structures, species = slab()
    expected = expand(OWN, structures, species=species, method=ReciprocalSum(1e-12))
    for method in (PairSum(1e-10), EwaldSplit(1e-9), Mesh(1e-9), "auto"):
        found = expand(OWN, structures, species=species, method=method)
        assert relative_difference(found, expected) < 1e-8


def test_forces_on_a_slab():
    structures, species = slab()
    expected = expand(OWN, structures, species=species, method=ReciprocalSum(1e-12))
    check_method(PairSum(1e-10), OWN, structures, expected)


def trained() -> tuple:
    rng = np.random.default_rng(3)
    corners = np.array([[0, 0, 0], [0.9, 0.1, 0], [0, 1.0, 0.2], [2.0, 2, 2]])
    structures = Structures.from_arrays(
        [corners + rng.normal(scale=0.2, size=(4, 3)) for _ in range(8)],
        [np.array([8, 1, 1, 6])] * 8,
        [np.zeros((3, 3))] * 8,
        [np.zeros(3, dtype=bool)] * 8,
    )
    representation = Representation(
        fields={
            "S": FieldExpansion(SlaterDensity(0.5, 0.8), CosineBasis(2, 2.0, 3.5), 1),
            "T": FieldExpansion(SlaterDensity(0.4, 1.1), GaussianTypeOrbitals(2, 2.0), 1, 4.0),
        },
        products=(("S", "S"),),
        species=(1, 6, 8),
        centers=(1, 8),
    )
    y = structures.positions.reshape(8, 4, 3).norm(dim=2).sum(dim=1)
    target = Target(key="size", unit="Å", reduce="sum")
    model = train(representation, structures, y=y, target=target, estimator=Ridge())
    return model, structures


@pytest.mark.usefixtures("registered")
def test_models_are_saved_and_loaded(tmp_path):
    model, structures = trained()
    save(model, tmp_path / "model.safetensors")
    found = load(tmp_path / "model.safetensors")
    assert found.representation.fields["S"] == model.representation.fields["S"]
    assert found.representation.fields["S"].basis.sharpness == 3.5
    before, after = (m.predict(structures).values for m in (model, found))
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)


SETTINGS = {
    "data": {"train": ["train.xyz"]},
    "target": {"key": "energy"},
    "cutoff": 4.5,
    "fields": {
        "S": {
            "kind": "slater",
            "smearing": 0.5,
            "length": 0.8,
            "basis": {"kind": "cosine", "n_radial": 3, "sharpness": 3.5},
        }
    },
    "features": [["S", "S"]],
}


@pytest.mark.usefixtures("registered")
def test_yaml_reaches_the_objects():
    """All settings of both, the third one of the basis included; no cutoff for the field."""
    found = config_from_dict(SETTINGS).representation([1, 8]).fields["S"]
    assert found.field == SlaterDensity(0.5, 0.8)
    assert found.basis == CosineBasis(3, 4.5, 3.5)
    assert found.neighbor_cutoff is None


def test_yaml_reads_a_screened_potential():
    fields = {"Y": {"kind": "yukawa", "smearing": 0.8, "screening_length": 6.0}}
    settings = {**SETTINGS, "fields": fields, "features": [["Y", "Y"]]}
    found = config_from_dict(settings).representation([1, 8]).fields["Y"]
    assert found.field == FIELDS["yukawa"](0.8, 6.0)
    assert found.neighbor_cutoff is None
    assert math.isclose(found.basis.radius, 4.5)
