"""Recipes of features without species, and the defaults that they share with configurations."""

from dataclasses import replace

import pytest

from multilode.config.config import config_from_dict
from multilode.expansion import FieldExpansion
from multilode.fields import SmearedPotential
from multilode.radial import Monomials
from multilode.representation.feature_recipe import FeatureRecipe, features, parse_products
from multilode.symmetry.irrep import Irrep

MINIMAL = {"data": {"train": "a.xyz"}, "target": {"key": "energy"}}


@pytest.mark.parametrize("cutoff", [4.0, 2.5])
def test_the_defaults_are_those_of_a_configuration(cutoff):
    assert features(cutoff=cutoff) == config_from_dict({**MINIMAL, "cutoff": cutoff}).recipe
    assert features() == features("rho*rho + rho*V", cutoff=4.0)


def test_a_recipe_becomes_a_representation():
    recipe = features("rho * V + V", cutoff=3.0, method="pair_sum", tolerance=1e-6)
    found = recipe.representation([8, 1, 8])
    assert found.species == found.centers == (1, 8)
    assert found.products == (("rho", "V"), ("V",))
    assert found.fields == recipe.fields
    assert (found.method, found.tolerance) == ("pair_sum", 1e-6)
    found = recipe.representation([1, 6, 8], [8, 6], (Irrep(0), Irrep(1)))
    assert (found.centers, found.irreps) == ((6, 8), (Irrep(0), Irrep(1)))
    with pytest.raises(ValueError, match="must be among the species"):
        recipe.representation([1], [8])


def test_further_fields_and_other_ones():
    dispersion = FieldExpansion(SmearedPotential(0.8, 6.0), Monomials(1, 3.0), 4)
    recipe = features("rho*V + rho*V6", V6=dispersion)
    assert list(recipe.fields) == ["rho", "V", "V6"]
    assert recipe.fields["V6"] == dispersion
    assert features("V", V=dispersion).fields == {"V": dispersion}
    with pytest.raises(ValueError, match="the field 'V6' is in no product of 'rho'; add or rem"):
        features("rho", V6=dispersion)


@pytest.mark.parametrize(
    ("text", "products"),
    [
        ("rho", (("rho",),)),
        (" rho*V+V6 ", (("rho", "V"), ("V6",))),
        ("a*b*c*a", (("a", "b", "c", "a"),)),
    ],
)
def test_sums_of_products(text, products):
    assert parse_products(text) == products


@pytest.mark.parametrize("text", ["", "rho*", "rho V", "rho^2", "rho*rho +", "2*rho - V"])
def test_what_is_no_sum_of_products(text):
    with pytest.raises(ValueError, match=r"is no sum of products of fields; write names, '\*' and"):
        features(text)


def test_names_methods_and_tolerances_are_checked():
    with pytest.raises(ValueError, match="names the field 'W'; defined are rho, V; define it"):
        features("rho*W")
    with pytest.raises(ValueError, match="mash"):
        features(method="mash")
    with pytest.raises(ValueError, match="tolerance is 1; it must lie"):
        replace(features(), tolerance=1.0)
    with pytest.raises(ValueError, match="names the field 'V'; defined are ;"):
        FeatureRecipe(fields={}, products=(("V",),))
