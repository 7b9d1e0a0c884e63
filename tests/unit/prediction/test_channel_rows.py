"""Rows of channels, mixed, are the features with mixed sources; weights of structures count."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from crystals import random_structures
from multilode.data.inputs import as_dataset
from multilode.models import Ridge
from multilode.models.pooling import pool_terms
from multilode.models.targets import Target
from multilode.prediction.channel_rows import channel_rows
from multilode.prediction.learning_set import LearningSet
from multilode.prediction.source_fit import with_fitted_sources
from multilode.representation.representation import Representation
from multilode.representation.sources import DescribedSources
from multilode.representation.sources.recipes import Described, Fitted
from multilode.symmetry.irrep import Irrep
from toy_tensors import FIELDS

SPECIES = (1, 6, 8)
PRODUCTS = (("rho", "V"), ("V", "V"), ("V",), ("rho", "rho"), ("rho", "W"), ("V", "W"))
RECIPE = Representation(
    fields={**FIELDS, "W": FIELDS["V"]}, products=PRODUCTS, species=SPECIES, centers=SPECIES
)
pytestmark = pytest.mark.filterwarnings("ignore:surroundings vary in fewer")


def marked(n=5, seed=0):
    """Structures of two fragments each."""
    structures = random_structures(SPECIES, n, seed=seed)
    labels = torch.arange(structures.n_atoms).remainder(2).double()
    return replace(structures, arrays={"part": labels})


def channels(structures):
    one = Described(components=2, cutoff=3.0)
    return {name: one.start(name, RECIPE, structures, 0) for name in ("V", "W")}


@pytest.mark.parametrize("fragments", [None, "part"])
@pytest.mark.parametrize("per_species", [True, False])
@pytest.mark.parametrize("mixed", [("V",), ("V", "W")])
def test_mixed_rows_are_features_of_mixed_sources(fragments, per_species, mixed):
    structures = marked()
    sources = channels(structures)
    recipe = replace(RECIPE, sources=sources, fragments=fragments)
    generator = torch.Generator().manual_seed(1)
    mixtures = {
        name: torch.randn(sources[name].n_channels, 2, generator=generator, dtype=torch.float64)
        for name in mixed
    }
    estimator = Ridge(per_species=per_species)
    rows = channel_rows(recipe, mixed, structures, estimator, "sum")
    changed = {name: sources[name].mixed(matrix) for name, matrix in mixtures.items()}
    plain = replace(recipe, sources={**sources, **changed})
    centers = SPECIES if per_species else None
    found = pool_terms(plain.compute(structures).rows(Irrep(0)), reduce="sum", centers=centers)
    for product, one, expected in zip(PRODUCTS, rows, found, strict=True):
        mine = one.mixed(mixtures)
        torch.testing.assert_close(
            mine @ mine.T, expected @ expected.T, rtol=1e-9, atol=1e-12, msg=str(product)
        )


def test_means_and_spreads_of_mixed_channels_are_those_of_the_strengths():
    structures = marked(40)
    sources = channels(structures)["V"]
    matrix = torch.randn(sources.n_channels, 3, generator=torch.Generator().manual_seed(2)).double()
    mixed = sources.mixed(matrix)
    assert isinstance(mixed, DescribedSources)
    strengths = mixed.strengths(structures)
    for kind, species in enumerate(SPECIES):
        own = strengths[structures.species == species]
        torch.testing.assert_close(mixed.means[kind], own.mean(dim=0), rtol=1e-8, atol=1e-8)
        spread = own.std(dim=0, correction=0)
        torch.testing.assert_close(mixed.spreads[kind], spread, rtol=1e-6, atol=1e-8)


def test_structures_without_weight_do_not_change_the_fitted_sources():
    structures = marked(24)
    sources = {"V": channels(structures)["V"]}
    recipe = replace(RECIPE, products=(("rho", "V"),), sources=sources)
    y = np.random.default_rng(0).normal(size=24)
    weights = torch.ones(24, dtype=torch.float64)
    weights[20:] = 1e-12
    spoiled = y.copy()
    spoiled[20:] += 3.0

    def fitted(values, weights):
        learned = LearningSet(
            dataset=as_dataset(structures),
            target=Target(key="y", reduce="sum"),
            y=torch.from_numpy(values),
            weights=weights,
        )
        recipes = {"V": Fitted(channels=1, components=2, cutoff=3.0, steps=10)}
        found = with_fitted_sources(recipe, recipes, learned, Ridge())
        return (found.sources or {})["V"].strengths(structures)

    with_weights = fitted(y, weights)
    torch.testing.assert_close(fitted(spoiled, weights), with_weights, rtol=1e-4, atol=1e-4)
    assert float((fitted(spoiled, None) - with_weights).abs().max()) > 1e-2
